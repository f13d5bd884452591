"""Which requests are being held open, and for how long? A request waits here until there is something to answer."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from septum.errors import SeptumError
from septum.protocol.messages import Instruction, PollAnswer, Wait

Answer = Instruction | PollAnswer
POLL = ""  # the run id under which a poll is held
POLL_HOLDS = 2  # a poll is held so many times as long: a thousand silos that only wait are to cost next to nothing
NOTHING_YET = Wait()  # the same object each time, so that it is encoded once


@dataclass(eq=False, slots=True)
class Held:
    """One open request: of a silo, for a run (or POLL)."""

    silo: str
    run: str
    serving: tuple[str, ...]
    answer: asyncio.Future[Answer]
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def give(self, answer: Answer) -> None:
        """Answer it, unless it has been answered."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: SeptumError) -> None:
        """Answer it with an error, unless it has been answered."""
        if not self.answer.done():
            self.answer.set_exception(error)


class HeldRequests:
    """All open requests. One a silo and run: a newer one replaces the older, whose client went away or restarted."""

    def __init__(self, *, hold_s: float, per_silo: int) -> None:
        self._hold_s = hold_s
        self._per_silo = per_silo
        self._by_silo: dict[str, OrderedDict[str, Held]] = {}
        self._by_run: dict[str, dict[str, Held]] = {}

    def hold(self, silo: str, run: str, serving: tuple[str, ...] = (), *, at_most_s: float = math.inf) -> Held:
        """Begin to hold a request; at the latest after `hold_s`, or `at_most_s`, it is answered `Wait`.

        A poll is held POLL_HOLDS times as long.
        """
        loop = asyncio.get_running_loop()
        held = Held(silo, run, serving, loop.create_future())
        hold_s = self._hold_s * (POLL_HOLDS if run == POLL else 1)
        held.timer = loop.call_later(min(hold_s, at_most_s), held.give, NOTHING_YET)
        mine = self._by_silo.setdefault(silo, OrderedDict())
        if run in mine:
            self._retire(mine[run])
        while len(mine) >= self._per_silo:
            self._retire(next(iter(mine.values())))
        self._by_silo.setdefault(silo, mine)[run] = held
        self._by_run.setdefault(run, {})[silo] = held
        return held

    def release(self, held: Held) -> None:
        """It was answered, or its client went away."""
        if held.timer is not None:
            held.timer.cancel()
        held.answer.cancel()
        mine, others = self._by_silo.get(held.silo), self._by_run.get(held.run)
        if mine is not None and mine.get(held.run) is held:
            del mine[held.run]
            if not mine:
                del self._by_silo[held.silo]
        if others is not None and others.get(held.silo) is held:
            del others[held.silo]
            if not others:
                del self._by_run[held.run]

    def of_run(self, run: str) -> tuple[Held, ...]:
        """The open requests for a run."""
        return tuple(self._by_run.get(run, {}).values())

    def get(self, run: str, silo: str) -> Held | None:
        """A silo's open request for a run."""
        return self._by_run.get(run, {}).get(silo)

    def end_silo(self, silo: str, error: SeptumError) -> None:
        """Answer all of a silo's requests with an error."""
        for held in tuple(self._by_silo.get(silo, {}).values()):
            held.fail(error)

    def release_silo(self, silo: str) -> None:
        """Answer all of a silo's requests: nothing yet."""
        for held in tuple(self._by_silo.get(silo, {}).values()):
            held.give(NOTHING_YET)

    def end_all(self) -> None:
        """Let everybody ask again later."""
        for held in self:
            held.give(NOTHING_YET)

    def __iter__(self) -> Iterator[Held]:
        return iter([held for mine in self._by_silo.values() for held in mine.values()])

    def silos(self) -> set[str]:
        """The silos that have a request open."""
        return set(self._by_silo)

    def _retire(self, held: Held) -> None:
        held.give(NOTHING_YET)
        answer = held.answer  # `release` cancels what is not answered; this one is
        self.release(held)
        assert answer.done()
