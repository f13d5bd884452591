"""Whether a record was there shows in a model that was trained plainly, and within epsilon in one trained privately."""

import math

import pytest
from tests.attacks.membership import DELTA, accounted, by_loss, by_shadows, within
from tests.privacy.canary import bound

pytestmark = pytest.mark.attacks


def test_members_are_told_by_their_low_loss_after_plain_training():
    rates = by_loss("plain")
    assert rates.true > rates.false + 0.3


def test_they_are_hardly_told_after_private_training():
    rates = by_loss("private")
    assert rates.true < rates.false + 0.1


def test_shadow_models_tell_a_record_for_certain_after_plain_training():
    shown = by_shadows("plain")
    assert (shown.true, shown.false) == (shown.trials, 0)
    assert not within(shown)


def test_after_private_training_true_positives_are_within_e_to_epsilon_times_false_ones_plus_delta():
    shown = by_shadows("private")
    assert 0.5 < accounted() < 3  # a promise that can be broken
    assert within(shown)
    assert shown.true / shown.trials <= math.exp(accounted()) * shown.false / shown.trials + DELTA + 0.1


def test_a_bound_worked_out_by_hand():
    """Never wrong in 100 trials: 1 - 0.025^(1/100) = 0.0362 may be wrong, so ln(0.9628 / 0.0362) = 3.28 is shown."""
    assert bound(0, 100, 100, DELTA) == pytest.approx(3.28, abs=0.005)
    assert bound(50, 50, 100, DELTA) < 0
