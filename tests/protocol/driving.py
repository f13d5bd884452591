"""How do tests drive a run? They make its events by hand, and keep everything that left it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from septum.protocol.facts import Fact, Metrics, ModelMeasured
from septum.protocol.messages import Await, Blob, Failure, Join, Leave, Refuse, Report, SiloMessage, Stage, blob_of
from septum.protocol.plan import AppRef, Plan
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
    Stop,
    Tick,
)

CLEVELAND, HUNGARY, SWITZERLAND = "cleveland", "hungary", "switzerland"
THREE = (CLEVELAND, HUNGARY, SWITZERLAND)
APP = AppRef("heart-disease", "1.0.0", "sha256:" + "a" * 64)

FactT = TypeVar("FactT")


def plan_of(silos: tuple[str, ...] = THREE, **changes: Any) -> Plan:
    """Two rounds, a quorum of two, 60 s to gather, 100 s a round, three attempts; and what a test changes."""
    settings: dict[str, Any] = {"rounds": 2, "quorum": min(2, len(silos)), "deadline_s": 100.0, **changes}
    return Plan("heart", APP, {"lr": 0.1}, silos, **settings)


def blob(name: str) -> Blob:
    return blob_of(name.encode()).without_bytes()


def report_of(run: Run, silo: str, **changes: Any) -> Report:
    """What an honest silo reports for the work at hand. Its bytes do not depend on the attempt."""
    stage = run.stage or Stage.TRAIN
    report = Report(
        stage,
        run.round,
        run.attempt,
        base=run.model.digest if run.model else "",
        payload=blob(f"{silo} {stage.value} {run.round}"),
        weight=0 if stage is Stage.EVALUATE else 10 * (1 + run.plan.silos.index(silo)),
    )
    return replace(report, **changes)


def result_of(combine: Combine, **metrics: float) -> Combined:
    """What combining gives: a model named by its ingredients, and the metrics of the model that was measured."""
    names = " ".join(f"{silo}={c.payload.digest}*{c.weight}" for silo, c in combine.contributions.items())
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
        """Every awaited silo reports, and the reports are combined."""
        self.report(*self.run.awaited)
        self.combine(**metrics)

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
