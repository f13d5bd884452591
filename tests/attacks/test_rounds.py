"""Sums of two models, one of them without a silo, tell what it sent: nearly in honest rounds, wholly where meant."""

import numpy as np
import pytest
from tests.attacks.rounds import CLOSE, OTHERS, changed, got, model_of

pytestmark = pytest.mark.attacks


@pytest.mark.parametrize("name", ["early", "late"])
def test_consecutive_rounds_tell_much_of_a_silo_that_is_missing_in_the_second(name):
    found = got(name)
    assert CLOSE < found.both.error < 0.5
    assert found.both.likeness > 0.95
    assert found.alone.likeness < 0.9  # what the others' sum alone would have told


def test_later_rounds_are_more_alike_and_tell_more():
    assert got("late").both.error < got("early").both.error


def test_another_model_for_the_same_round_is_no_way_round_the_journal():
    refused = got("same round").refused
    assert refused.keys() == set(OTHERS)
    assert all("for another model of this round before" in why for why in refused.values())


def test_no_journal_knows_a_model_again_of_which_one_bit_was_changed_in_another_run():
    """The limit of a journal of digests: SECURITY and decision 0011 say so."""
    assert got("other run").both.error < CLOSE


def test_a_silo_whose_min_cohort_is_all_silos_signs_no_sum_without_one():
    refused = got("all or none").refused
    assert refused.keys() == set(OTHERS)
    assert all("sums over 4 at least" in why for why in refused.values())


def test_only_the_last_bit_of_one_number_was_changed():
    before, after = model_of(1), changed(model_of(1))
    assert np.count_nonzero(before["weight"] != after["weight"]) == 1
    assert np.abs(before["weight"] - after["weight"]).max() < 1e-44
    assert before["bias"].tobytes() == after["bias"].tobytes()
