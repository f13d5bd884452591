"""What a run is to do: its settled configuration, the same bytes for everyone who takes part."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from blake3 import blake3

from septum.algorithms.partition import check_patterns
from septum.errors import ConfigError, MessageError
from septum.protocol.aggregator import ANY, check_label
from septum.protocol.codec import LATER, Scalar, dumps, to_json
from septum.protocol.privacy import Privacy
from septum.protocol.query import Query
from septum.protocol.resources import Resources
from septum.secagg.context import MAX_SILOS as MAX_MASKED_SILOS
from septum.secagg.context import threshold

MAX_SILOS = 1_000
MAX_ROUNDS = 100_000
MAX_MASKED_ROWS = 2**24  # of one silo: with more, 32-bit words would hold too little of an update
MAX_PERSONALISE = 10_000
MAX_PLAN_BYTES = 192 * 1024  # an invitation carries the plan in one message
SILO_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a DNS label: usable in file names, URLs and key ids


def digest_of(data: bytes) -> str:
    """The name of some bytes: `blake3:` and 64 hex digits.

    >>> digest_of(b"")[:16]
    'blake3:af1349b9f'
    """
    return f"blake3:{blake3(data).hexdigest()}"


def check_silo_name(name: str) -> str:
    """`name` itself, if it is a valid name of a silo. Raises ConfigError.

    >>> check_silo_name("long-beach-va")
    'long-beach-va'
    """
    if not SILO_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a silo", hint="use 1 to 63 lower-case letters, digits and hyphens, as in st-marys"
        )
    return name


class Metric(Enum):
    """What septum measures on the silos' test rows."""

    ROC_AUC = "roc_auc"
    ACCURACY = "accuracy"
    LOG_LOSS = "log_loss"

    @property
    def larger_is_better(self) -> bool:
        """Whether a larger value is a better one."""
        return self is not Metric.LOG_LOSS


@dataclass(frozen=True, slots=True)
class AppRef:
    """Which app, to the byte: silos train only with an app of this digest."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class StrategyRef:
    """Which aggregation strategy, with all its settings."""

    name: str = "fedavg"
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop when `metric` has not improved by more than `min_delta` for `patience` models in a row."""

    metric: Metric = Metric.ROC_AUC
    patience: int = 5
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"early stopping: patience must be at least 1, not {self.patience}")
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0):
            raise ConfigError(f"early stopping: min_delta must be 0 or more, not {self.min_delta}")


@dataclass(frozen=True, slots=True)
class Masking:
    """Secure aggregation: the coordinator learns sums over silos, and no silo's own numbers.

    max_update  bound on each coordinate of a silo's update; what is beyond is clipped, and a silo in which more than
                0.1 % are gives up. The smaller, the finer the steps of the fixed-point numbers
    max_weight  rows of one silo at most; one with more gives up
    barrier_s   how long the steps without training (keys, shares, agreement, unmasking) wait for a silo
    """

    max_update: float = 10.0
    max_weight: int = 100_000
    barrier_s: float = 20.0

    def __post_init__(self) -> None:
        _in_range("max_update", self.max_update, 1e-12, 1e12)
        _in_range("max_weight", self.max_weight, 1, MAX_MASKED_ROWS)
        _in_range("barrier_s", self.barrier_s, 0.001, 86_400)


class Start(Enum):
    """What a silo's private parameters are before round 1.

    FRESH     made by the app's `initial`, with the run's seed
    CONTINUE  those that the silo kept from its newest run of the app on the same dataset; fresh where it kept none
    """

    FRESH = "fresh"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Private:
    """What is each silo's own in a run.

    parameters   patterns of the names of parameters that never leave a silo, sorted: those of the app's manifest
    personalise  local rounds of training after the last round; what comes of them is the silo's own, and is kept where
                 it is no worse on rows that were held out. 0 for none
    """

    parameters: tuple[str, ...] = ()
    start: Start = Start.FRESH
    personalise: int = 0

    def __post_init__(self) -> None:
        if check_patterns("plan: private", self.parameters) != self.parameters:
            raise ConfigError(f"plan: private: {', '.join(self.parameters)} are not sorted")
        _in_range("personalise", self.personalise, 0, MAX_PERSONALISE)
        if not self.parameters and not self.personalise:
            raise ConfigError("plan: private: there are no private parameters, and nothing is personalised")
        if not self.parameters and self.start is not Start.FRESH:
            raise ConfigError("plan: private: no parameter is private, so there is none to continue from")


@dataclass(frozen=True, slots=True)
class Vote:
    """A masked run's models are voted on: each silo measures a new one on its own test rows (docs/decisions/0016).

    accepts    share of the silos that vote which have to accept a model for it to be kept
    metric     what silos compare
    max_drop   how much worse than the model before it a new one may be: in a silo that accepts it, and over all rows
    max_burnt  after so many models in a row that were voted down the run fails
    """

    accepts: float = 2 / 3
    metric: Metric = Metric.LOG_LOSS
    max_drop: float = 0.1
    max_burnt: int = 3

    def __post_init__(self) -> None:
        _in_range("vote.accepts", self.accepts, 0.01, 1)
        _in_range("vote.max_drop", self.max_drop, 0, 1e6)
        _in_range("vote.max_burnt", self.max_burnt, 1, 1000)


@dataclass(frozen=True, slots=True)
class Plan:
    """The settled configuration of a run.

    quorum      reports without which a round does not count
    gather_s    how long the run waits for its silos to join before it starts with a quorum or fails
    deadline_s  how long one attempt of a round may take
    attempts    how often a round is tried before the run fails
    clip_norm   L2 bound on a silo's update, applied by its agent; None leaves updates as they are
    masking     how what silos send is masked; None where the coordinator is to see each silo's own
    privacy     how silos train with differential privacy; None where they train without
    query       what is asked of the silos' data, by the data contract of `app`: then no model is made, and none of
                the app's code runs; None for training
    vote        how a masked run's silos judge each new model; None where it is kept whatever it is
    private     what is each silo's own: parameters that never leave it, a model personalised there; None for nothing
    resources   what the run takes in each of its silos; None where nothing has to be reckoned
    keep_silo_models  whether each silo's own model of each round is kept at the coordinator (docs/decisions/0030)
    aggregator  the label of the coordinators that may drive the run; "any": every one
    """

    name: str
    app: AppRef
    hyper: Mapping[str, Scalar]
    silos: tuple[str, ...]
    rounds: int
    seed: int = 0
    quorum: int = 0
    strategy: StrategyRef = StrategyRef()
    gather_s: float = 60.0
    deadline_s: float = 600.0
    attempts: int = 3
    early_stopping: EarlyStopping | None = None
    clip_norm: float | None = None
    masking: Masking | None = field(default=None, metadata=LATER)
    privacy: Privacy | None = field(default=None, metadata=LATER)
    query: Query | None = field(default=None, metadata=LATER)
    vote: Vote | None = field(default=None, metadata=LATER)
    private: Private | None = field(default=None, metadata=LATER)
    resources: Resources | None = field(default=None, metadata=LATER)
    keep_silo_models: bool = field(default=False, metadata=LATER)
    aggregator: str = field(default=ANY, metadata=LATER)

    def __post_init__(self) -> None:
        for silo in self.silos:
            check_silo_name(silo)
        if not self.silos or len(self.silos) > MAX_SILOS:
            raise ConfigError(f"a run needs 1 to {MAX_SILOS} silos, not {len(self.silos)}", hint="septum silo list")
        if list(self.silos) != sorted(set(self.silos)):
            raise ConfigError(f"the silos of a plan are sorted and each named once, not {', '.join(self.silos)}")
        if self.quorum == 0:
            object.__setattr__(self, "quorum", len(self.silos))
        check_label(self.aggregator)
        _in_range("quorum", self.quorum, 1, len(self.silos))
        _in_range("rounds", self.rounds, 1, MAX_ROUNDS)
        _in_range("seed", self.seed, 0, 2**63 - 1)
        _in_range("attempts", self.attempts, 1, 100)
        _in_range("gather_s", self.gather_s, 0.001, 30 * 86_400)
        _in_range("deadline_s", self.deadline_s, 0.001, 30 * 86_400)
        if self.clip_norm is not None:
            _in_range("clip_norm", self.clip_norm, 1e-12, 1e12)
        if self.masking is not None:
            _check_masked(self)
        elif self.vote is not None:
            raise ConfigError(
                "a vote is for masked runs: in an inspected one the coordinator sees each silo's own update",
                hint="--strategy trimmed-mean or geometric-median, without --vote: docs/reference/strategies.md",
            )
        if self.privacy is not None:
            _check_private(self)
        if self.vote is not None and self.private is not None and self.private.personalise:
            raise ConfigError(
                "plan: silos vote on the last model by its scores, and where models are personalised these are "
                "no longer the model's own",
                hint="leave out --vote or --personalise",
            )
        if self.query is not None:
            _check_query(self)
        _fits_a_message(self)

    @property
    def digest(self) -> str:
        """The plan's name: over its canonical JSON."""
        return digest_of(dumps(to_json(self)))


def _check_masked(plan: Plan) -> None:
    """Whether a sum can be unmasked at all, and without the help of silos that the quorum does not ask for."""
    if plan.keep_silo_models:
        raise ConfigError(
            "in a masked run no silo's own model leaves it, so the coordinator can keep none",
            hint="leave out --keep-silo-models; or --inspect, where every silo's policy allows both",
        )
    silos = len(plan.silos)
    if not 2 <= silos <= MAX_MASKED_SILOS:
        raise ConfigError(
            f"a masked run needs 2 to {MAX_MASKED_SILOS} silos, not {silos}",
            hint="--inspect runs without masking, where every silo's policy allows that",
        )
    if plan.quorum < threshold(silos):
        raise ConfigError(
            f"a masked run over {silos} silos needs a quorum of {threshold(silos)} at least, not {plan.quorum}: "
            "fewer cannot take the masks off",
            hint=f"--quorum {threshold(silos)}",
        )


def _check_private(plan: Plan) -> None:
    """What looks at rows, or asks for another training than septum's own, is not there in a run with privacy."""
    if plan.early_stopping is not None:
        raise ConfigError(
            "early stopping looks at the test rows after each round, which a run with differential privacy does not",
            hint="leave out --early-stopping, or --target-epsilon",
        )
    if plan.vote is not None:
        raise ConfigError(
            "silos vote by their test rows, which a run with differential privacy does not look at",
            hint="leave out --vote, or --target-epsilon",
        )
    if plan.private is not None:
        raise ConfigError(
            "septum's own training with differential privacy knows no private parameters and personalises nothing",
            hint="leave out --personalise, or --target-epsilon",
        )
    if plan.strategy.settings.get("mu") or plan.strategy.settings.get("proximal_mu"):
        raise ConfigError(
            f"strategy {plan.strategy.name!r} changes the training in the silos, which with differential privacy is"
            " septum's own",
            hint="--strategy fedavg",
        )


def _check_query(plan: Plan) -> None:
    """Statistics are sums over silos and nothing else; what is of training has no place in such a plan."""
    if plan.masking is None:
        raise ConfigError("plan: statistics are asked under masks alone, so that no silo's own are seen")
    training = {
        "rounds": plan.rounds != 1,
        "hyper": bool(plan.hyper),
        "strategy": plan.strategy != StrategyRef(),
        "early_stopping": plan.early_stopping is not None,
        "clip_norm": plan.clip_norm is not None,
        "vote": plan.vote is not None,
        "private": plan.private is not None,
        "privacy": plan.privacy is not None,
    }
    for name, given in training.items():
        if given:
            raise ConfigError(f"plan: {name} is of training, and this plan asks for statistics")


def _fits_a_message(plan: Plan) -> None:
    """A plan that no silo could receive is refused where it is made."""
    try:
        size = len(dumps(to_json(plan)))
    except MessageError as error:
        raise ConfigError(f"plan: {error.message}") from error
    if size > MAX_PLAN_BYTES:
        raise ConfigError(f"plan: {size} bytes as JSON, at most {MAX_PLAN_BYTES}; its hyper-parameters are too long")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN fails too
        raise ConfigError(f"plan: {name} must be between {low} and {high}, not {value}")
