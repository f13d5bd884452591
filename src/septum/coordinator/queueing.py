"""Which runs begin, and why do the others wait? By what silos offer, what runs take, and which it may drive at all.

The rule is protocol/queue.py. It is asked again whenever something has changed that it depends on, in the driver's
event loop; nothing of a round at work does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from septum.coordinator.live import Live
from septum.ports.clock import Clock
from septum.protocol.aggregator import barred, check_known
from septum.protocol.plan import Plan
from septum.protocol.queue import (
    Claim,
    Wait,
    Waiting,
    check_possible,
    claim_of,
    decide,
    takes_room,
    waiting_of,
)
from septum.protocol.resources import NOTHING, Capacity
from septum.protocol.run_state import Run

Offers = Callable[[], Mapping[str, Capacity]]


def _nobody_says() -> Mapping[str, Capacity]:
    return {}


class Queue:
    """What waits. For the driver's event loop.

    offers  what each silo gives that says so
    labels  that this coordinator carries
    """

    def __init__(self, clock: Clock) -> None:
        self.offers: Offers = _nobody_says
        self.labels: frozenset[str] = frozenset()
        self.waits: Mapping[str, Wait] = {}  # of each run that waits, as it was decided last
        self._clock = clock
        self._entering: dict[str, Claim] = {}  # runs that begin and are just being stored

    def decide(self, lives: Iterable[Live]) -> tuple[str, ...]:
        """The runs that begin now."""
        at_work, waiting = self._sorted(lives)
        verdict = decide(self.offers(), at_work, waiting, self._clock.unix())
        self.waits = verdict.waits
        return verdict.begin

    def since_when(self, lives: Iterable[Live], run: Run) -> float | None:
        """When a run that would begin now begins to wait, Unix seconds; None if its silos have room for it."""
        now = self._clock.unix()
        at_work, waiting = self._sorted(live for live in lives if live.run.id != run.id)
        here = Waiting(claim_of(run), run.priority, now, self.barred(run))
        return None if run.id in decide(self.offers(), at_work, [*waiting, here], now).begin else now

    def barred(self, run: Run) -> str:
        """Why this coordinator may not drive a run; empty: it may. Who takes a run up asks this, and nothing else."""
        return barred(run.plan.aggregator, self.labels)

    def check(self, plan: Plan) -> None:
        """Raises ConfigError for a run that no coordinator may drive, or some silo can never have room for."""
        check_known(plan.aggregator, self.labels)
        check_possible(self.offers(), Claim("", plan.silos, plan.resources or NOTHING))

    @contextmanager
    def entering(self, run: Run) -> Iterator[None]:
        """While this lasts the run, which begins, takes its room, though nobody has it in memory yet."""
        self._entering[run.id] = claim_of(run)
        try:
            yield
        finally:
            self._entering.pop(run.id, None)  # two may submit one thing at a time

    def _sorted(self, lives: Iterable[Live]) -> tuple[list[Claim], list[Waiting]]:
        known = [(live.run, live.project) for live in lives]
        at_work = [claim_of(run, where) for run, where in known if takes_room(run) and run.id not in self._entering]
        waiting = [one for run, where in known if (one := waiting_of(run, where, self.barred(run))) is not None]
        return [*at_work, *self._entering.values()], waiting
