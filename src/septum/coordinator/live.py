"""What does the driver hold of one run? Its state, maybe ahead of the store, and what the next commit will say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from septum.coordinator.spool import Spool, mark_of
from septum.ports.store import Pending, StoredRun, Transition
from septum.protocol.audit import AuditKind, Record
from septum.protocol.codec import Json, dumps, to_json
from septum.protocol.facts import Fact, ModelMade, RunEnded, StatisticsMade
from septum.protocol.feed import Change, change_of
from septum.protocol.messages import Instruction, Result, Stage
from septum.protocol.run_state import Combine, Contribution, Discard, Effect, Note, Run


@dataclass(frozen=True, slots=True)
class Discarded:
    """An entry of the outbox is done: payloads were removed."""

    id: int


@dataclass(frozen=True, slots=True)
class Told:
    """Something for the journal: when it happened, Unix seconds, and who asked for it, where somebody did."""

    fact: Fact
    at: float
    by: str = ""


@dataclass(eq=False, slots=True)
class Live:
    """One run in memory.

    stored     the state as it is in the store; `run` is what it will be after the next commit
    version    of the stored state
    project    to which it belongs; empty: to none
    submitter  who submitted it; empty: not known
    ended_at   when it ended last, Unix seconds; None where it never did
    shredded_at, shredded_by  when its key was deleted, Unix seconds, and by whom; None and empty: it was not
    shredding  whether it was shredded or is being shredded: it is not resumed
    clock_gap  engine time minus monotonic clock, seconds: engine time goes on where the stored state left it, so
               deadlines pause while the coordinator is down
    effects    not yet in the outbox
    records    what the next commit adds to the audit log, besides what the feed tells
    outbox     committed, and not known to be performed
    optimizers digests of server optimizer states that the next commit makes useless
    replies    how many wait for the next commit
    look       silos whose open request has to be looked at
    filled     the newest instruction that carries a model, without and with its bytes
    busy       how many things beside the driver are at work on it
    reading    silos whose report is being looked at
    given      silos that asked for a model's file, and its digest
    leaving    when a silo may take leave again, event loop time
    """

    run: Run
    version: int
    created_at: float
    clock_gap: float
    spool: Spool
    project: str = ""
    submitter: str = ""
    ended_at: float | None = None
    shredded_at: float | None = None
    shredded_by: str = ""
    shredding: bool = False
    effects: list[Combine | Discard] = field(default_factory=list)
    facts: list[Told] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    performed: list[int] = field(default_factory=list)
    outbox: dict[int, Combine | Discard] = field(default_factory=dict)
    optimizers: list[str] = field(default_factory=list)
    dirty: bool = False
    replies: int = 0
    look: set[str] = field(default_factory=set)
    filled: tuple[Instruction, Instruction] | None = None
    busy: int = 0
    reading: set[str] = field(default_factory=set)
    given: dict[str, str] = field(default_factory=dict)
    leaving: dict[str, float] = field(default_factory=dict)
    stored: Run = field(init=False)

    def __post_init__(self) -> None:
        self.stored = self.run

    @property
    def idle(self) -> bool:
        """Whether the store knows all of it and nothing goes on, so that it can leave the memory."""
        return self.run.outcome is not None and not (
            self.dirty or self.outbox or self.look or self.busy or self.replies
        )

    def remember(self, pending: Sequence[Pending]) -> None:
        """After a restart: what the outbox holds, and which payloads must be on disk."""
        self.outbox.update((entry.id, entry.effect) for entry in pending)
        self._on_disk(self.run.reports.values())
        for entry in pending:
            if isinstance(entry.effect, Combine):
                self._on_disk(entry.effect.contributions.values())

    def _on_disk(self, contributions: Iterable[Contribution]) -> None:
        for contribution in contributions:
            self.spool.uploaded(contribution.payload.digest, mark_of(self.run.stage, self.run.round))

    def take(self, run: Run, effects: Sequence[Effect], *, at: float, by: str = "") -> list[Combine]:
        """The state after a step; the new Combine effects, which may start before they are committed.

        at, by  when it was, Unix seconds, and who asked for it, where somebody did
        """
        before, self.run = self.run, run
        if effects or replace(run, now=before.now) != before:
            self.dirty = True
        self.optimizers += sorted(_optimizers(before) - _optimizers(run))
        combines = []
        for effect in effects:
            match effect:
                case Note(fact):
                    self.facts.append(Told(fact, at, by))
                    self.records += _recorded(run, fact)
                case Combine():
                    self.effects.append(effect)
                    self.records += _unmasked(run, effect)
                    combines.append(effect)
                case Discard(stage, round_):
                    if self.spool.forget(mark_of(stage, round_)) or run.outcome is not None:
                        self.effects.append(effect)
        return combines

    def settle(self, stage: Stage, round_: int, attempt: int) -> None:
        """A Combine was performed, or could not be: it leaves the outbox, or never enters it.

        A failed one leaves too: the run machine asks for another, if there is to be one.
        """
        key = (stage, round_, attempt)
        self.effects = [effect for effect in self.effects if not _is(effect, key)]
        self.finish([id_ for id_, effect in self.outbox.items() if _is(effect, key)])

    def finish(self, done: Sequence[int]) -> None:
        """Entries of the outbox were performed; the next commit says so."""
        for id_ in done:
            del self.outbox[id_]
            self.performed.append(id_)
            self.dirty = True

    def transition(self) -> Transition:
        """All that the next commit has to say of this run."""
        facts, times = tuple(told.fact for told in self.facts), tuple(told.at for told in self.facts)
        return Transition(self.run, self.version, tuple(self.effects), tuple(self.performed), facts, times)

    def changes(self) -> list[Change]:
        """What the feed will have of it."""
        found = (change_of(self.run, self.project, told.fact, told.by) for told in self.facts)
        return [change for change in found if change is not None]

    def committed(self, pending: Sequence[Pending]) -> list[Pending]:
        """The store has it. Returns the discards that may be performed now."""
        self.version += 1
        self.stored = self.run
        for told in self.facts:
            if isinstance(told.fact, RunEnded):
                self.ended_at = told.at
        self.effects, self.performed, self.facts, self.records, self.dirty = [], [], [], [], False
        self.outbox.update((entry.id, entry.effect) for entry in pending)
        return [entry for entry in pending if isinstance(entry.effect, Discard)]

    def wants(self, silo: str, report: Result) -> bool:
        """Whether a report is one that the run waits for, so that its payload matters. Its base is not looked at."""
        run = self.run
        asked = (run.stage, run.round, run.attempt) == (report.stage, report.round, report.attempt)
        return asked and run.at_work and not run.combining and silo in run.awaited

    def opening(self) -> object:
        """A value that changes when silos that were waiting may have something to do."""
        run = self.run
        step = None if run.exchange is None else run.exchange.step
        return (run.phase, run.round, run.attempt, step, run.paused, run.combining, run.outcome)


def revive(stored: StoredRun, spool: Spool, *, monotonic: float) -> Live:
    """A run as the store has it. A list that silos were asked to sign may be signed, though that was not stored."""
    run = replace(stored.run, burned=stored.run.begun)
    gap = run.now - monotonic
    return Live(
        run,
        stored.version,
        stored.created_at,
        gap,
        spool,
        project=stored.project,
        submitter=stored.submitter,
        ended_at=stored.ended_at,
        shredded_at=stored.shredded_at,
        shredded_by=stored.shredded_by,
        shredding=stored.shredded_at is not None,
    )


def _recorded(run: Run, fact: Fact) -> list[Record]:
    """What the audit log has of a fact that the feed does not tell: what was learnt from the silos' rows."""
    match fact:
        case ModelMade(round_, model):
            return [Record(AuditKind.MODEL_MADE, about={"run": run.id, "round": str(round_), "model": model.digest})]
        case StatisticsMade(query, _):
            digest = sha256(dumps(to_json(query))).hexdigest()
            return [Record(AuditKind.STATISTICS_MADE, about={"run": run.id, "query": f"sha256:{digest}"})]
        case _:
            return []


def _unmasked(run: Run, effect: Combine) -> list[Record]:
    if effect.exchange is None:
        return []
    exchange = replace(effect.exchange, sealed={}, reveals={})  # what silos said to one another, and shares
    said: dict[str, Json] = {"exchange": to_json(exchange), "survivors": [*sorted(effect.contributions)]}
    about = {
        "run": run.id,
        "stage": effect.stage.value,
        "round": str(effect.round),
        "attempt": str(effect.attempt),
        "silos": str(len(effect.contributions)),
        "transcript": f"sha256:{sha256(dumps(said)).hexdigest()}",
    }
    return [Record(AuditKind.SUM_UNMASKED, about=about)]


def _optimizers(run: Run) -> set[str]:
    """The server optimizer states that a run may yet go on from."""
    states = (run.optimizer, run.previous.optimizer if run.previous else None)
    return {blob.digest for blob in states if blob is not None}


def _is(effect: Combine | Discard, key: tuple[object, int, int]) -> bool:
    return isinstance(effect, Combine) and (effect.stage, effect.round, effect.attempt) == key
