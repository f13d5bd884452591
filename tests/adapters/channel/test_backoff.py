import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.channel.backoff import attempt_of, backoff, pause_after
from septum.adapters.channel.http1 import StaleLineError
from septum.adapters.channel.wire_errors import RetryLaterError
from septum.errors import AuthError, ConnectionFailedError


def test_the_ceiling_doubles_to_two_seconds_and_after_half_a_minute_to_half_a_minute():
    ceilings = [backoff(attempt, lambda: 1.0) for attempt in range(36)]
    assert ceilings[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert ceilings[5:30] == [2.0] * 25
    assert ceilings[30:] == [4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_coordinator_that_is_back_after_ten_seconds_has_its_silos_two_seconds_later():
    for seed in range(200):
        rand, now, attempt = random.Random(seed).random, 0.0, 0
        while now < 10.0:
            now += backoff(attempt, rand)
            attempt += 1
        assert now < 12.0


@given(st.integers(0, 10**9), st.floats(0.0, 1.0, exclude_max=True))
def test_it_goes_on_for_ever_within_its_bounds(attempt, drawn):
    assert 0.0 <= backoff(attempt, lambda: drawn) <= 30.0


def test_silos_that_fail_together_do_not_come_back_together():
    rand = random.Random(7).random
    pauses = sorted(backoff(40, rand) for _ in range(200))
    assert pauses[0] < 1.0
    assert pauses[-1] > 24.0
    assert max(after - before for before, after in pairwise(pauses)) < 2.0


def test_retry_after_is_kept_to_but_not_for_hours():
    assert pause_after(RetryLaterError("busy", retry_after_s=10.0), 0, lambda: 0.5) == 15.0
    assert pause_after(RetryLaterError("busy", retry_after_s=86_400.0), 0, lambda: 0.5) == 450.0
    assert pause_after(ConnectionFailedError("away"), 2, lambda: 0.5) == backoff(2, lambda: 0.5)
    assert pause_after(AuthError("who"), 2, lambda: 0.5) == backoff(2, lambda: 0.5)


@given(st.floats(0.0, 1e9), st.integers(0, 60), st.floats(0.0, 1.0, exclude_max=True))
def test_nobody_comes_back_sooner_than_asked_and_all_are_spread_over_as_long_again(asked_s, attempt, drawn):
    pause_s = pause_after(RetryLaterError("busy", retry_after_s=asked_s), attempt, lambda: drawn)
    kept_s = min(asked_s, 300.0)
    assert kept_s <= pause_s <= kept_s + max(30.0, kept_s)
    latest_s = pause_after(RetryLaterError("busy", retry_after_s=asked_s), attempt, lambda: 1.0)
    assert latest_s - kept_s >= kept_s


@given(st.integers(0, 60), st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1))
def test_jitter_is_full_whatever_was_drawn_before(attempt, drawn):
    ceiling_s = backoff(attempt, lambda: 1.0)
    pauses = [backoff(attempt, lambda value=value: value) for value in drawn]
    assert pauses == [value * ceiling_s for value in drawn]


def test_a_coordinator_that_held_the_request_has_been_there_so_failures_are_counted_anew():
    assert attempt_of(StaleLineError("broken", held_s=20.0), 9) == 0
    assert attempt_of(StaleLineError("broken", held_s=0.2), 9) == 9
    assert attempt_of(ConnectionFailedError("refused"), 9) == 9
    assert attempt_of(RetryLaterError("going down", retry_after_s=1.0), 9) == 0
