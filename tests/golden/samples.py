"""Which values have golden bytes? One of each kind that others read: silos, workers, tools, and septum itself later.

SAMPLES is septum-protocol 1, FRAME_SAMPLES septum-frames 3: a new version is a new folder. VIEW_SAMPLES is what the
public API answers, STORED_SAMPLES what lies on disk for a later septum: journals, outboxes, a silo's sessions.
"""

from __future__ import annotations

from dataclasses import replace

from septum.adapters.launch.frames import Done, Failed, Perform, Ready, Start
from septum.ports.launcher import WorkerLimits
from septum.protocol import facts
from septum.protocol.deploying import DeploymentOrder, DeploymentOrders, DeployState, Told
from septum.protocol.description import OfferedDataset, SiloDescription, Standing
from septum.protocol.facts import Metrics
from septum.protocol.log_lines import LogBatch, LogLevel, LogLine, LogOrigin
from septum.protocol.messages import (
    Agree,
    Agreed,
    AppOffer,
    AppOffers,
    Await,
    Blob,
    End,
    Enroll,
    Enrolled,
    Evaluate,
    Failure,
    Invitation,
    Join,
    Keys,
    Leave,
    MakeKeys,
    Masked,
    Outcome,
    Over,
    Poll,
    Prepare,
    Refuse,
    Report,
    Revealed,
    Serving,
    ShareKeys,
    Shares,
    Stage,
    Train,
    Unmask,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, EarlyStopping, Metric, Plan, StrategyRef
from septum.protocol.priority import Priority
from septum.protocol.privacy import Mode, Strength
from septum.protocol.query import Code, ColumnAnswer, Pair, Quantile, Query, QueryAnswer, QueryColumn, TableAnswer
from septum.protocol.registered import (
    Act,
    Deployment,
    DeploymentView,
    ModelStage,
    ModelVersion,
    ModelVersionView,
    SiloState,
)
from septum.protocol.run_state import Combine, Contribution, Discard, Presence
from septum.protocol.silo import Held, Job, SiloPhase, SiloRun
from septum.protocol.system import Readings, SystemReport, SystemSample
from septum.protocol.views import (
    AppView,
    HealthView,
    InviteView,
    JournalView,
    ModelView,
    PrivacyView,
    Pruned,
    PrunedRun,
    RunStatus,
    RunView,
    Shredded,
    SiloDetail,
    SiloInRun,
    SiloModelView,
    SiloStatus,
    SiloView,
)
from septum.secagg.messages import Advert, Reveal

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

_ADVERT = Advert(b"\x01" * 32, b"\x02" * 32, b"\x03" * 64)
_OFFER = AppOffer(_PLAN.app.digest, "heart-disease", "1.0.0", Blob(_MODEL, 4096), '[{"key": "..."}]')

_DESCRIPTION = SiloDescription(
    "0.1.0",
    "3.12.1",
    "Debian GNU/Linux 12 (bookworm), x86_64",
    16,
    128_000,
    ("NVIDIA H200",),
    {"region": "north"},
    (OfferedDataset("heart", ("age", "sex", "chol"), "300-399"), OfferedDataset("lab")),
)

_ORDER = DeploymentOrder(7, "heart", 3, "r-1", 12, Blob(_MODEL, 4_194_304), _PLAN.app, _PLAN.hyper, 42, ("head.*",))

SAMPLES = (
    DeploymentOrders((_ORDER,)),
    Told(7, DeployState.FAILED, "it did not reach this silo's bound for roc_auc", {"roc_auc": 0.625}),
    Join(_PLAN.digest),
    Refuse("apps", "heart-disease 1.0.0 is not approved at Universitätsspital"),
    Report(Stage.TRAIN, 7, 1, _MODEL, blob_of(b"tensors"), 152, {"train": 0.25, "evaluate": 0.125}),
    Failure(Stage.TRAIN, 7, 1, "ValueError: the loss is not finite", "Traceback (most recent call last):\n ..."),
    Await(),
    Leave("maintenance until 06:00"),
    Poll(("run-1", "run-2")),
    Serving(("run-1", "run-2")),
    Over(("run-2",)),
    Invitation("run-1", _PLAN),
    Wait(),
    Prepare(1, initial=True),
    Train(7, 1, Blob(_MODEL, 4_194_304)),
    Evaluate(50, 2, blob_of(b"a small model")),
    End(Outcome.FAILED, "round 7: 2 of 3 silos after 3 attempts; hungary: the process hung"),
    Enroll("cleveland", "token", b"\x01" * 32, b"\x02" * 64),
    Enrolled("cleveland", "blake3:" + "c" * 64),
    _OFFER,
    AppOffers((_OFFER,)),
    MakeKeys(Stage.TRAIN, 7, 1),
    Keys(Stage.TRAIN, 7, 1, "sha256:" + "a" * 64, _ADVERT),
    ShareKeys(Stage.TRAIN, 7, 1, {"cleveland": _ADVERT}),
    Shares(Stage.TRAIN, 7, 1, {"hungary": b"sealed for hungary"}),
    Masked(Stage.TRAIN, 7, 1, _MODEL, blob_of(b"masked"), {"train": 0.25}),
    Agree(Stage.TRAIN, 7, 1, ("cleveland", "hungary")),
    Agreed(Stage.TRAIN, 7, 1, b"\x04" * 64),
    Unmask(Stage.TRAIN, 7, 1, {"cleveland": b"\x04" * 64}),
    _DESCRIPTION,
    Standing(paused=True, reason="a new storage array until Monday"),
    LogBatch(
        "00f1e2d3c4b5a697",
        128,
        (
            LogLine(1_800_000_000.5, LogLevel.INFO, LogOrigin.AGENT, "working stage=train round=7 attempt=1", 7),
            LogLine(1_800_000_001.25, LogLevel.WARNING, LogOrigin.APP, "Überlauf: the loss is not finite", 7),
        ),
    ),
    SystemReport(
        (
            SystemSample(1_800_000_000.0, Readings(12.0, 4_100.0, 81_000.0, 3.0, 1.0)),
            SystemSample(1_800_000_010.0, Readings(97.0, 6_200.0, 81_000.0, 900.0, 2.0, 88.0, 15_300.0)),
        ),
        memory_mb=16_000.0,
        disk_mb=500_000.0,
    ),
    Revealed(Stage.TRAIN, 7, 1, Reveal({"cleveland": bytes(32) + b"\x05"}, {"hungary": bytes(32) + b"\x06"})),
)

_PAYLOAD = Blob("blake3:" + "d" * 64, 4_194_304)
_METRICS = Metrics(299, 0.8125, 0.4375, 0.875, 0.0009765625)
_LEFT = facts.SiloLeft("hungary", "maintenance until 06:00")

FRAME_SAMPLES = (
    Start(
        run="r-1",
        silo="cleveland",
        app_dir="/srv/silo/app",
        app_digest=_PLAN.app.digest,
        data_path="/srv/silo/data.csv",
        hyper=_PLAN.hyper,
        seed=42,
        strategy=_PLAN.strategy,
        run_dir="/srv/silo/runs/r-1/work",
        limits=WorkerLimits(memory_bytes=2**32, cpu_s=3600),
        paths=("/srv/silo/environments/0f/packages",),
    ),
    Perform(
        Stage.TRAIN,
        7,
        None,
        False,
        "/srv/silo/runs/r-1/work/train-6.state",
        "/srv/silo/runs/r-1/work/train-7.state",
        b"a small model",
    ),
    Ready(),
    Done(152, {"train": 0.25}, b"a small update", state_bytes=1_024),
    Failed("ValueError: the loss is not finite", "look at the data", "Traceback (most recent call last):\n ..."),
)

_VERSION = ModelVersion(
    "heart",
    3,
    "r-1",
    12,
    Blob(_MODEL, 4_194_304),
    _PLAN,
    ("cleveland", "hungary"),
    _METRICS,
    "sepsis",
    Act("ada", 1_800_000_001.0),
    Act("bob", 1_800_000_002.0),
)

VIEW_SAMPLES = (
    PrunedRun("r-1", 4, 4096),
    Pruned((PrunedRun("r-1", 4, 4096),), done=True),
    SiloModelView("r-1", 7, "cleveland", _MODEL, 4_194_304, _MODEL, _PAYLOAD.digest, 0.25, _METRICS),
    RunView(
        id="r-1",
        name="heart-disease",
        app=_PLAN.app,
        status=RunStatus.TRAINING,
        round=7,
        finished_rounds=6,
        rounds=50,
        attempt=1,
        quorum=3,
        silos=(SiloInRun("cleveland", Presence.ACTIVE, True), SiloInRun("hungary", Presence.ABSENT, False, "lunch")),
        strategy=_PLAN.strategy,
        hyper=_PLAN.hyper,
        plan_digest=_PLAN.digest,
        metrics=_METRICS,
        model=_MODEL,
        reason="",
        created_at=1_800_000_000.25,
    ),
    SiloInRun("hungary", Presence.ABSENT, False, "maintenance until 06:00"),
    PrivacyView(Mode.RECORD, Strength.ENFORCED, {"cleveland": 5.0, "hungary": 5.0}, None),
    ModelView("r-1", 6, _MODEL, 4_194_304, _METRICS),
    AppView(_PLAN.app.digest, "heart-disease", "1.0.0", Blob(_MODEL, 4096), 1_800_000_000.0, "[]"),
    SiloView("cleveland", SiloStatus.ONLINE, 1_800_000_000.0, 1_800_000_060.5),
    SiloDetail(
        SiloView("cleveland", SiloStatus.PAUSED, 1_800_000_000.0, 1_800_000_060.5, "default", "0.1.0"),
        _DESCRIPTION,
        1_800_000_001.0,
        Standing(paused=True, reason="a new storage array until Monday"),
        1_800_000_050.0,
    ),
    ModelVersionView(_VERSION, ModelStage.DEPLOYED, ("cleveland",)),
    DeploymentView(
        Deployment(7, "heart", 3, "cardio", (), Act("ada", 1_800_000_003.0)),
        ("cleveland",),
        (SiloState("cleveland", Told(7, DeployState.ACTIVE), 1_800_000_004.0),),
    ),
    JournalView(12, 1_800_000_061.5, _LEFT),
    InviteView("zurich", "septum1_token", 1_800_086_400.0),
    HealthView("0.1.0", 1_800_000_000.0, 1, 3),
)
VIEW_SAMPLES += tuple(
    Shredded(replace(one, status=RunStatus.FINISHED, shredded_at=1_800_000_003.0, shredded_by="ada"), under_key=True)
    for one in VIEW_SAMPLES
    if isinstance(one, RunView)
)

_QUERY = Query(
    columns=(
        QueryColumn("age", "years", True, 18.0, 110.0, moments=True, quantiles=(0.25, 0.5), cuts=(40.0, 60.0)),
        QueryColumn("sex", codes=(Code(0.0, "female"), Code(1.0, "male"))),
    ),
    tables=(Pair("sex", "age"),),
)
_ANSWER = QueryAnswer(
    rows=100,
    silos=("cleveland", "hungary"),
    columns=(
        ColumnAnswer("age", 100, 0, 52.5, 9.25, (Quantile(0.25, 47.0, 0.0), Quantile(0.5, None, 0.0)), (20, 50, 30)),
        ColumnAnswer("sex", None, None, groups=(40, None)),
    ),
    tables=(
        TableAnswer("sex", "age", ((10, 20, 10, 0), (10, 30, None, 0), (0, 0, None, 0))),
        TableAnswer("sex", "age", ((10, 20), (20, 10)), 6.5, 1, 0.0125, 15.0, (0.25, 0.125, 0.75)),
    ),
)

STORED_SAMPLES = (
    facts.RunCreated("heart-disease", _PLAN.digest),
    facts.SiloJoined("cleveland"),
    facts.SiloReturned("hungary"),
    facts.SiloRefused("zurich", "apps", "heart-disease 1.0.0 is not approved"),
    _LEFT,
    facts.SiloReported("cleveland", Stage.TRAIN, 7, 1, {"train": 0.25, "evaluate": 0.125}),
    facts.SiloFailed("hungary", Stage.TRAIN, 7, 1, "ValueError: the loss is not finite", "Traceback ..."),
    facts.StageOpened(Stage.TRAIN, 7, 1, ("cleveland", "hungary")),
    facts.StageClosed(Stage.TRAIN, 7, 1, ("cleveland",), ("hungary",)),
    facts.AttemptFailed(Stage.TRAIN, 7, 1, ("cleveland",), ("hungary",)),
    facts.CombineRefused(Stage.TRAIN, 7, 1, "update.w: a sum is not finite"),
    facts.PayloadsLost(Stage.TRAIN, 7, 1, ("cleveland",)),
    facts.ModelLost(6, "it was changed on disk"),
    facts.ModelMade(7, Blob(_MODEL, 4_194_304)),
    facts.ModelMeasured(6, _METRICS, {"cleveland": _METRICS}),
    facts.SiloModelsKept(
        7, Blob(_MODEL, 4_194_304), {"cleveland": facts.SiloModel(Blob(_MODEL, 4_194_304), _PAYLOAD, 0.25)}
    ),
    facts.StatisticsMade(_QUERY, _ANSWER),
    facts.RunPaused("no space left"),
    facts.RunResumed(),
    facts.RunQueued(),
    facts.RunDequeued(),
    facts.RunPrioritised(Priority.HIGH),
    facts.RunEnded(Outcome.FAILED, "round 7: 2 of 3 silos after 3 attempts"),
    Combine(Stage.TRAIN, 7, 1, Blob(_MODEL, 4_194_304), _PAYLOAD, {"cleveland": Contribution(_PAYLOAD, 152)}),
    Discard(Stage.TRAIN, 6),
    SiloRun(
        "r-1",
        "cleveland",
        _PLAN,
        phase=SiloPhase.ENDED,
        refusal=Refuse("policy", "not today"),
        job=Job(Stage.TRAIN, 7, 2, Blob(_MODEL, 4_194_304)),
        working=True,
        tries=1,
        held=Held(Job(Stage.TRAIN, 7, 1, Blob(_MODEL, 4_194_304)), _PAYLOAD, 152, {"train": 0.25}, True),
        failure=Failure(Stage.TRAIN, 7, 1, "ValueError: the loss is not finite", "Traceback ..."),
        carried=6,
        before=5,
        outcome=Outcome.STOPPED,
    ),
)
