import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.channel.backoff import backoff, pause_after
from septum.adapters.channel.wire_errors import RetryLaterError
from septum.errors import AuthError, ConnectionFailedError


def test_the_ceiling_doubles_from_a_tenth_of_a_second_to_half_a_minute():
    assert [backoff(attempt, lambda: 1.0) for attempt in range(11)] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0,
    ]  # fmt: skip


@given(st.integers(0, 10**9), st.floats(0.0, 1.0, exclude_max=True))
def test_it_goes_on_for_ever_within_its_bounds(attempt, drawn):
    assert 0.0 <= backoff(attempt, lambda: drawn) <= 30.0


def test_silos_that_fail_together_do_not_come_back_together():
    rand = random.Random(7).random
    pauses = sorted(backoff(8, rand) for _ in range(200))
    assert pauses[0] < 1.0
    assert pauses[-1] > 24.0
    assert max(after - before for before, after in pairwise(pauses)) < 2.0


def test_retry_after_is_kept_to_but_not_for_hours():
    assert pause_after(RetryLaterError("busy", retry_after_s=10.0), 0, lambda: 0.5) == 10.05
    assert pause_after(RetryLaterError("busy", retry_after_s=86_400.0), 0, lambda: 0.5) == 300.05
    assert pause_after(ConnectionFailedError("away"), 2, lambda: 0.5) == backoff(2, lambda: 0.5)
    assert pause_after(AuthError("who"), 2, lambda: 0.5) == backoff(2, lambda: 0.5)
