"""Two minutes of random faults: nothing that was promised is broken, whatever was killed, frozen, cut or stopped.

The seed is drawn anew each time: a fixed one would meet the same faults for ever, and processes interleave in their own
way in any case. It is printed; SEPTUM_SCHEDULE_SEED brings its faults back, SEPTUM_SCHEDULE_SECONDS plays them longer.
"""

from __future__ import annotations

import os
import random
import sys

import pytest
from tests.faults.counting import UNCLOSED
from tests.faults.play import ROWS, play
from tests.faults.schedules import OF_POSTGRESQL, Kind, schedule
from tests.postgres_server import running

SECONDS = float(os.environ.get("SEPTUM_SCHEDULE_SECONDS", "100"))  # and up to 20 to start and to finish


SECONDS_ON_POSTGRESQL = float(os.environ.get("SEPTUM_SCHEDULE_SECONDS", "40"))


@pytest.mark.faults
@pytest.mark.filterwarnings(UNCLOSED)
@pytest.mark.timeout(SECONDS + 300)
def test_random_faults_break_no_promise(tmp_path, capsys):
    break_no_promise(SECONDS, tmp_path, capsys)


@pytest.mark.faults
@pytest.mark.filterwarnings(UNCLOSED)
@pytest.mark.timeout(SECONDS_ON_POSTGRESQL + 300)
def test_random_faults_break_no_promise_on_postgresql(tmp_path, capsys):
    with running() as server:
        break_no_promise(SECONDS_ON_POSTGRESQL, tmp_path, capsys, server)


def break_no_promise(seconds, folder, capsys, server=None):
    seed = int(os.environ.get("SEPTUM_SCHEDULE_SEED", random.SystemRandom().randrange(1_000_000)))
    again = f"python -m tests.faults.schedules --seed {seed} --seconds {seconds:g}{' --postgres' if server else ''}"
    with capsys.disabled():  # also where it passes
        sys.stdout.write(f"\nthe schedule of faults: {again}\n")
    faults = schedule(seed, seconds, sorted(ROWS), postgres=server is not None)
    played = play(faults, seconds, folder, server)
    assert not played.violations, "\n".join([f"again: {again}", played.summary, *played.violations])


def test_a_seed_makes_the_same_schedule_and_another_seed_another():
    assert schedule(7, 120, ["a", "b"]) == schedule(7, 120, ["b", "a"])
    assert schedule(7, 120, ["a", "b"]) != schedule(8, 120, ["a", "b"])


def test_two_minutes_hold_faults_of_nearly_every_kind():
    for postgres, every in ((False, set(Kind) - OF_POSTGRESQL), (True, set(Kind))):
        drawn = [{fault.kind for fault in schedule(seed, 120, "abc", postgres=postgres)} for seed in range(50)]
        assert min(map(len, drawn)) >= len(every) - 3
        assert set().union(*drawn) == every
