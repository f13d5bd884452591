"""What must a registry of models do? Subclass `ModelRegistryContract`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from septum.errors import ConflictError, ForbiddenError, NotFoundError
from septum.ports.registered import ModelRegistry
from septum.protocol.deploying import DeployState, Told
from septum.protocol.facts import Metrics
from septum.protocol.messages import Blob
from septum.protocol.plan import AppRef, Plan
from septum.protocol.registered import Act, Deployment, ModelVersion, NewDeployment, SiloState

RUN, GROUP, SILOS = "r-1", "cardio", ("north", "south")
ADA, BOB = Act("ada", 10.0), Act("bob", 20.0)
PLAN = Plan("heart", AppRef("heart", "1.0.0", "sha256:" + "0" * 64), {"rounds": 2}, SILOS, rounds=2)
FIRST = ModelVersion(
    "heart",
    0,
    RUN,
    2,
    Blob("blake3:" + "1" * 64, 8),
    PLAN,
    SILOS,
    Metrics(9, 0.5, 0.7, 0.6),
    "",
    ADA,
)
OTHER = replace(FIRST, round=1, model=Blob("blake3:" + "2" * 64, 8))


class ModelRegistryContract(ABC):
    """The contract of `ports.registered`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[ModelRegistry]:
        """A new, empty registry that knows the run RUN, the silos SILOS and the group GROUP."""

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Iterator[ModelRegistry]:
        """The registry under test."""
        with self.make(tmp_path) as registry:
            yield registry

    def test_versions_of_a_name_count_from_one(self, registry: ModelRegistry) -> None:
        """Each name by itself; listed by name and number, as they were registered."""
        first, second = registry.register(FIRST), registry.register(OTHER)
        elsewhere = registry.register(replace(FIRST, name="a-heart"))
        assert [first.version, second.version, elsewhere.version] == [1, 2, 1]
        assert list(registry.versions()) == [elsewhere, first, second]
        assert first == replace(FIRST, version=1)

    def test_the_same_model_again_is_the_version_that_it_is(self, registry: ModelRegistry) -> None:
        """Until that is retired: what was taken back comes back as another version."""
        registry.register(FIRST)
        assert registry.register(replace(FIRST, registered=BOB)) == replace(FIRST, version=1)
        registry.retire("heart", 1, BOB)
        assert registry.register(FIRST).version == 2

    def test_a_model_of_an_unknown_run_is_no_version(self, registry: ModelRegistry) -> None:
        """Nothing is known then."""
        with pytest.raises(NotFoundError):
            registry.register(replace(FIRST, run="r-2"))
        assert not registry.versions()

    def test_nobody_approves_their_own_unless_they_may(self, registry: ModelRegistry) -> None:
        """What is refused changes nothing; who was first to approve stays."""
        registry.register(FIRST)
        with pytest.raises(ForbiddenError):
            registry.approve("heart", 1, ADA, own=False)
        assert registry.versions()[0].approved is None
        assert registry.approve("heart", 1, BOB, own=False).approved == BOB
        assert registry.approve("heart", 1, ADA, own=True).approved == BOB
        assert registry.versions()[0].approved == BOB

    def test_what_is_retired_stays_so_and_is_neither_approved_nor_deployed(self, registry: ModelRegistry) -> None:
        """It is the end."""
        registry.register(FIRST)
        assert registry.retire("heart", 1, ADA).retired == ADA
        assert registry.retire("heart", 1, BOB).retired == ADA
        with pytest.raises(ConflictError):
            registry.approve("heart", 1, BOB, own=True)
        with pytest.raises(ConflictError):
            registry.deploy(NewDeployment("heart", 1, silos=SILOS), BOB)
        assert not registry.deployments()

    def test_a_candidate_is_not_deployed(self, registry: ModelRegistry) -> None:
        """Somebody has to approve it first."""
        registry.register(FIRST)
        with pytest.raises(ConflictError):
            registry.deploy(NewDeployment("heart", 1, silos=SILOS), BOB)

    def test_each_deployment_is_a_new_one(self, registry: ModelRegistry) -> None:
        """To silos that are named, each once and in order, or to a group."""
        self._approved(registry)
        one = registry.deploy(NewDeployment("heart", 1, silos=("south", "north", "south")), BOB)
        two = registry.deploy(NewDeployment("heart", 1, group=GROUP), ADA)
        assert list(registry.deployments()) == [one, two]
        assert one == Deployment(one.id, "heart", 1, "", SILOS, BOB)
        assert two == Deployment(two.id, "heart", 1, GROUP, (), ADA)
        assert one.id < two.id

    @pytest.mark.parametrize(
        "wanted",
        [
            NewDeployment("heart", 2, silos=SILOS),
            NewDeployment("lung", 1, silos=SILOS),
            NewDeployment("heart", 1, silos=("north", "nobody")),
            NewDeployment("heart", 1, group="none"),
        ],
    )
    def test_what_is_not_there_is_not_deployed(self, registry: ModelRegistry, wanted: NewDeployment) -> None:
        """Nothing is known of it then."""
        self._approved(registry)
        with pytest.raises(NotFoundError):
            registry.deploy(wanted, BOB)
        assert not registry.deployments()

    def test_of_what_a_silo_says_the_last_word_stays(self, registry: ModelRegistry) -> None:
        """For each deployment and silo by itself."""
        self._approved(registry)
        id_ = registry.deploy(NewDeployment("heart", 1, group=GROUP), BOB).id
        registry.tell("south", Told(id_, DeployState.PULLED), at=1.0)
        registry.tell("north", Told(id_, DeployState.WAITING, "its steward has not said"), at=2.0)
        last = Told(id_, DeployState.ACTIVE, metrics={"roc_auc": 0.75})
        registry.tell("south", last, at=3.0)
        waiting = Told(id_, DeployState.WAITING, "its steward has not said")
        assert list(registry.states(id_)) == [SiloState("north", waiting, 2.0), SiloState("south", last, 3.0)]
        assert not registry.states(id_ + 1)

    def test_an_unknown_silo_or_deployment_has_no_word(self, registry: ModelRegistry) -> None:
        """Nothing is kept."""
        self._approved(registry)
        id_ = registry.deploy(NewDeployment("heart", 1, group=GROUP), BOB).id
        for silo, deployment in (("nobody", id_), ("north", id_ + 1)):
            with pytest.raises(NotFoundError):
                registry.tell(silo, Told(deployment, DeployState.ACTIVE), at=1.0)
        assert not registry.states(id_)

    def _approved(self, registry: ModelRegistry) -> None:
        registry.register(FIRST)
        registry.approve("heart", 1, BOB, own=False)
