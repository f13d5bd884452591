"""What an app says of its own training is held against what was asked for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import AppError
from septum.sdk.attested import Attested, PrivateTraining, check_paid

PAID = {"noise_multiplier": 1.5, "sampling_rate": 0.25, "steps": 3, "clip": 1.0}


def asked() -> PrivateTraining:
    return PrivateTraining(**PAID, expected_batch=16.0, learning_rate=0.2)


def test_what_was_asked_for_is_enough_and_more_privacy_is_too():
    training = asked()
    training.attest(**PAID)
    assert training.said() == Attested(1.5, 0.25, 3, 1.0)
    check_paid(Attested(1.6, 0.2, 2, 0.5), **PAID)
    check_paid(Attested(1.5, 0.0, 0, 1.0), **PAID)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"noise_multiplier": 1.4999}, r"noise_multiplier 1\.4999 where 1\.5 is paid for"),
        ({"noise_multiplier": math.nan}, "noise_multiplier nan"),
        ({"noise_multiplier": math.inf}, "noise_multiplier inf"),
        ({"sampling_rate": 0.26}, r"sampling_rate 0\.26 where 0\.25 is paid for"),
        ({"sampling_rate": -0.1}, "sampling_rate"),
        ({"sampling_rate": math.nan}, "sampling_rate nan"),
        ({"steps": 4}, "steps 4 where 3 is paid for"),
        ({"steps": -1}, "steps -1"),
        ({"clip": 1.1}, r"clip 1\.1 where 1\.0 is paid for"),
        ({"clip": 0.0}, r"clip 0\.0"),
        ({"clip": math.nan}, "clip nan"),
    ],
)
def test_less_privacy_than_was_paid_for_is_refused_by_name(changed, says):
    with pytest.raises(AppError, match=says):
        asked().attest(**{**PAID, **changed})


def test_nothing_and_two_things_are_refused():
    with pytest.raises(AppError, match="said 0 times") as caught:
        asked().said()
    assert "context.privacy.attest" in caught.value.hint
    training = asked()
    training.attest(**PAID)
    with pytest.raises(AppError, match="said 2 times"):
        training.attest(**PAID)


numbers = st.one_of(st.floats(-1, 3), st.floats())


@given(numbers, numbers, st.integers(-2, 6), numbers)
def test_what_is_let_through_never_costs_more(noise, rate, steps, clip):
    try:
        check_paid(Attested(noise, rate, steps, clip), **PAID)
    except AppError:
        return
    assert noise >= 1.5
    assert 0 <= rate <= 0.25
    assert 0 <= steps <= 3
    assert 0 < clip <= 1
