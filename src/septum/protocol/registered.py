"""What is a model that others are to use? A version under a name, from candidate to approved, deployed and retired.

What made it is written down when it is registered, from the run's own plan and journal, and never changes. Whether a
version is deployed is nowhere stored: it follows from the deployments, so it cannot be out of step with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from septum.errors import ConflictError, ForbiddenError, NotFoundError
from septum.protocol.codec import LATER
from septum.protocol.deploying import DeploymentOrder, Told
from septum.protocol.facts import Metrics
from septum.protocol.messages import Blob
from septum.protocol.model_card import Lineage
from septum.protocol.plan import Metric, Plan
from septum.protocol.rights import check_name


class ModelStage(Enum):
    """How far a version has come. RETIRED is the end: no silo uses it, and its file may go."""

    CANDIDATE = "candidate"
    APPROVED = "approved"
    DEPLOYED = "deployed"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody did something. `at`: Unix time, seconds."""

    by: str
    at: float


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A run's model under a name.

    model      its digest and size
    plan       what made it, all of it: app, hyper-parameters, silos, what is promised of privacy
    reported   the silos whose updates made it
    metrics    of this very model, on the silos' test rows; None where it was not measured
    project    of its run, empty for none
    datasets   digests of the rows of those silos that tell them; of the others nothing is known
    """

    name: str
    version: int
    run: str
    round: int
    model: Blob
    plan: Plan
    reported: tuple[str, ...]
    metrics: Metrics | None
    project: str
    registered: Act
    approved: Act | None = None
    retired: Act | None = None
    datasets: Mapping[str, str] = field(default_factory=dict, metadata=LATER)

    def __post_init__(self) -> None:
        check_name(self.name, "model")

    @property
    def label(self) -> str:
        """As people name it."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version is what these silos use under its name, until a newer deployment of the name says otherwise.

    group  whose silos use it, as they are at any time; empty where `silos` are named
    """

    id: int
    name: str
    version: int
    group: str
    silos: tuple[str, ...]
    made: Act


@dataclass(frozen=True, slots=True)
class SiloState:
    """What a silo said last of a deployment. `at`: Unix time, seconds, by the coordinator's clock."""

    silo: str
    told: Told
    at: float


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be: of a run's model of a `round`, or of its best by a metric; of neither: of its newest."""

    name: str
    round: int | None = None
    best: Metric | None = None


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """A deployment to be: to the silos of a group, or to some that are named."""

    name: str
    version: int
    group: str = ""
    silos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelVersionView:
    """A version, how far it has come, and the silos that are to use it now."""

    version: ModelVersion
    stage: ModelStage
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment.

    used_by  the silos for which it is the newest of its name: those are to use it
    states   what the silos said of it, by name
    """

    deployment: Deployment
    used_by: tuple[str, ...] = ()
    states: tuple[SiloState, ...] = ()


def version_of(found: Lineage, name: str, model: Blob, project: str, registered: Act) -> ModelVersion:
    """A version of a model that a run made; the store gives it its number."""
    return ModelVersion(
        name=name,
        version=0,
        run=found.run,
        round=found.round,
        model=model,
        plan=found.plan,
        reported=found.reported,
        metrics=found.metrics,
        project=project,
        registered=registered,
        datasets=found.datasets,
    )


def numbered(version: ModelVersion, named: Iterable[ModelVersion]) -> tuple[ModelVersion, bool]:
    """The version with the next number among those of its name; or the one that it is already, and True.

    It is the same if it is the same model of the same run's round, and is not retired.
    """
    versions = tuple(named)
    for one in versions:
        same = (one.run, one.round, one.model.digest) == (version.run, version.round, version.model.digest)
        if same and one.retired is None:
            return one, True
    return replace(version, version=1 + max((one.version for one in versions), default=0)), False


def approve(version: ModelVersion, act: Act, *, own: bool) -> ModelVersion:
    """Approve it; one that is approved stays as it is.

    `own`: whether the federation lets people approve what they registered. Raises ConflictError, ForbiddenError.
    """
    if version.retired is not None:
        raise _is_retired(version)
    if version.approved is not None:
        return version
    if act.by == version.registered.by and not own:
        raise ForbiddenError(
            f"{version.label} was registered by {act.by}, so somebody else approves it",
            hint="a reviewer does; approve_own = true in coordinator.toml, where one person does both",
        )
    return replace(version, approved=act)


def retire(version: ModelVersion, act: Act) -> ModelVersion:
    """Let nobody use it any more; one that is retired stays as it is."""
    return version if version.retired is not None else replace(version, retired=act)


def check_deployable(version: ModelVersion) -> None:
    """Whether it may be deployed. Raises ConflictError."""
    if version.retired is not None:
        raise _is_retired(version)
    if version.approved is None:
        raise ConflictError(
            f"{version.label} is a candidate: nobody has approved it",
            hint=f"septum model approve {version.name} {version.version}",
        )


def used(
    deployments: Iterable[Deployment], versions: Iterable[ModelVersion], groups: Mapping[str, Collection[str]]
) -> dict[int, tuple[str, ...]]:
    """Which silos are to use which deployment: of each name the newest that is meant for them.

    One whose version is retired is meant for nobody, and no older one takes its place: what was taken back is gone
    until somebody deploys another version.

    >>> made = Act("ada", 0.0)
    >>> used([Deployment(1, "heart", 1, "", ("a", "b"), made), Deployment(2, "heart", 2, "", ("a",), made)], [], {})
    {1: ('b',), 2: ('a',)}
    """
    retired = {(one.name, one.version) for one in versions if one.retired is not None}
    newest: dict[tuple[str, str], Deployment] = {}
    for one in sorted(deployments, key=lambda one: one.id):
        for silo in groups.get(one.group, ()) if one.group else one.silos:
            newest[silo, one.name] = one
    found: dict[int, list[str]] = {}
    for (silo, _), one in newest.items():
        if (one.name, one.version) not in retired:
            found.setdefault(one.id, []).append(silo)
    return {id_: tuple(sorted(silos)) for id_, silos in sorted(found.items())}


def stage_of(version: ModelVersion, used_by: Sequence[str]) -> ModelStage:
    """How far it has come."""
    if version.retired is not None:
        return ModelStage.RETIRED
    if used_by:
        return ModelStage.DEPLOYED
    return ModelStage.CANDIDATE if version.approved is None else ModelStage.APPROVED


def said_of(view: ModelVersionView) -> str:
    """What a model's card says of a version.

    No time of the day: a card is about the model.
    """
    one = view.version
    acts = [f"registered by {one.registered.by}"]
    acts += [f"approved by {one.approved.by}"] if one.approved else []
    acts += [f"retired by {one.retired.by}"] if one.retired else []
    users = f"; used by {', '.join(view.used_by)}" if view.used_by else ""
    return f"{one.label}: {view.stage.value}; {', '.join(acts)}{users}"


def order_of(deployment: Deployment, version: ModelVersion) -> DeploymentOrder:
    """What a silo is told of it."""
    plan = version.plan
    return DeploymentOrder(
        deployment.id,
        version.name,
        version.version,
        version.run,
        version.round,
        version.model,
        plan.app,
        plan.hyper,
        plan.seed,
        () if plan.private is None else plan.private.parameters,
    )


def the_version(versions: Iterable[ModelVersion], name: str, version: int) -> ModelVersion:
    """One of them. Raises NotFoundError naming those that there are."""
    known = {one.version: one for one in versions if one.name == name}
    if version not in known:
        there = ", ".join(map(str, sorted(known))) if known else "none"
        raise NotFoundError(
            f"there is no version {version} of a model {name[:80]!r}; of that name there are: {there}",
            hint="septum model versions",
        )
    return known[version]


def _is_retired(version: ModelVersion) -> ConflictError:
    return ConflictError(
        f"{version.label} is retired, and stays so", hint=f"septum model register {version.run} --name {version.name}"
    )
