"""Sums of two models, one of them without a silo, tell what it sent: nearly in honest rounds, wholly where meant."""

import numpy as np
import pytest
from tests.attacks.rounds import CLOSE, ROUNDS, consecutive, last_bit_changed, model_of, same_but_a_bit

pytestmark = pytest.mark.attacks


@pytest.mark.parametrize("round_", ROUNDS)
def test_consecutive_rounds_tell_much_of_a_silo_that_is_missing_in_the_second(round_):
    got, alone = consecutive(round_)
    assert CLOSE < got.error < 0.5
    assert got.likeness > 0.95
    assert alone.likeness < 0.9  # what the others' sum alone would have told


def test_later_rounds_are_more_alike_and_tell_more():
    early, late = (consecutive(round_)[0] for round_ in ROUNDS)
    assert late.error < early.error


def test_no_journal_knows_a_model_again_of_which_one_bit_was_changed():
    """The limit of a journal of digests: SECURITY and decision 0011 say so."""
    got, _ = same_but_a_bit()
    assert got.error < CLOSE


def test_only_the_last_bit_of_one_number_was_changed():
    before, after = model_of(1), last_bit_changed(model_of(1))
    assert np.count_nonzero(before["weight"] != after["weight"]) == 1
    assert np.abs(before["weight"] - after["weight"]).max() < 1e-44
    assert before["bias"].tobytes() == after["bias"].tobytes()
