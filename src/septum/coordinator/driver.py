"""How do runs move? One task takes what happened, steps the runs, commits, and answers: load, step, commit, perform.

Nothing is answered before the commit that contains it, or one from which the same answer follows. What need not be
answered yet is not committed at once: a report that leaves its attempt open waits for the one that closes it, for
`flush_s` at most. Combining starts as soon as the attempt is closed, for it changes nothing that a crash would not
undo; if it ends within `flush_s`, the whole round is one commit, with masks two. A state lost in a crash costs a
repeated request, never a lie: silos offer again what was not acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from septum.coordinator.effects import Performer
from septum.coordinator.held import POLL, Held, HeldRequests
from septum.coordinator.inviting import invitation, is_open, takes_other_room
from septum.coordinator.live import Discarded, Live, Told, revive
from septum.coordinator.queueing import Queue
from septum.coordinator.shelf import Shelf
from septum.coordinator.space import Space
from septum.coordinator.spool import Spool, mark_of
from septum.errors import ConflictError, NotFoundError, ProtocolError, SeptumError
from septum.ports.audit import UNRECORDED, Recording
from septum.ports.blobs import AwayError, BlobStore
from septum.ports.clock import Clock
from septum.ports.feed import UNTOLD, Telling
from septum.ports.store import Pending, RunStore, Transition
from septum.protocol.audit import Record
from septum.protocol.closing import is_asked_again
from septum.protocol.feed import Change
from septum.protocol.messages import Evaluate, Instruction, Masked, Report, Result, Train, Wait
from septum.protocol.run import instruction, step
from septum.protocol.run_state import (
    Combine,
    Combined,
    CombineFailed,
    CombineRefused,
    Dequeue,
    Event,
    FromSilo,
    ModelLost,
    PayloadsLost,
    Phase,
    Requeue,
    Resume,
    Run,
    Tick,
)

log = logging.getLogger("septum.coordinator.driver")
Committed = Callable[[float, Sequence[tuple[Run, Sequence[Told]]]], None]  # seconds, and what journals got, by run

MAX_LIVES = 256  # ended runs leave the memory above this; a state is some KiB
QUEUE_S = 60.0  # how often the queue is looked at though nothing has happened: runs that wait grow older


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may wait, in seconds.

    hold_s      a request with nothing to answer; a proxy cuts longer silences
    flush_s     a change that nobody waits for, before it is committed
    retry_s     after a commit or an upload failed (for lack of space, say), before it is tried again
    per_silo    requests of one silo that are held at one time
    """

    hold_s: float = 25.0
    flush_s: float = 1.0
    retry_s: float = 2.0
    per_silo: int = 32


@dataclass(eq=False, slots=True)
class _Item:
    """Something that happened to a run; `reply` gets the state once it is committed.

    `unread`: a report that the run did not wait for when it came, so that nobody looked at its payload. `by`: who asked
    for it, where a person did.
    """

    live: Live
    event: Event | Discarded
    held: Held | None = None
    unread: bool = False
    reply: asyncio.Future[Run] | None = None
    by: str = ""

    def fail(self, error: SeptumError) -> None:
        if self.held is not None:
            self.held.fail(error)
        elif self.reply is not None and not self.reply.done():
            self.reply.set_exception(error)
        else:
            log.error("event_refused", extra={"run_id": self.live.run.id, "error": error.message})


class Driver:
    """All runs at work. Everything but the constructor belongs in one event loop."""

    def __init__(
        self,
        store: RunStore,
        blobs: BlobStore,
        clock: Clock,
        pace: Pace | None = None,
        feed: Telling = UNTOLD,
        audit: Recording = UNRECORDED,
    ) -> None:
        self.pace = pace or Pace()
        self.store = store
        self.feed = feed
        self.audit = audit
        self.clock = clock
        self.shelf = Shelf(blobs)
        self.held = HeldRequests(hold_s=self.pace.hold_s, per_silo=self.pace.per_silo)
        self.performer = Performer(blobs, self.shelf, self.post)
        self.lives: dict[str, Live] = {}
        self.queue = Queue(clock)
        self._reckon = True  # something has changed on which it depends who begins
        self.space = Space(blobs, self.performer.read, self.post, self.pace.retry_s)
        self._blobs = blobs
        self._queue: deque[_Item] = deque()
        self._replies: list[tuple[asyncio.Future[Run], Live]] = []
        self._wake = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._flush_now = False
        self._work: asyncio.Task[None] | None = None
        self._stopping = False
        self.stuck = ""  # why nothing can be committed
        self._stuck_at: float | None = None
        self.closing: SeptumError | None = None
        self.on_drain: list[Callable[[SeptumError], None]] = []
        self.on_facts: list[Callable[[str], None]] = []  # a run has something new in its journal, for good
        self.on_committed: list[Committed] = []  # before anybody is answered
        self.on_changes: list[Callable[[], None]] = []  # the feed has something new, for good

    async def start(self) -> None:
        """Take up every unfinished run where the store has it, and perform what its outbox holds."""
        for stored, pending in await self.performer.write(self.store.unfinished):
            live = revive(stored, self.spool(stored.run.id), monotonic=self.clock.monotonic())
            live.remember(pending)
            losses = await self.performer.losses(live)
            for lost in losses:
                self.post(live, lost)
            self.adopt(live)
            taken_up = self._take_up(live)
            if live.run.retrying and not live.run.combining:
                self.space.wait_for(live)
            for entry in pending:
                if not isinstance(entry.effect, Combine) or (taken_up and not losses):
                    self.performer.start(live, entry)
        self._work = asyncio.create_task(self._run(), name="septum-driver")
        self._wake.set()

    def _take_up(self, live: Live) -> bool:
        """Whether this coordinator drives a run that had begun; where it may not, the run waits in the queue."""
        why = self.queue.barred(live.run) if is_open(live.run) else ""
        if why:
            log.warning("run_not_driven", extra={"run_id": live.run.id, "reason": why})
            self.post(live, Requeue(self.clock.unix(), why))
            self._flush_now = True
        return not why

    async def wait(self) -> None:
        """Until `close`, or until the driver failed; then its error is raised."""
        assert self._work is not None
        await asyncio.wait([self._work])
        self._work.result()

    def drain(self, error: SeptumError) -> None:
        """Hold nothing any more: what is held, and what comes and would be, ends with `error`."""
        self.closing = error
        for end in self.on_drain:
            end(error)
        for held in self.held:
            held.fail(error)

    async def close(self) -> None:
        """Commit what is not committed, let everybody ask again later, and stop."""
        if self._work is not None:
            failed = self._work.done()
            self._stopping = True  # not cancelled: it may be in the middle of a commit
            self._wake.set()
            await asyncio.wait([self._work])
            await self.performer.settle()
            if not failed:
                self._step_all()
                if any(live.dirty for live in self.lives.values()):
                    await self._commit()
        self.held.end_all()
        self.space.close()
        for timer in self._timers.values():
            timer.cancel()
        await self.performer.close()

    # --- what others ask -----------------------------------------------------------------------------------------

    async def load(self, run_id: str) -> Live:
        """A run, from memory or from the store. Raises NotFoundError."""
        live = self.lives.get(run_id)
        if live is not None:
            return live
        stored = await self.performer.read(self.store.get, run_id)
        if run_id in self.lives:  # somebody else was faster
            return self.lives[run_id]
        return self.adopt(revive(stored, self.spool(run_id), monotonic=self.clock.monotonic()))

    def adopt(self, live: Live) -> Live:
        """Take a run into memory, and invite the silos that it wants."""
        self.lives[live.run.id] = live
        if live.run.outcome is None:
            self._tell_of(live)
        if live.run.phase is Phase.QUEUED:
            self._reckon = True
        self._invite(live)
        self._wake.set()
        return live

    def _tell_of(self, live: Live) -> None:
        for tell in self.on_facts:
            tell(live.run.id)

    def spool(self, run_id: str, *, complete: bool = False) -> Spool:
        """Where a run's payloads wait. `complete` for a run that is only being made."""
        return Spool(self._blobs, run_id, complete=complete, monotonic=self.clock.monotonic)

    def post(self, live: Live, event: Event | Discarded, held: Held | None = None, *, unread: bool = False) -> None:
        """Something happened; `held` is answered with the silo's next instruction, when there is one.

        `unread`: a report whose payload was not looked at. It is refused if the run waits for it by now.
        """
        self._queue.append(_Item(live, event, held, unread))
        self._wake.set()

    async def tell(self, live: Live, event: Event, by: str = "") -> Run:
        """Something happened; the state once it is committed. Raises what the run machine raises.

        `by`: who asked for it, where a person did.
        """
        reply: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self._queue.append(_Item(live, event, reply=reply, by=by))
        self._wake.set()
        return await reply

    def look(self) -> tuple[str, ...]:
        """Who may begin of the runs that wait; and `queue.waits` says of the others why not."""
        return self.queue.decide(self.lives.values())

    def reckon(self) -> None:
        """A silo has more room or less: look who may begin."""
        self._reckon = True
        self._wake.set()

    def nudge(self) -> None:
        """Look at the clock now. Needed only where the clock does not run by itself."""
        self._wake.set()

    # --- the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while not self._stopping:
                await self._wake.wait()
                self._wake.clear()
                self._step_all()
                if self._must_commit():
                    await self._commit()
                self._answer()
                self._arm()
        except Exception as error:  # the coordinator stops, loudly: `wait` raises this in its main task
            log.critical("driver_failed", exc_info=error)
            known = error if isinstance(error, SeptumError) else SeptumError(f"the run engine failed: {error!r}")
            for held in self.held:
                held.fail(known)
            for reply, _ in self._replies:
                if not reply.done():
                    reply.set_exception(known)
            raise

    def _step_all(self) -> None:
        while self._queue:
            self._step(self._queue.popleft())
        for live in tuple(self.lives.values()):
            if live.run.deadline is not None and self._now(live) >= live.run.deadline:
                self._step(_Item(live, Tick()))
        while self._reckon:  # who begins, or ends at once, changes who may begin
            self._reckon = False
            for run_id in self.look():
                self._flush_now = True  # whoever looks is to see it begin, and not a run that waits for nothing
                self._step(_Item(self.lives[run_id], Dequeue()))

    def _now(self, live: Live) -> float:
        """Engine time: it stands still while the coordinator is down, and while nothing can be committed."""
        return (self.clock.monotonic() if self._stuck_at is None else self._stuck_at) + live.clock_gap

    def _step(self, item: _Item) -> None:
        live, before, opening = item.live, item.live.run, item.live.opening()
        if isinstance(item.event, Discarded):
            live.finish([item.event.id])
            return
        try:
            self._account(item, item.event)
            run, effects = step(before, self._queued(before, item.event), self._now(live))
        except SeptumError as error:
            item.fail(error)
            return
        if isinstance(item.event, PayloadsLost | ModelLost | Requeue) and before.combining and not run.combining:
            assert before.stage is not None
            live.settle(before.stage, before.round, before.attempt)
        for combine in live.take(run, effects, at=self.clock.unix(), by=item.by):
            self.performer.start_combine(live, combine)
        if live.opening() != opening:
            live.look.update(held.silo for held in self.held.of_run(run.id))
        if not is_open(before) and is_open(run):
            self._invite(live)
        self._reckon = self._reckon or takes_other_room(before, run)
        if item.held is not None:
            live.look.add(item.held.silo)
        if item.reply is not None:
            live.replies += 1
            self._replies.append((item.reply, live))

    def _queued(self, run: Run, event: Event) -> Event:
        """The event; a run that ended is resumed into the queue, where its silos have no room now."""
        if not isinstance(event, Resume) or run.outcome is None:
            return event
        return Resume(self.queue.since_when(self.lives.values(), run))

    def _account(self, item: _Item, event: Event) -> None:
        """What an event says of payloads and of the outbox, before the run machine hears of it."""
        live, run = item.live, item.live.run
        match event:
            case FromSilo(silo, Report() | Masked() as report) if live.wants(silo, report):
                if item.unread and report.base == (run.model.digest if run.model else ""):
                    raise _too_early(silo, report, run)
                live.spool.keep(report.payload, mark_of(report.stage, report.round))
            case Combined() | CombineFailed() | CombineRefused():
                live.settle(event.stage, event.round, event.attempt)
            case Resume() if live.shredded_at is not None:
                raise ConflictError(
                    f"run {run.id} was shredded, and there is no model to go on from", hint=f"septum run clone {run.id}"
                )
            case Resume() if live.shredding:
                raise ConflictError(f"run {run.id} is being shredded", hint=f"septum run shred {run.id} --yes")
            case PayloadsLost(silos=silos):
                live.spool.lost(run.reports[silo].payload.digest for silo in silos if silo in run.reports)
            case _:
                pass

    def _must_commit(self) -> bool:
        """Whether someone waits for an answer that depends on what is not committed, or it has waited long enough."""
        dirty = [live for live in self.lives.values() if live.dirty]
        if not dirty or "retry" in self._timers:
            return False
        if self._flush_now or any(live.replies or self._has_new_answer(live) for live in dirty):
            return True
        if "flush" not in self._timers:
            self._later("flush", self.pace.flush_s)
        return False

    def _has_new_answer(self, live: Live) -> bool:
        """Whether a silo waits for what is not committed, and would not be said again from what is."""
        return not is_asked_again(live.stored, live.run) and self._has_answer(live)

    def _has_answer(self, live: Live) -> bool:
        waiting = (silo for silo in live.look if self.held.get(live.run.id, silo) is not None)
        return any(instruction(live.run, silo) is not None for silo in waiting)

    def _later(self, name: str, delay_s: float) -> None:
        """Wake up in a while. A timer replaces the one of its name."""
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, self._rung, name)

    def _rung(self, name: str) -> None:
        del self._timers[name]
        self._flush_now = self._flush_now or name == "flush"
        self._reckon = self._reckon or name == "queue"
        self._wake.set()

    async def _commit(self) -> None:
        """Commit what waits, of all runs, in one transaction. Raises ConflictError when another took over."""
        dirty = [live for live in self.lives.values() if live.dirty]
        unsaved = [(live.spool, live.spool.unsaved(live.run)) for live in dirty]
        transitions = tuple(live.transition() for live in dirty)
        changes = [change for live in dirty for change in live.changes()]
        added, began = [(live.run, live.facts) for live in dirty], self.clock.monotonic()
        records = [record for live in dirty for record in live.records]
        try:
            saved, pending = await self.performer.write(self._store, unsaved, transitions, changes, records)
        except (ConflictError, NotFoundError):
            raise
        except SeptumError as error:  # no space, say: nothing is acknowledged, everybody waits, and it is tried again
            log.error("commit_failed", extra={"error": error.message, "hint": error.hint, "runs": len(dirty)})  # noqa: TRY400
            self.stuck = f"{error.message}; it is tried again by itself"
            self._stuck_at = self.clock.monotonic() if self._stuck_at is None else self._stuck_at
            self._later("retry", self.pace.retry_s)
            return
        if self._stuck_at is not None:
            for live in self.lives.values():
                live.clock_gap -= self.clock.monotonic() - self._stuck_at
            self.stuck, self._stuck_at = "", None
        for hear in self.on_committed:
            hear(self.clock.monotonic() - began, added)
        self._flush_now = False
        if "flush" in self._timers:
            self._timers.pop("flush").cancel()
        for live, digests, entries in zip(dirty, saved, pending, strict=True):
            for digest in digests:
                live.spool.uploaded(digest, mark_of(live.run.stage, live.run.round))
            if live.facts:
                self._tell_of(live)
            self.performer.discard_optimizers(live)
            for entry in live.committed(entries):
                self.performer.start_discard(live, entry)
        if changes:
            self.tell_of_changes()

    def tell_of_changes(self) -> None:
        """The feed has something new, for good."""
        for tell in self.on_changes:
            tell()

    def _store(
        self,
        unsaved: Sequence[tuple[Spool, list[bytes]]],
        transitions: Sequence[Transition],
        changes: Sequence[Change],
        records: Sequence[Record],
    ) -> tuple[list[list[str]], Sequence[Sequence[Pending]]]:
        saved, at = [spool.save(payloads) for spool, payloads in unsaved], self.clock.unix()
        if not changes and not records:
            return saved, self.store.commit(transitions, at=at)
        with self.feed.telling(changes, at=at), self.audit.recording(records, at=at, sign=bool(records)):
            return saved, self.store.commit(transitions, at=at)

    # --- answering -----------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        replies, self._replies = self._replies, []
        for reply, live in replies:
            if live.dirty:  # its commit failed, and is tried again
                self._replies.append((reply, live))
                continue
            live.replies -= 1
            if not reply.done():
                reply.set_result(live.run)
        for live in self.lives.values():
            if not live.look or (live.dirty and self._has_new_answer(live)):
                continue
            for silo in live.look:
                held = self.held.get(live.run.id, silo)
                answer = None if held is None else instruction(live.run, silo)
                if held is not None and answer is not None:
                    self._give(live, held, answer)
            live.look.clear()

    def _give(self, live: Live, held: Held, answer: Instruction) -> None:
        try:
            held.give(self._filled(live, answer))
        except AwayError as error:  # the silo waits on, until it can be read again
            self.space.missed(live, error, 0)
        except SeptumError as error:  # the silo waits on, for what the run says without this model
            assert isinstance(answer, Train | Evaluate)
            where = {"run_id": live.run.id, "round": answer.round}
            log.critical("model_unreadable", extra={**where, "error": error.message, "hint": error.hint})
            self.post(live, ModelLost(answer.model.digest, error.message))

    def _filled(self, live: Live, answer: Instruction) -> Instruction:
        """The instruction with a small model inside: the same object for every silo, so that it is encoded once."""
        if not isinstance(answer, Train | Evaluate):
            return answer
        if answer.sealed:  # for this silo alone
            return replace(answer, model=self.shelf.filled(live.run.id, answer.model))
        if live.filled is None or live.filled[0] != answer:
            live.filled = (answer, replace(answer, model=self.shelf.filled(live.run.id, answer.model)))
        return live.filled[1]

    def _invite(self, live: Live) -> None:
        for held in self.held.of_run(POLL):
            offer = invitation(live.run, held.silo, held.serving)
            if offer is not None:
                held.give(offer)
            elif live.run.id in held.serving:  # asked before the run had ended; does it serve it still?
                held.give(Wait())

    def _arm(self) -> None:
        """Wake up at the earliest deadline. Ended runs leave the memory when there are many."""
        due = [live.run.deadline - self._now(live) for live in self.lives.values() if live.run.deadline is not None]
        if due:
            self._later("deadline", max(0.0, min(due)))
        elif "deadline" in self._timers:
            self._timers.pop("deadline").cancel()
        if self.queue.waits and "queue" not in self._timers:
            self._later("queue", QUEUE_S)
        if len(self.lives) > MAX_LIVES and not self._queue:
            for run_id in [id_ for id_, live in self.lives.items() if live.idle and not self.held.of_run(id_)]:
                del self.lives[run_id]


def _too_early(silo: str, report: Result, run: Run) -> ProtocolError:
    what = f"{report.stage.value} round {report.round} attempt {report.attempt}"
    return ProtocolError(
        f"silo {silo!r} reported {what} before it was asked for; it may send it again",
        hint=f"septum run show {run.id}",
    )
