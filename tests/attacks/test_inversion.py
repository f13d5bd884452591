"""Records are read out of plain updates exactly, and not out of what a coordinator holds of a masked run."""

import numpy as np
import pytest
from tests.attacks.inversion import CHANCE, EXACT, LAYERS, divided, error, from_sum, from_uploads, likeness
from tests.attacks.victims import FEATURES, SILOS, records

pytestmark = pytest.mark.attacks


def test_one_record_divided_out_by_hand():
    """Two units: -0.2 and 0.5 times the record (3, -1), and their biases."""
    update = {"w": np.array([[-0.6, 0.2], [1.5, -0.5]]), "b": np.array([-0.2, 0.5])}
    assert divided(update, ("w", "b")).tolist() == [3.0, -1.0]


def test_a_guess_at_random_has_the_error_and_likeness_that_count_as_nothing():
    guesses = np.random.default_rng(1).normal(size=(2000, FEATURES))
    record = records("east", 1).x[0].astype(np.float64)
    assert max(likeness(guess, record) for guess in guesses) < CHANCE
    assert error(np.zeros(FEATURES), record) == 1.0
    assert error(record, record) == 0.0


@pytest.mark.parametrize("model", LAYERS)
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_single_record_is_read_exactly_from_a_plain_update(model, epochs):
    found = from_uploads(model, masked=False, epochs=epochs)
    assert found.keys() == set(SILOS)
    assert all(read.error < EXACT for read in found.values())


@pytest.mark.parametrize("model", LAYERS)
def test_the_same_attack_on_masked_updates_finds_what_guessing_finds(model):
    for read in from_uploads(model, masked=True).values():
        assert read.error > 1
        assert read.likeness < CHANCE


@pytest.mark.parametrize("model", LAYERS)
def test_of_several_records_it_finds_a_mixture_which_may_be_like_one_of_them(model):
    """So it is with eight records of a silo and with one of each of four: what a sum tells is not nothing."""
    batch, total = from_uploads(model, masked=False, rows=8), from_sum(model)
    for read in (*batch.values(), *total.values()):
        assert read.error > 0.5
    assert max(read.likeness for read in total.values()) > CHANCE
