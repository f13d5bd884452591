"""What may silos and operators ask of the runs? The operations behind both APIs, and behind the in-memory channel."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from blake3 import blake3

from septum.adapters.blobs.names import check_digest
from septum.adapters.channel.elsewhere import place_of
from septum.coordinator.driver import Driver
from septum.coordinator.held import POLL, Held
from septum.coordinator.hub import Hubs
from septum.coordinator.inviting import invitation, is_open
from septum.coordinator.journals import RunJournal
from septum.coordinator.live import Live, revive
from septum.coordinator.spool import Mark, mark_of
from septum.coordinator.timelines import rounds_of
from septum.errors import (
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    DigestError,
    NotFoundError,
    ProtocolError,
    SeptumError,
    StorageError,
    TensorError,
)
from septum.plugins.strategies import strategy_for
from septum.ports.blobs import BlobStore, OpenBlob
from septum.ports.channel import EgressError
from septum.ports.run_keys import refuse_shredded
from septum.ports.store import ALL_RUNS, Listed, RunFilter, StoredRun
from septum.protocol import metrics_combine
from septum.protocol.codec import dumps, to_json
from septum.protocol.combine import check
from septum.protocol.facts import Fact, ModelMade, ModelMeasured
from septum.protocol.feed import change_of, submitted
from septum.protocol.finite_scan import FiniteScan
from septum.protocol.messages import (
    Instruction,
    Join,
    Leave,
    Masked,
    Outcome,
    Over,
    Poll,
    PollAnswer,
    Result,
    Serving,
    SiloMessage,
    Stage,
    Wait,
)
from septum.protocol.plan import Plan
from septum.protocol.priority import Priority
from septum.protocol.query_combine import check_sums
from septum.protocol.run import create
from septum.protocol.run_state import Effect, Event, FromSilo, Note, Phase, Presence, Resume, Run
from septum.protocol.sources import Source, source_of
from septum.protocol.stages import is_maker
from septum.protocol.timeline import RoundLine
from septum.protocol.views import (
    JournalView,
    ModelView,
    RunStatus,
    RunView,
    models_of,
    newest_model,
    run_view,
)

JOURNAL_PAGE = 1000
BEHIND_S = 1.0
ELSEWHERE_BYTES = 8 * 2**20  # of a model: for less, another connection is not worth it
LEAVE_EVERY_S = 5.0  # of one silo and run


class RunService:
    """The runs, as silos and operators see them. For the driver's event loop.

    journals  those of all runs, each as it grows, for whoever watches
    """

    def __init__(self, driver: Driver, blobs: BlobStore, *, max_blob_bytes: int) -> None:
        self._driver = driver
        self._blobs = blobs
        self._max_blob_bytes = max_blob_bytes
        self.journals: Hubs[None] = Hubs(lambda run_id: RunJournal(driver, run_id))
        driver.on_facts.append(self.journals.wake)
        driver.on_drain.append(self.journals.end)
        self.machine_of: Callable[[str], str] = lambda _: ""  # what a silo said of its software and processor
        self.address_of: Callable[[str, str], str] | None = None  # where else a model may be read, by run and digest
        self.on_refused: Callable[[SeptumError], None] = lambda _: None  # a report was

    # --- silos ---------------------------------------------------------------------------------------------------

    async def poll(self, silo: str, message: Poll) -> PollAnswer:
        """A run that wants this silo and that it does not serve yet, oldest first; Wait when there is none in time."""
        for live in self._driver.lives.values():
            offer = invitation(live.run, silo, message.serving)
            if offer is not None:
                return offer
        at_most_s = BEHIND_S if self._is_behind(silo, message) else math.inf
        held = self._driver.held.hold(silo, POLL, message.serving, at_most_s=at_most_s)
        answer = await self._answer(held)
        assert isinstance(answer, PollAnswer)
        return answer

    def _is_behind(self, silo: str, message: Poll) -> bool:
        """Whether the silo says that it serves a run that has it for absent: it may be about to end its part.

        So it is when a run is resumed right after its end. It is invited again once it no longer says so.
        """
        runs = (self._driver.lives[run].run for run in message.serving if run in self._driver.lives)
        return any(run.outcome is None and run.presence.get(silo) is Presence.ABSENT for run in runs)

    async def exchange(self, silo: str, run_id: str, message: SiloMessage) -> Instruction:
        """The silo's next instruction, once there is one and its grounds are on disk; Wait when there is none in time.

        Raises NotFoundError, ProtocolError as the run machine does, TensorError for a payload that cannot be combined.
        """
        try:
            return await self._exchange(silo, run_id, message)
        except SeptumError as error:
            if isinstance(message, Result):
                self.on_refused(error)
            raise

    async def _exchange(self, silo: str, run_id: str, message: SiloMessage) -> Instruction:
        live = await self._taking_part(silo, run_id)
        if isinstance(message, Leave):
            await self._in_its_turn(live, silo)
            await self._driver.tell(live, FromSilo(silo, message))
            if (waiting := self._driver.held.get(run_id, silo)) is not None:
                waiting.give(Wait())  # who has left waits for nothing
            return Wait()
        unread = isinstance(message, Result) and not await self._check(live, silo, message)
        held = self._driver.held.hold(silo, run_id)
        machine = self.machine_of(silo) if isinstance(message, Join) else ""
        self._driver.post(live, FromSilo(silo, message, machine), held, unread=unread)
        answer = await self._answer(held)
        assert isinstance(answer, Instruction)
        return answer

    async def over(self, silo: str, message: Serving) -> Over:
        """Which of these runs are over for a silo: they have ended, wait in the queue, or are not known."""
        return Over(tuple([run for run in message.runs if await self._is_over(silo, run)]))

    async def _is_over(self, silo: str, run_id: str) -> bool:
        try:
            live = await self._driver.load(run_id)
        except NotFoundError:
            return True
        return not is_open(live.stored) or live.stored.presence.get(silo, Presence.REFUSED) is Presence.REFUSED

    async def _in_its_turn(self, live: Live, silo: str) -> None:
        """Let a silo take leave now and then: who comes and goes in a loop would fill the journal, and so the disk."""
        now = asyncio.get_running_loop().time()
        turn = max(now, live.leaving.get(silo, now))
        if turn - now > self._driver.pace.hold_s:
            raise ConnectionFailedError(f"run {live.run.id}: silo {silo!r} comes and goes too often")
        live.leaving[silo] = turn + LEAVE_EVERY_S
        await asyncio.sleep(turn - now)

    async def _answer(self, held: Held) -> Instruction | PollAnswer:
        if self._driver.closing is not None:
            held.fail(self._driver.closing)
        try:
            return await held.answer
        finally:
            self._driver.held.release(held)

    async def _check(self, live: Live, silo: str, report: Result) -> bool:
        """Refuse a payload that could not be combined. False for what the run does not wait for: it is not read."""
        run = live.run
        if not live.wants(silo, report) or report.base != (run.model.digest if run.model else ""):
            return False
        if silo in live.reading:  # each would read all of the payload, in one of the few threads that compute
            raise ConnectionFailedError(f"run {run.id}: a report of silo {silo!r} is being looked at already")
        live.reading.add(silo)
        live.busy += 1  # it is not to leave the memory while we wait
        try:
            if report.payload.inline is not None:
                self._check_source(run, silo, report, source_of(report.payload.inline))
            else:
                await self._driver.performer.compute(self._check_file, live, run, silo, report)
        except TensorError as error:
            where = f"{report.stage.value} round {report.round}: silo {silo!r}"
            raise TensorError(f"{where}: {error.message}", hint=error.hint or f"septum run show {run.id}") from error
        finally:
            live.busy -= 1
            live.reading.discard(silo)
        return True

    def _check_file(self, live: Live, run: Run, silo: str, report: Result) -> None:
        live.spool.check(report.payload)
        with self._blobs.open(live.spool.area, report.payload.digest) as blob:
            self._check_source(run, silo, report, blob.source, live.spool.finite_from(report.payload.digest))

    def _check_source(
        self, run: Run, silo: str, report: Result, source: Source, finite_from: int | None = None
    ) -> None:
        base = self._driver.shelf.layout(run.id, run.model) if report.stage is Stage.TRAIN and run.model else None
        masked = isinstance(report, Masked)
        noisy = metrics_combine.asked_of(run.plan, report.stage)
        check(
            report.stage,
            source,
            base,
            initial=is_maker(run, silo),
            masked=masked,
            noisy=noisy,
            finite_from=finite_from,
        )
        if run.plan.query is not None:
            check_sums(run.plan.query, source)

    async def upload_to(self, silo: str, run_id: str) -> tuple[Live, Mark]:
        """Where a payload of this silo may go now. Raises NotFoundError, or ProtocolError when none is expected.

        On the way down the error that says so: nobody would wait for the rest of it.
        """
        live = await self._taking_part(silo, run_id)
        if self._driver.closing is not None:
            raise self._driver.closing
        if live.run.outcome is not None:
            raise ProtocolError(f"run {run_id} has ended ({live.run.outcome.value})", hint=f"septum run show {run_id}")
        return live, mark_of(live.run.stage, live.run.round)

    def store_payload(self, live: Live, chunks: Iterable[bytes], digest: str) -> None:
        """Store a payload. For a thread of its own; then call `uploaded` in the event loop."""
        self._blobs.put(live.spool.area, chunks, durable=False, digest=digest, limit=self._max_blob_bytes)

    def append_payload(
        self, live: Live, silo: str, digest: str, chunks: Iterable[bytes], start: int, size_bytes: int = 0
    ) -> None:
        """Like `store_payload`, from byte `start` on; when it is cut, what came is kept. Raises OffsetError.

        `size_bytes`: of what comes, 0 if that is not known. Numbers of a whole payload are looked at as they pass.
        """
        scan = FiniteScan(size_bytes)
        area, limit = live.spool.area, self._max_blob_bytes
        self._blobs.append(area, digest, chunks if start else scan.over(chunks), sender=silo, start=start, limit=limit)
        if scan.finite_from is not None:
            live.spool.scanned(digest, scan.finite_from)

    def arrived(self, live: Live, silo: str, digest: str) -> tuple[int, bool]:
        """How many bytes of a silo's payload are here, and whether that is all; then call `uploaded`."""
        try:
            return self._blobs.size_bytes(live.spool.area, digest), True
        except NotFoundError:
            return self._blobs.kept_bytes(live.spool.area, digest, sender=silo), False

    def no_room(self, live: Live, error: StorageError, size_bytes: int) -> None:
        """An upload could not be stored: the run waits until there is room, and its silos send it again."""
        self._driver.space.missed(live, error, size_bytes)

    def settle_upload(self, live: Live) -> None:
        """An upload has ended, in whatever way. If its run has too, what is kept of it goes."""
        if live.run.outcome is not None:
            self._driver.performer.discard_payloads(live, [])

    def uploaded(self, live: Live, silo: str, digest: str, mark: Mark) -> None:
        """A silo's payload is on disk. Its older ones go, so that no silo fills the disk; all, if the run has ended."""
        live.spool.uploaded(digest, mark)
        stale = live.spool.replaced_by(silo, digest, live.run)
        if live.run.outcome is not None:
            stale = live.spool.expire(mark)
        if stale:
            self._driver.performer.discard_payloads(live, stale)

    @asynccontextmanager
    async def model_for(self, silo: str, run_id: str, digest: str, *, whole: bool = True) -> AsyncIterator[OpenBlob]:
        """The run's newest model, the only one that a silo may read. Raises NotFoundError.

        A silo that asks for the `whole` of it a second time could not use what it got: then the file is looked at.
        """
        live = await self._taking_part(silo, run_id)
        if live.run.model is None or live.run.model.digest != digest:
            raise NotFoundError(f"blob {digest} is not the model of run {run_id}", hint=f"septum run show {run_id}")
        if whole and live.given.get(silo) == digest:
            for lost in await self._driver.performer.losses(live):
                self._driver.post(live, lost)
        live.given[silo] = digest
        async with self.model(run_id, digest) as opened:
            yield opened

    async def model_elsewhere(self, silo: str, run_id: str, digest: str, hosts: Sequence[str]) -> str:
        """Where else a silo may read the run's newest model, if it takes it from these hosts; empty: nowhere.

        A silo that asks a second time could not use what it found there, and gets it here.
        """
        live = await self._taking_part(silo, run_id)
        model, address_of = live.run.model, self.address_of
        if address_of is None or not hosts or model is None or model.digest != digest:
            return ""
        if model.size_bytes < ELSEWHERE_BYTES or live.given.get(silo) == digest or live.shredded_at is not None:
            return ""
        location = await self._driver.performer.read(address_of, run_id, digest)
        try:
            place_of(location, hosts)
        except (EgressError, ConfigError):  # or a rule that is none
            return ""
        live.given[silo] = digest
        return location

    async def plan_of_silo(self, silo: str, run_id: str) -> Plan:
        """The plan of a run in which a silo takes part. Raises NotFoundError, ProtocolError for another's run."""
        return (await self._taking_part(silo, run_id)).run.plan

    async def _taking_part(self, silo: str, run_id: str) -> Live:
        live = await self._driver.load(run_id)
        if silo not in live.run.presence:
            raise ProtocolError(f"silo {silo!r} is not part of run {run_id}", hint=f"septum run show {run_id}")
        return live

    def end_held(self, silo: str, error: SeptumError) -> None:
        """A silo's key counts no more: what is held for it is answered with `error`."""
        self._driver.held.end_silo(silo, error)

    async def revoked(self, silo: str) -> None:
        """A silo takes no part any more: the runs go on without it."""
        for live in tuple(self._driver.lives.values()):
            if silo in live.run.presence and live.run.outcome is None:
                await self._driver.tell(live, FromSilo(silo, Leave("this silo's key was revoked")))

    def release(self, silo: str) -> None:
        """Answer what is held for a silo with Wait."""
        self._driver.held.release_silo(silo)

    # --- operators -----------------------------------------------------------------------------------------------

    async def submit(
        self, plan: Plan, key: str, project: str = "", priority: Priority = Priority.NORMAL, by: str = ""
    ) -> RunView:
        """A new run, in a project or in none; the same one again for the same key, plan and project.

        It waits in the queue where its silos have no room for it now. `by`: who submits it; of a repeated submission
        the first.

        Raises ConfigError for settings that the strategy does not know, for fewer silos than it needs and for more than
        a silo ever has room for, PluginError for a strategy that cannot be loaded, ConflictError when the key had
        another plan or project.
        """
        await self._driver.performer.read(strategy_for, plan)
        queue = self._driver.queue
        queue.check(plan)
        run, effects = create(run_id_of(key), plan, now=0.0, priority=priority)
        since = queue.since_when(self._driver.lives.values(), run)
        if since is None:
            with queue.entering(run):
                return await self._enter(run, effects, project, by)
        waits = create(run.id, plan, now=0.0, priority=priority, queued_at=since)
        return await self._enter(*waits, project, by)

    async def _enter(self, run: Run, effects: Sequence[Effect], project: str, by: str) -> RunView:
        """Store a new run, and take it into memory; or find the one that this submission made before."""
        plan = run.plan
        facts = [effect.fact for effect in effects if isinstance(effect, Note)]
        try:
            stored = await self._driver.performer.write(self._create, run, facts, project, by)
        except ConflictError:
            live = await self._driver.load(run.id)
            other = "plan" if live.run.plan.digest != plan.digest else "project" if live.project != project else ""
            if other:
                raise ConflictError(
                    f"this submission was already made, as run {run.id}, with another {other}",
                    hint=f"septum run show {run.id}; submit again with a new key for another run",
                ) from None
            return self._view(live)
        spool = self._driver.spool(run.id, complete=True)
        live = self._driver.adopt(revive(stored, spool, monotonic=self._driver.clock.monotonic()))
        if run.phase is Phase.QUEUED:
            self._driver.look()
        self._driver.tell_of_changes()
        return self._view(live)

    def _create(self, run: Run, facts: Sequence[Fact], project: str, by: str) -> StoredRun:
        at = self._driver.clock.unix()
        also = [change for fact in facts if (change := change_of(run, project, fact)) is not None]  # that it waits, say
        with self._driver.feed.telling([submitted(run, project, by), *also], at=at):
            return self._driver.store.create(run, facts, at=at, project=project, submitter=by)

    async def command(self, run_id: str, event: Event, by: str = "") -> RunView:
        """Stop, Pause or Resume a run, as somebody wants. Raises NotFoundError, ProtocolError for one that cannot.

        A run whose model cannot be read now, which is an AwayError, is not resumed.
        """
        live = await self._driver.load(run_id)
        if isinstance(event, Resume) and live.run.model is not None:
            with suppress(NotFoundError, DigestError):  # it is lost, which the run is told when a silo needs it
                await self._driver.performer.read(self._driver.shelf.filled, run_id, live.run.model)
        await self._driver.tell(live, event, by)
        return self._view(live)

    async def run(self, run_id: str) -> RunView:
        """One run. Raises NotFoundError."""
        return self._view(await self._driver.load(run_id))

    async def plan(self, run_id: str) -> Plan:
        """What a run was settled to do. Raises NotFoundError."""
        return (await self._driver.load(run_id)).run.plan

    def is_here(self, run_id: str) -> bool:
        """Whether a run is in memory: one at work always is."""
        return run_id in self._driver.lives

    def has_ended(self, run_id: str) -> bool:
        """Whether a run is in memory and over, maybe a moment before the store says so."""
        live = self._driver.lives.get(run_id)
        return live is not None and live.run.outcome is not None

    async def times(self, run_id: str) -> tuple[float, float | None]:
        """When a run began and when it ended, Unix seconds; None while it has not. Raises NotFoundError."""
        live = await self._driver.load(run_id)
        return live.created_at, None if live.stored.outcome is None else live.ended_at

    async def project_of(self, run_id: str) -> str:
        """The project of a run, empty for none. Raises NotFoundError."""
        live = self._driver.lives.get(run_id)
        return live.project if live else await self._driver.performer.read(self._driver.store.project_of, run_id)

    async def runs(
        self,
        statuses: frozenset[RunStatus] = frozenset(),
        wanted: RunFilter = ALL_RUNS,
        *,
        asks: bool = False,
        limit: int,
        before: str = "",
    ) -> tuple[Listed, ...]:
        """Runs that are wanted, newest first, each with its view and newest model; of `statuses`, if there are any.

        `asks`: those alone that ask for statistics.
        """
        lives = self._driver.lives.values()  # what has not ended is here
        if asks:
            wanted = replace(wanted, asking=frozenset(live.run.id for live in lives if live.run.plan.query is not None))
        if statuses:
            ended = frozenset(Outcome(status.value) for status in statuses if status.ended)
            these = frozenset(live.run.id for live in lives if self._view(live).status in statuses)
            wanted = replace(wanted, ended=ended, these=these)
        page = await self._driver.performer.read(self._driver.store.listed, limit=limit, before=before, wanted=wanted)
        return tuple([await self._whole(one) for one in page])

    async def _whole(self, one: Listed) -> Listed:
        """With what the store does not keep of a run at work: it is in memory."""
        live = self._driver.lives.get(one.run_id)
        if live is None and not one.view:  # it has ended since the list was read
            live = await self._driver.load(one.run_id)
        if live is None or (one.view and live.stored.outcome is not None and not live.dirty):
            return one
        model = newest_model(live.stored)
        return Listed(one.run_id, dumps(to_json(self._view(live))), dumps(to_json(model)) if model else b"")

    def _view(self, live: Live) -> RunView:
        """What is in the store: nobody is told what a crash could undo. A run that cannot be committed says so."""
        view = run_view(
            live.stored,
            created_at=live.created_at,
            project=live.project,
            submitter=live.submitter,
            ended_at=live.ended_at,
            shredded_at=live.shredded_at,
            shredded_by=live.shredded_by,
        )
        if live.dirty and self._driver.stuck:
            return replace(view, status=RunStatus.PAUSED, reason=self._driver.stuck)
        wait = self._driver.queue.waits.get(live.run.id) if view.status is RunStatus.QUEUED else None
        return view if wait is None else replace(view, reason=wait.reason, position=wait.position)

    async def models(self, run_id: str) -> tuple[ModelView, ...]:
        """Every model of a run, oldest first. Raises NotFoundError."""
        facts, after = [], 0
        while entries := await self.journal(run_id, after=after, limit=JOURNAL_PAGE, kinds=(ModelMade, ModelMeasured)):
            facts += [entry.fact for entry in entries]
            after = entries[-1].seq
        return models_of(run_id, facts)

    @asynccontextmanager
    async def model(self, run_id: str, digest: str) -> AsyncIterator[OpenBlob]:
        """The bytes of a run's model. Raises NotFoundError on entering, DigestError for what is no digest."""
        live = await self._driver.load(run_id)
        refuse_shredded(run_id, live.shredded_by, live.shredded_at)  # a file of it may be left
        async with self._driver.performer.opened(self._driver.shelf.open(run_id, digest)) as opened:
            yield opened

    async def check_model(self, run_id: str, digest: str) -> None:
        """Raise NotFoundError for a run that is none and a model whose bytes are gone; DigestError for no digest."""
        live = await self._driver.load(run_id)
        refuse_shredded(run_id, live.shredded_by, live.shredded_at)  # a file of it may be left
        await self._driver.performer.read(self._driver.shelf.check, run_id, digest)

    async def run_with(self, digest: str) -> str:
        """A run that has made this model, and has its bytes. Raises NotFoundError, DigestError for no digest."""
        check_digest(digest)
        gone = NotFoundError(f"no run has made a model {digest}")
        for run_id in await self._driver.performer.read(self._driver.store.runs_with_model, digest):
            try:
                await self.check_model(run_id, digest)
            except NotFoundError as error:
                gone = error
            else:
                return run_id
        raise gone

    async def journal(
        self, run_id: str, *, after: int, limit: int, kinds: Collection[type[Fact]] = ()
    ) -> tuple[JournalView, ...]:
        """A run's journal from entry `after` (exclusive) on; of these kinds, if any are named. Raises NotFoundError."""
        read, journal = self._driver.performer.read, self._driver.store.journal
        entries = await read(journal, run_id, after=after, limit=limit, kinds=kinds)
        return tuple(JournalView(entry.seq, entry.at, entry.fact) for entry in entries)

    async def timeline(self, run_id: str, *, after_round: int, limit: int) -> tuple[RoundLine, ...]:
        """Where a run's time went, at most `limit` rounds after a round, oldest first. Raises NotFoundError."""
        masked = (await self._driver.load(run_id)).run.plan.masking is not None
        now, store = self._driver.clock.unix(), self._driver.store
        return await self._driver.performer.read(
            rounds_of, store, run_id, after_round=after_round, limit=limit, now=now, masked=masked
        )

    def runs_of(self, app_digest: str) -> tuple[str, ...]:
        """The ids of the runs of an app that have not ended."""
        lives = self._driver.lives.values()
        return tuple(
            sorted(live.run.id for live in lives if live.run.outcome is None and live.run.plan.app.digest == app_digest)
        )

    def statuses(self) -> Iterator[RunStatus]:
        """Of each run that has not ended, what it is doing."""
        return (self._view(live).status for live in self._driver.lives.values() if live.stored.outcome is None)

    @property
    def unfinished(self) -> int:
        """How many runs are at work."""
        return sum(live.run.outcome is None for live in self._driver.lives.values())


def run_id_of(key: str) -> str:
    """The id of the run that a submission with this key makes: 60 bits of its digest, so that a repeat finds it.

    >>> run_id_of("a")
    'r-yfcr4jyi5qqj'
    """
    return "r-" + base64.b32encode(blake3(b"septum-run\0" + key.encode()).digest())[:12].decode().lower()
