"""How is a run stored in MLflow? An experiment for each name, in it one MLflow run for each RUN, found by its tag.

Any tracking URI that MLflow knows will do: a server, a SQLite file, `arn:aws:sagemaker:...` through sagemaker-mlflow. A
model is logged as a folder that `mlflow.pyfunc` loads, with a signature and without a pickle: `runs:/ID/model`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from septum.adapters.export.extra import imported
from septum.adapters.tracking.records import Begun, ModelFiles, Over, Place, Point, Record, Taken
from septum.errors import (
    AuthError,
    ConfigError,
    ConnectionFailedError,
    NotFoundError,
    RateLimitedError,
    SeptumError,
)
from septum.protocol.codec import Scalar
from septum.protocol.messages import Outcome

MODEL = "model"
RUN_TAG = "septum.run"
MAX_POINTS = 1000  # of one request, by MLflow's REST API
MAX_PARAMETER_CHARS = 6000
MAX_TAG_CHARS = 5000
STATUS = {Outcome.FINISHED: "FINISHED", Outcome.FAILED: "FAILED", Outcome.STOPPED: "KILLED"}
_FINAL = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE"})  # the same, however often it is asked
_AUTH = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
_BUSY = frozenset({"REQUEST_LIMIT_EXCEEDED", "RESOURCE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
_NO_CREDENTIALS = ("Unable to locate credentials", "Partial credentials", "Error when retrieving token")  # boto's
_CREDENTIALS = (
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN, or AWS credentials, in the"
    " environment of the coordinator or the agent"
)


class MlflowSink:
    """A `Sink`. `uri`: MLflow's tracking URI."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        mlflow = imported("mlflow", "runs tracked in MLflow", "mlflow")
        self._entities = imported("mlflow.entities", "runs tracked in MLflow", "mlflow")
        self._error: type[Exception] = mlflow.exceptions.MlflowException
        self._client: Any = self._asked(lambda: mlflow.MlflowClient(uri))
        mlflow.set_tracking_uri(uri)  # what signs requests to SageMaker reads it from there
        self._runs: dict[Place, str] = {}

    def take(self, records: Sequence[Record]) -> Taken:
        """Store these: points in batches, everything in its order."""
        taken = Taken()
        for kind, group in groupby(records, key=lambda record: (type(record), record.place)):
            some = list(group)
            if kind[0] is Point:
                taken = taken.and_then(self._points(kind[1], [one for one in some if isinstance(one, Point)]))
            else:
                for one in some:
                    taken = taken.and_then(self._one(one))
        return taken

    def _one(self, record: Record) -> Taken:
        match record:
            case Begun():
                return self._counted(lambda: self._begin(record), record.place)
            case Over(place, at, outcome, tags):
                run = self._find(place)
                if run is None:  # a run without a model: statistics that were asked
                    return Taken()
                return self._counted(lambda: self._end(run, at, outcome, tags), place)
            case ModelFiles():
                return self._counted(lambda: self._model(record), record.place)
            case Point():
                return self._points(record.place, [record])

    def _begin(self, begun: Begun) -> None:
        run = self._find(begun.place) or self._create(begun)
        parameters = [
            self._entities.Param(name, value[:MAX_PARAMETER_CHARS]) for name, value in begun.parameters.items()
        ]
        self._client.log_batch(run, params=parameters)

    def _create(self, begun: Begun) -> str:
        tags = {name: value for name, value in begun.tags.items() if len(value) <= MAX_TAG_CHARS}
        experiment = self._experiment(begun.place.experiment)
        made = self._client.create_run(experiment, int(begun.at * 1000), tags, begun.place.name)
        self._runs[begun.place] = made.info.run_id
        return str(made.info.run_id)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except self._error:  # another process was faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise ConfigError(
                f"the MLflow experiment {name!r} was deleted there, so nothing can be stored in it",
                hint=f"mlflow experiments restore --experiment-id {found.experiment_id}; or another prefix",
            )
        return str(found.experiment_id)

    def _find(self, place: Place) -> str | None:
        """The MLflow run of a RUN, if it is there."""
        if place not in self._runs:
            found = self._asked(lambda: self._search(place))
            if found is None:
                return None
            self._runs[place] = found
        return self._runs[place]

    def _search(self, place: Place) -> str | None:
        experiment = self._client.get_experiment_by_name(place.experiment)
        if experiment is None:
            return None
        runs = self._client.search_runs(
            [experiment.experiment_id], f"tags.`{RUN_TAG}` = '{place.run}'", max_results=1, order_by=["start_time ASC"]
        )
        return str(runs[0].info.run_id) if runs else None

    def _points(self, place: Place, points: Sequence[Point]) -> Taken:
        run = self._find(place)
        if run is None:
            return Taken(len(points), f"MLflow has no run {place.name}: it was deleted there")
        taken = Taken()
        for first in range(0, len(points), MAX_POINTS):
            some = points[first : first + MAX_POINTS]
            whole = self._counted(partial(self._log, run, some), place)
            if whole.refused and len(some) > 1:  # one of them is refused, and with it all: each by itself
                whole = Taken()
                for one in some:
                    whole = whole.and_then(self._counted(partial(self._log, run, [one]), place))
            taken = taken.and_then(whole)
        return taken

    def _log(self, run: str, points: Sequence[Point]) -> None:
        metric = self._entities.Metric
        self._client.log_batch(
            run, metrics=[metric(one.metric, one.value, int(one.at * 1000), one.step) for one in points]
        )

    def _end(self, run: str, at: float, outcome: Outcome, tags: Mapping[str, str]) -> None:
        said = [self._entities.RunTag(name, value[:MAX_TAG_CHARS]) for name, value in tags.items()]
        self._client.log_batch(run, tags=said)
        self._client.set_terminated(run, STATUS[outcome], int(at * 1000))

    def _model(self, record: ModelFiles) -> None:
        run = self._find(record.place)
        if run is None:
            raise NotFoundError(f"MLflow has no run {record.place.name}: it was deleted there")
        with tempfile.TemporaryDirectory(prefix="septum-tracking-") as temporary:
            folder = Path(temporary) / MODEL
            _write(folder, record)
            self._client.log_artifacts(run, str(folder), MODEL)

    def _counted(self, job: Callable[[], None], place: Place) -> Taken:
        """Do something; refused for good, if so, counts as one."""
        try:
            self._asked(job)
        except NotFoundError as error:  # it was deleted there
            self._runs.pop(place, None)
            return Taken(1, error.message)
        except _RefusedError as error:
            return Taken(1, error.message)
        return Taken()

    def _asked(self, job: Callable[[], Any]) -> Any:  # noqa: ANN401  what a library without types gives
        """Raises in septum's words what MLflow raises."""
        try:
            return job()
        except SeptumError:
            raise
        except Exception as error:
            raise _translated(error, self._uri) from error


def _translated(error: Exception, uri: str) -> SeptumError:
    """What MLflow raises, in septum's words."""
    said, code = " ".join(str(error).split())[:400], str(getattr(error, "error_code", ""))
    where = f"MLflow at {_shown(uri)}"
    if code in _BUSY or "too many 429" in said:
        return RateLimitedError(f"{where} is asked too much: {said}")
    if code in _AUTH or any(one in said for one in _NO_CREDENTIALS):
        return AuthError(f"{where} does not accept us: {said}", hint=_CREDENTIALS)
    if code == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(f"{where}: {said}")
    if code in _FINAL:
        return _RefusedError(f"{where} refuses it: {said}")
    return ConnectionFailedError(f"{where} cannot be asked: {said}")


class _RefusedError(SeptumError):
    """The service refuses it, and would again."""


def _shown(uri: str) -> str:
    """A URI without the user and the password that may be in it.

    >>> _shown("https://me:secret@mlflow.example.org/x")
    'https://mlflow.example.org/x'
    """
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _write(folder: Path, record: ModelFiles) -> None:
    """The model as MLflow loads it; as its tensors alone where it is of no package, or has parameters of the silos'."""
    from septum.adapters.export.mlflow_folder import write_folder  # numpy
    from septum.adapters.export.mlflow_model import MODEL as MODEL_FILE
    from septum.adapters.export.mlflow_model import About
    from septum.sdk.package_file import read_package, unpack

    if not record.package or not record.shared:
        folder.mkdir()
        shutil.copyfile(record.model, folder / MODEL_FILE)
        return
    package = read_package(Path(record.package))
    unpacked = folder.parent / "package"
    unpack(package, unpacked)
    about = About(package.tree, record.hyper, record.digest, record.run, record.round)
    manifest = package.manifest
    write_folder(folder, unpacked / "app", Path(record.model), about, manifest.columns, manifest.preinstalled)


def make(data_dir: Path, values: Mapping[str, Scalar]) -> MlflowSink:
    """From `[tracking.mlflow]`, whose values were checked where they were read."""
    return MlflowSink(full_uri(str(values["uri"]), data_dir))


def full_uri(uri: str, data_dir: Path) -> str:
    """A SQLite file is relative to the data directory.

    >>> full_uri("sqlite:///mlflow.db", Path("/var/lib/septum"))
    'sqlite:////var/lib/septum/mlflow.db'
    """
    path = uri.removeprefix("sqlite:///")
    return f"sqlite:///{data_dir.absolute() / path}" if path != uri else uri
