"""Which messages have golden bytes? One of each kind of septum-protocol 1. A new version is a new folder."""

from __future__ import annotations

from septum.protocol.messages import (
    Await,
    Blob,
    End,
    Enroll,
    Enrolled,
    Evaluate,
    Failure,
    Invitation,
    Join,
    Leave,
    Outcome,
    Poll,
    Prepare,
    Refuse,
    Report,
    Stage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, EarlyStopping, Metric, Plan, StrategyRef

_MODEL = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
_PLAN = Plan(
    name="heart-disease",
    app=AppRef("heart-disease", "1.0.0", "sha256:" + "5" * 64),
    hyper={"lr": 0.001, "rounds": 50, "optimizer": "adam", "shuffle": True},
    silos=("cleveland", "hungary", "long-beach-va", "switzerland"),
    rounds=50,
    seed=42,
    quorum=3,
    strategy=StrategyRef("fedavgm", {"momentum": 0.9}),
    gather_s=60.0,
    deadline_s=600.0,
    attempts=3,
    early_stopping=EarlyStopping(Metric.LOG_LOSS, 5, 0.001),
    clip_norm=1.5,
)

SAMPLES = (
    Join(_PLAN.digest),
    Refuse("apps", "heart-disease 1.0.0 is not approved at Universitätsspital"),
    Report(Stage.TRAIN, 7, 1, _MODEL, blob_of(b"tensors"), 152, {"train": 0.25, "evaluate": 0.125}),
    Failure(Stage.TRAIN, 7, 1, "ValueError: the loss is not finite", "Traceback (most recent call last):\n ..."),
    Await(),
    Leave("maintenance until 06:00"),
    Poll(("run-1", "run-2")),
    Invitation("run-1", _PLAN),
    Wait(),
    Prepare(1, initial=True),
    Train(7, 1, Blob(_MODEL, 4_194_304)),
    Evaluate(50, 2, blob_of(b"a small model")),
    End(Outcome.FAILED, "round 7: 2 of 3 silos after 3 attempts; hungary: the process hung"),
    Enroll("cleveland", "token", b"\x01" * 32, b"\x02" * 64),
    Enrolled("cleveland", "blake3:" + "c" * 64),
)
