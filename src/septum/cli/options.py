"""Which options describe a run? `run submit` and `simulate` take the same ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer

from septum.errors import ConfigError

DP_CLIP, DP_BATCH, DP_STEPS, DP_RATE = 1.0, 64, 1, 0.2

Project = Annotated[
    str,
    typer.Option("--project", metavar="PROJECT", help="The project of the run; its silos are those of its group."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A hyper-parameter of the app; may be repeated."),
]
Preset = Annotated[str, typer.Option("--preset", metavar="NAME", help="A preset of the app to start from.")]
Rounds = Annotated[int | None, typer.Option("--rounds", min=1, help="Rounds; the same as --set rounds=N.")]
Quorum = Annotated[int, typer.Option("--quorum", min=0, help="Reports that a round needs; 0 stands for all silos.")]
Strategy = Annotated[str, typer.Option("--strategy", help="The aggregation strategy, such as fedavg or fedadam.")]
StrategySet = Annotated[
    list[str] | None,
    typer.Option("--strategy-set", metavar="NAME=NUMBER", help="A setting of the strategy; may be repeated."),
]
Deadline = Annotated[
    float, typer.Option("--deadline", metavar="SECONDS", help="How long one attempt of a round may take.")
]
Gather = Annotated[
    float, typer.Option("--gather", metavar="SECONDS", help="How long the run waits for its silos to join.")
]
EarlyStop = Annotated[
    str,
    typer.Option(
        "--early-stopping",
        metavar="METRIC:PATIENCE:MIN_DELTA",
        help="Stop when METRIC was no better for PATIENCE models, such as roc_auc:5:0.001.",
    ),
]
ClipNorm = Annotated[
    float | None, typer.Option("--clip-norm", help="L2 bound on each silo's update, applied by its agent.")
]
Inspect = Annotated[
    bool,
    typer.Option("--inspect", help="No masking: the coordinator sees each silo's update, where every silo allows it."),
]
KeepSiloModels = Annotated[
    bool,
    typer.Option(
        "--keep-silo-models",
        help="With --inspect: keep each silo's own model of each round at the coordinator, where every silo allows it.",
    ),
]
MaxUpdate = Annotated[
    float,
    typer.Option("--max-update", metavar="NUMBER", help="Masked runs: bound on each coordinate of a silo's update."),
]
MaxWeight = Annotated[
    int, typer.Option("--max-weight", metavar="ROWS", help="Masked runs: how many rows a silo may train on at most.")
]
TargetEpsilon = Annotated[
    float | None,
    typer.Option(
        "--target-epsilon",
        metavar="EPSILON",
        help="Train with differential privacy: the most that the run may cost each silo's records.",
    ),
]
MetricsEpsilon = Annotated[
    float | None,
    typer.Option(
        "--metrics-epsilon",
        metavar="EPSILON",
        help="With --target-epsilon: tell metrics of the last model with noise, for this part of the target.",
    ),
]
DpUnit = Annotated[
    str, typer.Option("--dp-unit", help="With --target-epsilon: whose presence is hidden; record, a row of a silo.")
]
PrivacyStrength = Annotated[
    str,
    typer.Option(
        "--privacy-strength",
        help="With --target-epsilon: enforced by septum, or attested by an app that trains by itself.",
    ),
]
Delta = Annotated[
    str, typer.Option("--delta", help="With --target-epsilon: the delta; auto is a tenth of 1 / rows of each silo.")
]
DpClip = Annotated[
    float, typer.Option("--dp-clip", help="With --target-epsilon: largest L2 norm of one row's gradient.")
]
DpBatch = Annotated[
    int, typer.Option("--dp-batch", metavar="ROWS", help="With --target-epsilon: rows a step, expected.")
]
DpSteps = Annotated[int, typer.Option("--dp-steps", help="With --target-epsilon: steps a round.")]
DpRate = Annotated[float, typer.Option("--dp-learning-rate", help="With --target-epsilon: the size of a step.")]
PrivateStart = Annotated[
    str,
    typer.Option(
        "--private",
        metavar="fresh|continue",
        help="Start private parameters afresh, or from those that each silo kept from its newest run of the app.",
    ),
]
Personalise = Annotated[
    int,
    typer.Option(
        "--personalise",
        min=0,
        metavar="ROUNDS",
        help="Local rounds in each silo after the last; what comes of them stays there, where it is better.",
    ),
]
VoteRule = Annotated[
    str,
    typer.Option(
        "--vote",
        metavar="METRIC[:DROP[:SHARE[:BURNT]]]",
        help="Masked runs: silos vote on each new model by METRIC on their own test rows, such as log_loss:0.1. "
        "One that is worse by more than DROP, or that less than SHARE of them accept (2/3), is dropped; "
        "after BURNT such models in a row (3) the run fails.",
    ),
]
Cpus = Annotated[
    float | None,
    typer.Option("--cpus", min=0, help="Processors that the run takes in each silo; else as the app's manifest says."),
]
MemoryMb = Annotated[
    int | None,
    typer.Option("--memory-mb", min=0, metavar="MB", help="Memory that it takes there, 10^6 bytes; else likewise."),
]
Gpus = Annotated[int | None, typer.Option("--gpus", min=0, help="GPUs that it takes there; else likewise.")]
RunPriority = Annotated[
    str,
    typer.Option("--priority", metavar="low|normal|high", help="How soon it begins where silos have no room for all."),
]
Attempts = Annotated[int, typer.Option("--attempts", min=1, help="How often a round is tried before the run fails.")]
Aggregator = Annotated[
    str,
    typer.Option("--aggregator", metavar="LABEL", help="Only coordinators with this label may drive the run; or any."),
]
Name = Annotated[str, typer.Option("--name", help="A name for the run; the app's name if left out.")]
Key = Annotated[
    str,
    typer.Option("--key", help="Names this submission: sent again it returns the same run. Random if left out."),
]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run; empty where it says nothing."""

    overrides: tuple[str, ...] = ()
    preset: str = ""
    rounds: int | None = None
    quorum: int = 0
    strategy: str = "fedavg"
    strategy_settings: tuple[str, ...] = ()
    early_stopping: str = ""
    clip_norm: float | None = None
    attempts: int = 3
    name: str = ""
    deadline_s: float = 600.0
    gather_s: float = 60.0
    inspect: bool = False
    keep_silo_models: bool = False
    max_update: float = 10.0
    max_weight: int = 100_000
    target_epsilon: float | None = None
    metrics_epsilon: float | None = None
    dp_unit: str = "record"
    privacy_strength: str = "enforced"
    delta: str = "auto"
    dp_clip: float = DP_CLIP
    dp_batch: int = DP_BATCH
    dp_steps: int = DP_STEPS
    dp_learning_rate: float = DP_RATE
    vote: str = ""
    private: str = "fresh"
    personalise: int = 0
    cpus: float | None = None
    memory_mb: int | None = None
    aggregator: str = "any"
    gpus: int | None = None


def names(text: str) -> tuple[str, ...]:
    """The names in an option like `--silos A,B`.

    >>> names("boston, austin,")
    ('boston', 'austin')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """The `NAME=VALUE` texts of an option by name. Raises ConfigError.

    >>> pairs(["lr=0.1"], "--set")
    {'lr': '0.1'}
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"{option} {text!r} is not NAME=VALUE", hint=f"write {option} NAME=VALUE")
        if name in found:
            raise ConfigError(f"{option} names {name!r} twice: {found[name]} and {value}", hint="leave one of them out")
        found[name] = value
    return found
