"""Under which names do experiment trackers find a run? Those of the published reference, made of what is known here.

    PREFIX-server       the run, as the coordinator sees it
    PREFIX-client-RANK  one silo's part in it; ranks are those of the silos' names in order, from 1

What is not known is left out: a parameter that no hyper-parameter has, a metric that was not measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from septum import __version__
from septum.adapters.tracking.records import Begun, ModelFiles, Over, Place, Point, Record
from septum.errors import ConfigError
from septum.ports.tracker import (
    FinalModel,
    RoundMeasured,
    RunEnded,
    RunStarted,
    SiloEnded,
    SiloMeasured,
    SiloStarted,
    SiloTold,
    Told,
)
from septum.protocol.codec import Scalar, dumps
from septum.protocol.plan import Plan
from septum.protocol.privacy import Strength

DEFAULT_PREFIX = "septum"
DEFAULT_PARAMETERS = (
    "epochs=epochs, learning-rate=lr|learning_rate, batch-size=batch_size, client-optimizer=optimizer|client_optimizer,"
    " weight-decay=weight_decay"
)
LEARNING_RATE, BATCH_SIZE = "learning-rate", "batch-size"
TRAIN_SIZE, DEVICE, CENTER, ROUND = "Train Data Size", "device", "center", "round"
TEST_AUC, TEST_LOSS = "Test:AUC", "Test:Loss"
VALIDATION_AUC, TRAINING_LOSS = "Validation:AUC", "Training:Loss"
SERVER_DEVICE = "cpu"  # what septum's aggregation runs on, always
_PREFIX = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,59}")  # SageMaker allows no other names, MLflow does
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _./:-]{0,99}")


@dataclass(frozen=True, slots=True)
class Names:
    """How entries and parameters are called.

    parameters  by the parameter's name, the hyper-parameters that may hold it: the first that the app has
    """

    prefix: str
    parameters: Mapping[str, tuple[str, ...]]

    def server(self, run: str) -> Place:
        """Where the run is."""
        return Place(f"{self.prefix}-server", run)

    def client(self, run: str, rank: int) -> Place:
        """Where a silo's part in it is."""
        return Place(f"{self.prefix}-client-{rank}", run)

    def of_run(self, told: Told) -> Iterator[Record]:
        """What is stored of what the coordinator tells of a run."""
        place = self.server(told.run)
        match told:
            case RunStarted(run, at, plan):
                if plan.query is None:
                    known = {DEVICE: SERVER_DEVICE, CENTER: ", ".join(plan.silos), ROUND: str(plan.rounds)}
                    yield Begun(place, at, self._parameters(plan, known), _tags(run, plan))
            case RoundMeasured(_, at, round_, metrics):
                yield from _points(place, at, round_, {TEST_AUC: metrics.roc_auc, TEST_LOSS: metrics.log_loss})
            case RunEnded(_, at, outcome, reason, model):
                yield Over(place, at, outcome, _said({"septum.model": model, "septum.reason": reason}))

    def of_silos(self, told: Sequence[SiloTold]) -> Iterator[Record]:
        """What is stored of what is told of silos."""
        for one in told:
            place = self.client(one.run, one.rank)
            match one:
                case SiloStarted(run, at, silo, _, plan, rows, device):
                    size, on = "" if rows is None else str(rows), _text(plan.hyper.get(DEVICE, device))
                    known = {TRAIN_SIZE: size, DEVICE: on, CENTER: silo}
                    tags = {**_tags(run, plan), "septum.silo": silo}
                    yield Begun(place, at, self._parameters(plan, known), tags)
                case SiloMeasured(_, at, _, _, round_, metrics, loss):
                    auc = None if metrics is None else metrics.roc_auc
                    yield from _points(place, at, round_, {VALIDATION_AUC: auc, TRAINING_LOSS: loss})
                case SiloEnded(_, at, _, _, outcome):
                    yield Over(place, at, outcome, {})

    def of_model(self, at: float, found: FinalModel) -> ModelFiles:
        """What is stored of a run's last model."""
        private = found.plan.private
        return ModelFiles(
            place=self.server(found.run),
            at=at,
            run=found.run,
            round=found.round,
            digest=found.digest,
            hyper=found.plan.hyper,
            model=str(found.model),
            package=str(found.package or ""),
            shared=private is None or not private.parameters,
        )

    def _parameters(self, plan: Plan, known: Mapping[str, str]) -> dict[str, str]:
        """What training is done with: the app's hyper-parameters, or the plan's own where septum trains by itself."""
        if plan.privacy is not None and plan.privacy.strength is Strength.ENFORCED:
            own = {LEARNING_RATE: str(plan.privacy.learning_rate), BATCH_SIZE: str(plan.privacy.batch)}
            return {**own, **_said(known)}
        hyper = plan.hyper
        found = {
            name: next((_text(hyper[one]) for one in sources if one in hyper), "")
            for name, sources in self.parameters.items()
        }
        return {**_said(found), **_said(known)}


def names_of(prefix: str, parameters: str, where: str) -> Names:
    """The names that these settings mean. Raises ConfigError.

    >>> names_of("fed", "learning-rate=lr|rate, epochs=epochs", "[tracking.mlflow]").parameters
    {'learning-rate': ('lr', 'rate'), 'epochs': ('epochs',)}
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"{where}: prefix is {prefix[:80]!r}; at most 60 letters, digits and single hyphens are possible",
            hint='prefix = "fed-heart-disease"',
        )
    found: dict[str, tuple[str, ...]] = {}
    for part in (one.strip() for one in parameters.split(",")):
        name, equals, sources = (text.strip() for text in part.partition("="))
        if not part:
            continue
        if not (equals and _KEY.fullmatch(name) and all(one.strip() for one in sources.split("|"))):
            raise ConfigError(
                f"{where}: parameters has {part[:80]!r}, which is not NAME=HYPER_PARAMETER",
                hint='parameters = "learning-rate=lr, epochs=epochs"',
            )
        found[name] = tuple(one.strip() for one in sources.split("|"))
    return Names(prefix, found)


def _points(place: Place, at: float, step: int, values: Mapping[str, float | None]) -> Iterator[Point]:
    for metric, value in values.items():
        if value is not None:
            yield Point(place, at, metric, step, value)


def _tags(run: str, plan: Plan) -> dict[str, str]:
    """By what a run can be compared with others, and made again."""
    return {
        "septum.run": run,
        "septum.name": plan.name,
        "septum.app": f"{plan.app.name} {plan.app.version}",
        "septum.app_digest": plan.app.digest,
        "septum.plan_digest": plan.digest,
        "septum.strategy": plan.strategy.name,
        "septum.seed": str(plan.seed),
        "septum.rounds": str(plan.rounds),
        "septum.masked": "false" if plan.masking is None else "true",
        "septum.privacy": "none" if plan.privacy is None else plan.privacy.mode.value,
        "septum.hyper": dumps(dict(plan.hyper)).decode(),
        "septum.version": __version__,
        "septum.reproduce": f"septum run reproduce {run}",
    }


def _said(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
