"""Which runs, facts and effects do the contract suites store? Small ones with every kind of field in use."""

from __future__ import annotations

from dataclasses import replace

from septum.protocol import run as machine
from septum.protocol.facts import Fact, Metrics, ModelMeasured, SiloJoined, SiloReported
from septum.protocol.messages import Blob, Outcome, Stage
from septum.protocol.plan import AppRef, EarlyStopping, Masking, Plan, StrategyRef, digest_of
from septum.protocol.query import Query, QueryColumn
from septum.protocol.run_state import Best, Combine, Contribution, Discard, Phase, Presence, Run

SILOS = ("cleveland", "hungary")
MODEL = Blob(digest_of(b"model"), 5)
METRICS = Metrics(rows=10, accuracy=0.7, log_loss=0.1 + 0.2, roc_auc=None, roc_auc_bound=1e-3)
CONTRIBUTIONS = {silo: Contribution(Blob(digest_of(silo.encode()), len(silo)), 7) for silo in SILOS}
COMBINE = Combine(Stage.TRAIN, 2, 1, MODEL, None, CONTRIBUTIONS)
DISCARD = Discard(Stage.TRAIN, 1)
FACTS: tuple[Fact, ...] = (
    SiloJoined("cleveland"),
    SiloReported("cleveland", Stage.TRAIN, 1, 1, {"train": 0.25}),
    ModelMeasured(1, METRICS, {"cleveland": METRICS}),
)


def new_run(run_id: str) -> Run:
    """A run as the run machine makes it."""
    plan = Plan(
        name="heart disease · β",
        app=AppRef("heart-disease", "1.0.0", "sha256:" + "0" * 64),
        hyper={"rounds": 3, "lr": 1e-3, "optimizer": "adam", "balanced": True},
        silos=SILOS,
        rounds=3,
        strategy=StrategyRef("fedadam", {"server_lr": 0.1}),
        early_stopping=EarlyStopping(),
    )
    return machine.create(run_id, plan, 0.0)[0]


def asking_run(run_id: str) -> Run:
    """A run that asks for statistics, as the run machine makes it."""
    plan = Plan(
        name="statistics of heart-disease",
        app=new_run(run_id).plan.app,
        hyper={},
        silos=SILOS,
        rounds=1,
        masking=Masking(),
        query=Query((QueryColumn("age"),)),
    )
    return machine.create(run_id, plan, 0.0)[0]


def busy_run(run_id: str) -> Run:
    """A run in the middle of a round, with all its fields in use."""
    return replace(
        new_run(run_id),
        phase=Phase.TRAIN,
        round=2,
        presence={"cleveland": Presence.ACTIVE, "hungary": Presence.REFUSED},
        cohort=SILOS,
        reports=CONTRIBUTIONS,
        failures={"hungary": "its “disk” is full\n"},
        combining=True,
        model=MODEL,
        finished=1,
        optimizer=MODEL,
        measured=METRICS,
        best=Best(0.5, 1, stale=2),
        deadline=None,
        remaining_s=1 / 3,
        now=1e9 + 0.1,
    )


def ended_run(run_id: str) -> Run:
    """A run that is over."""
    return replace(new_run(run_id), phase=Phase.ENDED, outcome=Outcome.FINISHED, deadline=None)
