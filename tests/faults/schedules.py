"""Random faults against real processes, and a check of what became of the runs: which schedule does a seed make?

    python -m tests.faults.schedules --seed 7 --seconds 120

The schedule (what happens when, to whom, for how long) depends on the seed alone and is printed; how the processes
interleave with it does not. So a seed brings its faults back, and mostly what they led to.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Kind(Enum):
    """What goes wrong. Each lasts for a while, and is then made good."""

    KILL_COORDINATOR = "kill -9 of the coordinator"
    END_COORDINATOR = "SIGTERM for the coordinator"
    FREEZE_COORDINATOR = "SIGSTOP for the coordinator"
    KILL_AGENT = "kill -9 of an agent"
    END_AGENT = "SIGTERM for an agent"
    FREEZE_AGENT = "SIGSTOP for an agent"
    KILL_WORKERS = "kill -9 of an agent's workers"
    FREEZE_WORKERS = "SIGSTOP for an agent's workers"
    KILL_SILO = "kill -9 of an agent and its workers"
    CUT = "a silo's connections are reset"
    REFUSE = "a silo's connections are reset and refused"
    HALF_OPEN = "nothing gets through to or from a silo, and nobody is told"
    SLOW = "a silo's line has 50 ms and 200 KB/s"
    SWALLOW = "the answers that a silo waits for are lost"
    PAUSE = "an operator pauses a run"
    STOP = "an operator stops a run"
    SECOND_COORDINATOR = "a second coordinator is started on the same directory"
    CRASH_DATABASE = "the PostgreSQL server crashes, and is started again"


OF_POSTGRESQL = frozenset({Kind.CRASH_DATABASE})  # with a SQLite file it cannot happen
OF_A_SILO = frozenset(
    {
        Kind.KILL_AGENT,
        Kind.END_AGENT,
        Kind.FREEZE_AGENT,
        Kind.KILL_WORKERS,
        Kind.FREEZE_WORKERS,
        Kind.KILL_SILO,
        Kind.CUT,
        Kind.REFUSE,
        Kind.HALF_OPEN,
        Kind.SLOW,
        Kind.SWALLOW,
    }
)
MEAN_PAUSE_S = 1.0  # between two faults
LONGEST_S = 2.5  # that a fault lasts
OFTEN = {Kind.KILL_COORDINATOR: 4, Kind.KILL_AGENT: 2, Kind.SECOND_COORDINATOR: 0.5, Kind.CRASH_DATABASE: 4}  # others 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins, what it is, whom it hits (a silo; nobody where it is clear), and how long it lasts."""

    at_s: float
    kind: Kind
    silo: str
    lasts_s: float

    def __str__(self) -> str:
        whom = f" ({self.silo})" if self.silo else ""
        return f"{self.at_s:7.2f} s  {self.kind.value}{whom}, for {self.lasts_s:.2f} s"


def schedule(seed: int, seconds: float, silos: Sequence[str], *, postgres: bool = False) -> list[Fault]:
    """The faults of a seed, in order. `postgres`: also those that a database server has.

    >>> schedule(1, 60, ["a", "b"]) == schedule(1, 60, ["a", "b"])
    True
    """
    draw = random.Random(seed)
    kinds = [kind for kind in Kind if postgres or kind not in OF_POSTGRESQL]
    weights = [OFTEN.get(kind, 1) for kind in kinds]
    faults: list[Fault] = []
    at_s = 1.0
    while (at_s := at_s + draw.expovariate(1 / MEAN_PAUSE_S)) < seconds:
        (kind,) = draw.choices(kinds, weights)
        silo = draw.choice(sorted(silos)) if kind in OF_A_SILO else ""
        faults.append(Fault(round(at_s, 2), kind, silo, round(draw.uniform(0.0, LONGEST_S), 2)))
    return faults


def main(arguments: Sequence[str]) -> int:
    """Play a seed's schedule, and say what was promised and not kept."""
    from tests.faults.play import ROWS, play  # the engine: not needed to look at a schedule
    from tests.postgres_server import running

    parser = argparse.ArgumentParser(prog="python -m tests.faults.schedules", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server, which has faults, too")
    parser.add_argument("--keep", type=Path, help="keep everything in this folder, which must not be there")
    given = parser.parse_args(arguments)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="septum-schedule-"))
    faults = schedule(given.seed, given.seconds, sorted(ROWS), postgres=given.postgres)
    print(f"seed {given.seed}: {len(faults)} faults in {given.seconds:g} s", *faults, sep="\n")  # noqa: T201
    with running() if given.postgres else nullcontext() as server:
        played = play(faults, given.seconds, folder, server)
    print(played.summary, *played.violations, sep="\n")  # noqa: T201
    return 1 if played.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
