"""Searching for the records whose gradient was seen: found from few records' plain updates, not from masked ones."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.attacks.leakage import CASES, FOUND, errors, gradient, network, patients  # needs torch

pytestmark = [pytest.mark.attacks, pytest.mark.torch]

ONE, TWO, SUM_OF_FOUR, SUM_OF_SIXTEEN, MASKED = CASES


@pytest.mark.parametrize("case", [ONE, TWO])
def test_records_are_found_where_there_are_few(case):
    assert max(errors(case)) < FOUND


@pytest.mark.parametrize("case", [SUM_OF_FOUR, SUM_OF_SIXTEEN])
def test_this_search_does_not_find_them_in_a_sum_of_more(case):
    assert min(errors(case)) > 0.2


def test_from_a_masked_update_it_finds_what_guessing_finds():
    assert min(errors(MASKED)) > 0.9


def test_the_gradient_that_is_searched_for_is_that_of_the_loss():
    """By finite differences of the loss itself, in one weight."""
    x, y = patients(3)
    weight, step = "layers.0.weight", 1e-3

    def loss(change):
        model = {name: tensor.astype(np.float64) for name, tensor in network().items()}
        model[weight][2, 5] += change
        inner = np.tanh(x @ model[weight].T + model["layers.0.bias"])
        logits = inner @ model["layers.1.weight"][0] + model["layers.1.bias"]
        return float(np.mean(np.logaddexp(0, np.where(y > 0.5, -logits, logits))))

    slope = (loss(step) - loss(-step)) / (2 * step)
    assert gradient(x, y)[weight][2, 5] == pytest.approx(slope, rel=1e-3)
