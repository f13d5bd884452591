"""Is the summed log loss right for every logit, and does it add up over silos?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from septum.algorithms.log_loss import log_loss_sum
from septum.errors import TensorError


def test_three_rows_by_hand():
    # logit log 3 is probability 3/4: -log(3/4) if positive, -log(1/4) if negative; logit 0 costs log 2
    expected = math.log(4 / 3) + math.log(4) + math.log(2)
    assert log_loss_sum([math.log(3), math.log(3), 0], [1, 0, 1]) == pytest.approx(expected, rel=1e-15)


def test_logits_whose_probability_saturates_keep_their_loss():
    assert log_loss_sum([800.0, -800.0], [0, 1]) == 1600.0
    assert log_loss_sum([800.0, -800.0], [1, 0]) == 0.0
    assert log_loss_sum([-40.0], [0]) == pytest.approx(math.exp(-40), rel=1e-12)


def test_the_mean_is_that_of_scikit_learn():
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(size=500) * 3, rng.random(500) < 0.4
    assert log_loss_sum(logits, labels) / 500 == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))), rel=1e-12)


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), max_size=20), st.integers(0, 20))
def test_the_sums_of_two_silos_add_up(rows, cut):
    def total(part):
        return log_loss_sum(np.array([r[0] for r in part]), np.array([r[1] for r in part], bool))

    assert total(rows[:cut]) + total(rows[cut:]) == pytest.approx(total(rows), rel=1e-12)


def test_float32_logits_are_summed_in_float64():
    logits = np.full(100_000, 0.1, np.float32)
    expected = 100_000 * math.log1p(math.exp(-float(np.float32(0.1))))
    assert log_loss_sum(logits, np.ones(100_000)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"), [(float("nan"), "1 of 2 logits are NaN"), (float("inf"), "1 of 2 logits are infinite")]
)
def test_a_logit_that_is_not_finite_is_refused(bad, message):
    with pytest.raises(TensorError, match=message):
        log_loss_sum([0.0, bad], [0, 1])
