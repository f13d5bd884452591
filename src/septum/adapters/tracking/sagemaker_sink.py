"""How is a run stored in Amazon SageMaker Experiments? As a trial component of a trial of an experiment, by boto3.

    experiment       PREFIX-server, PREFIX-client-RANK
    trial            the entry's name, unique for each RUN
    trial component  of the same name: parameters, tags as input artifacts, how it ended as output artifacts
    metrics          by `sagemaker-metrics`, ten at one time

boto3 reads region, credentials and AWS_ENDPOINT_URL where it always does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from septum.adapters.export.extra import imported
from septum.adapters.tracking.records import Begun, ModelFiles, Over, Place, Point, Record, Taken
from septum.errors import AuthError, ConfigError, ConnectionFailedError, RateLimitedError, SeptumError
from septum.protocol.codec import Scalar
from septum.protocol.messages import Outcome

WHAT = "runs tracked in SageMaker"
BATCH = 10  # metrics of one BatchPutMetrics
MAX_VALUE_CHARS = 2048  # of an artifact
STATUS = {Outcome.FINISHED: "Completed", Outcome.FAILED: "Failed", Outcome.STOPPED: "Stopped"}
_TEXT = "text/plain"
_KNOWN = "CONFLICT_ERROR"  # the point is there already
_LATER = "INTERNAL_ERROR"
_BUSY = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
_DENIED = frozenset(
    {
        *("AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidClientTokenId"),
        *("ExpiredTokenException", "InvalidSignatureException", "SignatureDoesNotMatch", "MissingAuthenticationToken"),
    }
)
_FINAL = frozenset({"ValidationException", "ValidationError", "ResourceLimitExceeded", "ResourceNotFound"})
_CREDENTIALS = (
    "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the environment of the coordinator or the agent"
)


class SagemakerSink:
    """A `Sink`. `region`: empty for the one that boto3 finds."""

    def __init__(self, region: str) -> None:
        boto3 = imported("boto3", WHAT, "sagemaker")
        config = imported("botocore.config", WHAT, "sagemaker").Config(
            connect_timeout=10,
            read_timeout=20,
            retries={"max_attempts": 0},  # septum tries again itself
        )
        session = boto3.session.Session(region_name=region or None)
        self._client: Any = _asked(partial(session.client, "sagemaker", config=config))
        self._metrics: Any = _asked(partial(session.client, "sagemaker-metrics", config=config))

    def take(self, records: Sequence[Record]) -> Taken:
        """Store these: points in batches, everything in its order."""
        taken = Taken()
        for (kind, place), group in groupby(records, key=lambda record: (type(record), record.place)):
            some = list(group)
            if kind is Point:
                taken = taken.and_then(self._points(place, [one for one in some if isinstance(one, Point)]))
            else:
                for one in some:
                    taken = taken.and_then(_counted(partial(self._one, one)))
        return taken

    def _one(self, record: Record) -> None:
        match record:
            case Begun():
                self._begin(record)
            case Over(place, at, outcome, tags):
                self._end(place, at, outcome, tags)
            case ModelFiles():  # its digest is among what is said at the end; its bytes stay in septum
                pass
            case Point():
                self._points(record.place, [record])

    def _begin(self, begun: Begun) -> None:
        name = begun.place.name
        self._made("create_experiment", ExperimentName=begun.place.experiment)
        if self._found("describe_trial", TrialName=name) is None:
            self._made("create_trial", TrialName=name, ExperimentName=begun.place.experiment)
        if self._found("describe_trial_component", TrialComponentName=name) is None:
            self._made(
                "create_trial_component",
                TrialComponentName=name,
                DisplayName=name,
                Status={"PrimaryStatus": "InProgress"},
                StartTime=_time(begun.at),
                Parameters={key: _parameter(value) for key, value in begun.parameters.items()},
                InputArtifacts=_artifacts(begun.tags),
            )
        _asked(partial(self._client.associate_trial_component, TrialComponentName=name, TrialName=name))

    def _end(self, place: Place, at: float, outcome: Outcome, tags: Mapping[str, str]) -> None:
        name = place.name
        if self._found("describe_trial_component", TrialComponentName=name) is None:
            return  # a run without a model: statistics that were asked
        status = {"PrimaryStatus": STATUS[outcome]}
        self._update(place, Status=status, EndTime=_time(at), OutputArtifacts=_artifacts(tags))

    def _update(self, place: Place, **changes: object) -> None:
        _asked(partial(self._client.update_trial_component, TrialComponentName=place.name, **changes))

    def _points(self, place: Place, points: Sequence[Point]) -> Taken:
        taken = Taken()
        for first in range(0, len(points), BATCH):
            taken = taken.and_then(self._put(place, points[first : first + BATCH]))
        return taken

    def _put(self, place: Place, points: Sequence[Point]) -> Taken:
        """One batch. What of it the service cannot take now makes all of it come again; what is there is told."""
        data = [
            {"MetricName": one.metric, "Timestamp": _time(one.at), "Step": one.step, "Value": one.value}
            for one in points
        ]
        send = partial(self._metrics.batch_put_metrics, TrialComponentName=place.name, MetricData=data)
        try:
            answer = _asked(send)
        except _RefusedError as error:
            return Taken(len(points), error.message)
        errors = [one for one in answer.get("Errors", []) if one.get("Code") != _KNOWN]
        if later := sum(one.get("Code") == _LATER for one in errors):
            raise ConnectionFailedError(f"SageMaker could not take {later} of {len(points)} points of {place.name}")
        if not errors:
            return Taken()
        first = points[errors[0].get("MetricIndex", 0)]
        why = f"SageMaker refuses {first.metric} of step {first.step} of {place.name}: {errors[0].get('Code')}"
        return Taken(len(errors), why)

    def _found(self, operation: str, **named: str) -> object:
        """What `describe` says; None where there is none of that name."""
        try:
            return _asked(partial(getattr(self._client, operation), **named))
        except _RefusedError:  # ResourceNotFound, or a ValidationException that says "could not find"
            return None

    def _made(self, operation: str, **named: object) -> None:
        """Make something that may be there already: of an earlier run, or as another process was faster."""
        try:
            _asked(partial(getattr(self._client, operation), **named))
        except _RefusedError as error:
            if "already exists" not in error.message:
                raise


class _RefusedError(SeptumError):
    """The service refuses it, and would again."""


def _counted(job: Callable[[], None]) -> Taken:
    try:
        job()
    except _RefusedError as error:
        return Taken(1, error.message)
    return Taken()


def _asked(job: Callable[[], Any]) -> Any:  # noqa: ANN401  what a library without types gives
    """Raises in septum's words what boto3 raises."""
    try:
        return job()
    except SeptumError:
        raise
    except Exception as error:
        raise _translated(error) from error


def _translated(error: Exception) -> SeptumError:
    said, name = " ".join(str(error).split())[:400], type(error).__name__
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    if code in _BUSY:
        return RateLimitedError(f"SageMaker is asked too much: {said}")
    if code in _DENIED or name in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"):
        return AuthError(f"SageMaker does not accept us: {said}", hint=_CREDENTIALS)
    if name in ("NoRegionError", "ProfileNotFound", "InvalidRegionError"):
        hint = 'region = "eu-central-1" under [tracking.sagemaker], or AWS_DEFAULT_REGION and AWS_PROFILE'
        return ConfigError(f"[tracking.sagemaker]: {said}", hint=hint)
    if code in _FINAL or name == "ParamValidationError":
        return _RefusedError(f"SageMaker refuses it: {said}")
    return ConnectionFailedError(f"SageMaker cannot be asked: {said}")


def _time(at: float) -> datetime:
    """To the second: that is what metrics' timestamps have there."""
    return datetime.fromtimestamp(int(at), UTC)


def _parameter(value: str) -> dict[str, object]:
    """A number where it is one, so that it can be sorted and searched by.

    >>> _parameter("0.001"), _parameter("adam"), _parameter("nan")
    ({'NumberValue': 0.001}, {'StringValue': 'adam'}, {'StringValue': 'nan'})
    """
    try:
        number = float(value)
    except ValueError:
        return {"StringValue": value}
    return {"NumberValue": number} if abs(number) < 1e300 else {"StringValue": value}


def _artifacts(tags: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What is longer than a value may be is left out, rather than cut."""
    return {name: {"MediaType": _TEXT, "Value": value} for name, value in tags.items() if len(value) <= MAX_VALUE_CHARS}


def make(data_dir: Path, values: Mapping[str, Scalar]) -> SagemakerSink:
    """From `[tracking.sagemaker]`, whose values were checked where they were read."""
    del data_dir
    return SagemakerSink(str(values["region"]))
