"""How do tests drive a run? They make its events by hand, and keep everything that left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from septum.protocol.facts import Fact, Metrics, ModelMeasured, Votes
from septum.protocol.messages import (
    SIGNATURE_BYTES,
    Agree,
    Agreed,
    Await,
    BarrierAnswer,
    Blob,
    Evaluate,
    Failure,
    Join,
    Keys,
    Leave,
    Masked,
    Prepare,
    Refuse,
    Report,
    Result,
    Revealed,
    Shares,
    SiloMessage,
    Stage,
    Train,
    blob_of,
)
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.run import create, instruction, step
from septum.protocol.run_state import (
    Combine,
    Combined,
    CombineFailed,
    Discard,
    Effect,
    Event,
    FromSilo,
    Note,
    Pause,
    Resume,
    Run,
    Step,
    Stop,
    Tick,
)
from septum.secagg.context import threshold
from septum.secagg.messages import Advert, Reveal

CLEVELAND, HUNGARY, SWITZERLAND = "cleveland", "hungary", "switzerland"
THREE = (CLEVELAND, HUNGARY, SWITZERLAND)
FOUR = (CLEVELAND, HUNGARY, "long-beach", SWITZERLAND)
APP = AppRef("heart-disease", "1.0.0", "sha256:" + "a" * 64)
ROSTER, OTHER_ROSTER = "sha256:" + "e" * 64, "sha256:" + "0" * 64

FactT = TypeVar("FactT")


def plan_of(silos: tuple[str, ...] = THREE, **changes: Any) -> Plan:
    """Two rounds, a quorum of two, 60 s to gather, 100 s a round, three attempts; and what a test changes."""
    settings: dict[str, Any] = {"rounds": 2, "quorum": min(2, len(silos)), "deadline_s": 100.0, **changes}
    return Plan("heart", APP, {"lr": 0.1}, silos, **settings)


def masked_plan_of(silos: tuple[str, ...] = FOUR, **changes: Any) -> Plan:
    """The same for a masked run, with the least quorum that it can have: three of four; 20 s for each other step."""
    return plan_of(silos, **{"quorum": threshold(len(silos)), "masking": Masking(), **changes})


def blob(name: str) -> Blob:
    return blob_of(name.encode()).without_bytes()


def report_of(run: Run, silo: str, **changes: Any) -> Result:
    """What an honest silo reports for the work at hand. Without masks its bytes do not depend on the attempt."""
    stage, base = run.stage or Stage.TRAIN, run.model.digest if run.model else ""
    where = (stage, run.round, run.attempt, base)
    if run.plan.masking is not None:
        return replace(Masked(*where, blob(f"{silo} {stage.value} {run.round} {run.attempt}")), **changes)
    weight = 0 if stage is Stage.EVALUATE else 10 * (1 + run.plan.silos.index(silo))
    return replace(Report(*where, blob(f"{silo} {stage.value} {run.round}"), weight), **changes)


def key_of(silo: str, stage: Stage, round_: int, attempt: int) -> bytes:
    """What a silo's messages of one attempt are made of here."""
    return f"{silo} {stage.value} {round_} {attempt}".encode().ljust(32, b".")


def keys_of(silo: str, stage: Stage, round_: int, attempt: int) -> Keys:
    key = key_of(silo, stage, round_, attempt)
    return Keys(stage, round_, attempt, ROSTER, Advert(key, key[::-1], bytes(SIGNATURE_BYTES)))


def sealed_by(silo: str, silos: Iterable[str]) -> dict[str, bytes]:
    return {other: f"{silo} for {other}".encode() for other in silos if other != silo}


def with_ahead(run: Run, silo: str, answer: Result | BarrierAnswer) -> Result | BarrierAnswer:
    """The answer with what it is asked besides, for the attempt that follows: keys beside a result, then shares."""
    asked = instruction(run, silo)
    match answer, asked:
        case Masked(), Prepare(ahead=ahead) | Train(ahead=ahead) | Evaluate(ahead=ahead) if ahead is not None:
            return replace(answer, ahead=keys_of(silo, ahead.stage, ahead.round, ahead.attempt))
        case Agreed(), Agree(ahead=ahead) if ahead is not None:
            shares = Shares(ahead.stage, ahead.round, ahead.attempt, sealed_by(silo, ahead.adverts))
            return replace(answer, ahead=shares)
        case _:
            return answer


def answer_of(run: Run, silo: str, step: Step | None = None, **changes: Any) -> Result | BarrierAnswer:
    """What an honest silo says in the step at hand, or in another one. The run does not look at keys and shares."""
    at = run.exchange.step if run.exchange is not None else Step.WORK
    where = (run.stage or Stage.TRAIN, run.round, changes.get("attempt", run.attempt))
    key = key_of(silo, *where)
    adverts = {} if run.exchange is None else run.exchange.adverts
    answer: Result | BarrierAnswer
    match step or at:
        case Step.KEYS:
            answer = keys_of(silo, *where)
        case Step.SHARES:
            answer = Shares(*where, sealed_by(silo, adverts))
        case Step.WORK:
            answer = report_of(run, silo)
        case Step.AGREE:
            answer = Agreed(*where, key + key)
        case Step.UNMASK:
            shares = dict.fromkeys(run.reports, key.rjust(33, b"\0"))
            answer = Revealed(*where, Reveal(shares, {}))
    return replace(answer, **changes)


def result_of(combine: Combine, **metrics: float) -> Combined:
    """What combining gives: a model named by its ingredients, and the metrics of the model that was measured.

    Of masked results only the sum is known: its ingredients are the silos that are in it."""
    names = " ".join(f"{silo}={c.payload.digest}*{c.weight}" for silo, c in combine.contributions.items())
    if combine.exchange is not None:
        names = " ".join(combine.contributions)
    made = None if combine.stage is Stage.EVALUATE else blob(f"{combine.stage.value} {combine.round} {names}")
    measured = None
    if combine.stage is not Stage.PREPARE:
        of_round = combine.round if combine.stage is Stage.EVALUATE else combine.round - 1
        values = {"accuracy": 0.5, "log_loss": 0.7, "roc_auc": 0.5, **metrics}
        whole = Metrics(rows=30, **values)
        measured = ModelMeasured(of_round, whole, dict.fromkeys(combine.contributions, whole))
    return Combined(combine.stage, combine.round, combine.attempt, made, None, measured)


class Play:
    """A run, the clock beside it, and all effects that have left it."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.now = 0.0
        self.run, effects = create("run-1", plan or plan_of(), self.now)
        self.effects: list[Effect] = [*effects]
        self.history: list[tuple[Event, float]] = []

    def do(self, event: Event) -> tuple[Effect, ...]:
        """Deliver an event; what it made the run do."""
        self.history.append((event, self.now))
        self.run, effects = step(self.run, event, self.now)
        self.effects.extend(effects)
        return effects

    def says(self, silo: str, message: SiloMessage) -> tuple[Effect, ...]:
        return self.do(FromSilo(silo, message))

    def join(self, *silos: str) -> None:
        for silo in silos:
            self.says(silo, Join(self.run.plan.digest))

    def here(self, *silos: str) -> None:
        for silo in silos:
            self.says(silo, Await())

    def leave(self, silo: str, reason: str = "maintenance") -> None:
        self.says(silo, Leave(reason))

    def refuse(self, silo: str, reason: str = "not approved") -> None:
        self.says(silo, Refuse("apps", reason))

    def report(self, *silos: str, **changes: Any) -> None:
        for silo in silos:
            self.says(silo, report_of(self.run, silo, **changes))

    def answer(self, *silos: str, ahead: bool = False, **changes: Any) -> None:
        """These silos say what an honest one says in the step at hand; `ahead`: and what it is asked besides."""
        for silo in silos:
            said = answer_of(self.run, silo, **changes)
            self.says(silo, with_ahead(self.run, silo, said) if ahead else said)

    def on_to(self, step: Step) -> Play:
        """Every awaited silo answers, until this step of the masked attempt is open."""
        while self.run.exchange is not None and self.run.exchange.step is not step:
            self.answer(*self.run.awaited)
        assert self.run.exchange is not None
        return self

    def fail(self, silo: str, reason: str = "the app raised") -> None:
        assert self.run.stage is not None
        self.says(silo, Failure(self.run.stage, self.run.round, self.run.attempt, reason))

    def after(self, seconds: float) -> tuple[Effect, ...]:
        """Let time go on, and tell the run so."""
        self.now += seconds
        return self.do(Tick())

    def combine(self, **metrics: float) -> Combined:
        """Perform the newest Combine effect and deliver its result."""
        result = result_of(self.combines[-1], **metrics)
        self.do(result)
        return result

    def combine_fails(self, reason: str) -> CombineFailed:
        last = self.combines[-1]
        failed = CombineFailed(last.stage, last.round, last.attempt, reason)
        self.do(failed)
        return failed

    def finish_stage(self, **metrics: float) -> None:
        """Every awaited silo answers, in each step, and the reports are combined."""
        while not self.run.combining:
            self.answer(*self.run.awaited)
        self.combine(**metrics)

    def finish_voted(self, accepts: int = 4, voters: int = 4, **metrics: float) -> None:
        """The same in a masked run with a vote: so many accept the model that was measured.

        What is made names the model that it was made from; a server optimizer's state belongs to it.
        """
        while not self.run.combining:
            self.answer(*self.run.awaited)
        effect = self.combines[-1]
        result = result_of(effect, **metrics)
        assert result.measured is not None
        measured = replace(result.measured, silos={}, votes=Votes(accepts, voters))
        if result.model is not None:
            made = blob(f"{effect.stage.value} {effect.round} from {effect.base and effect.base.digest}")
            result = replace(result, model=made, optimizer=blob(f"state behind {made.digest}"))
        self.do(replace(result, measured=measured))

    def open(self, stage: Stage, round_: int = 0) -> Play:
        """Everybody joins and works until this stage and round are open."""
        self.join(*self.run.plan.silos)
        while (self.run.stage, self.run.round) != (stage, round_):
            assert self.run.outcome is None, f"the run ended before {stage.value} {round_}"
            self.finish_stage()
        return self

    def pause(self) -> None:
        self.do(Pause())

    def resume(self) -> None:
        self.do(Resume())

    def stop(self) -> None:
        self.do(Stop())

    @property
    def combines(self) -> list[Combine]:
        return [effect for effect in self.effects if isinstance(effect, Combine)]

    @property
    def discards(self) -> list[Discard]:
        return [effect for effect in self.effects if isinstance(effect, Discard)]

    @property
    def facts(self) -> list[Fact]:
        return [effect.fact for effect in self.effects if isinstance(effect, Note)]

    def facts_of(self, kind: type[FactT]) -> list[FactT]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def asked(self) -> dict[str, object]:
        """The instruction of every silo that has one."""
        instructions = {silo: instruction(self.run, silo) for silo in self.run.plan.silos}
        return {silo: asked for silo, asked in instructions.items() if asked is not None}
