"""What must the stores of groups and projects do? Subclass `ProjectsContract`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from septum.errors import ConfigError, ConflictError, NotFoundError
from septum.ports.groups import Group, GroupStore
from septum.ports.people import Organisation, PeopleStore, Person
from septum.ports.projects import Project, ProjectStore
from septum.ports.registry import SiloRegistry
from septum.protocol.rights import Grant, Role, project

TOKEN, KEY = sha256(b"token").digest(), b"k" * 32
CARDIO = Group("cardio", ("north", "south"), "", 3.0)
SEPSIS = Project("sepsis", "cardio", "Who gets it", ("default", "st-marys"), 4.0)


@dataclass(frozen=True, slots=True)
class ProjectStores:
    """The stores under test, and those that know silos and organisations, over one database."""

    groups: GroupStore
    projects: ProjectStore
    registry: SiloRegistry
    people: PeopleStore


class ProjectsContract(ABC):
    """The contracts of `ports.groups` and `ports.projects`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[ProjectStores]:
        """New, empty stores. They may keep their files in `directory`; what they need is closed on exit."""

    @pytest.fixture
    def stores(self, tmp_path: Path) -> Iterator[ProjectStores]:
        """The stores under test, with two organisations, silos, a group and a project."""
        with self.make(tmp_path) as stores:
            stores.people.add_organisation(Organisation("st-marys", "St Mary's", 1.0))
            for silo in ("north", "south", "west"):
                stores.registry.invite(silo, TOKEN, expires_at=100.0)
            stores.groups.add(CARDIO)
            stores.projects.add(SEPSIS)
            yield stores

    def test_a_group_is_as_it_was_made(self, stores: ProjectStores) -> None:
        """Listed by name, its silos in order and each once."""
        stores.groups.add(Group("all", ("west", "north", "west"), "st-marys", 5.0))
        assert list(stores.groups.groups()) == [Group("all", ("north", "west"), "st-marys", 5.0), CARDIO]

    def test_a_group_of_unknown_silos_or_a_taken_name_changes_nothing(self, stores: ProjectStores) -> None:
        """It is whole or not at all."""
        with pytest.raises(ConflictError, match="cardio"):
            stores.groups.add(Group("cardio", ("west",)))
        with pytest.raises(NotFoundError, match="'nroth'; close to it: north"):
            stores.groups.add(Group("more", ("west", "nroth")))
        with pytest.raises(NotFoundError, match="nowhere"):
            stores.groups.add(Group("more", (), "nowhere"))
        assert list(stores.groups.groups()) == [CARDIO]

    def test_silos_come_and_go_and_a_repeat_changes_nothing(self, stores: ProjectStores) -> None:
        """An unknown silo cannot come; one that is not there can go."""
        for _ in range(2):
            assert stores.groups.put("cardio", "west").silos == ("north", "south", "west")
        for _ in range(2):
            assert stores.groups.drop("cardio", "north").silos == ("south", "west")
        with pytest.raises(NotFoundError, match="nowhere"):
            stores.groups.put("cardio", "nowhere")
        assert stores.groups.groups()[0].silos == ("south", "west")

    def test_an_unknown_group_is_not_found(self, stores: ProjectStores) -> None:
        """By whatever is asked of it."""
        groups = stores.groups
        for ask in (
            lambda: groups.put("cadrio", "west"),
            lambda: groups.drop("cadrio", "west"),
            lambda: groups.remove("cadrio"),
            lambda: stores.projects.add(Project("other", "cadrio")),
        ):
            with pytest.raises(NotFoundError, match="'cadrio'; close to it: cardio"):
                ask()

    def test_a_silo_that_enrols_joins_the_groups_that_are_open_to_its_organisation(self, stores: ProjectStores) -> None:
        """Not those that are open to another one; and it can be taken out again."""
        stores.groups.add(Group("ours", (), "st-marys"))
        stores.groups.add(Group("theirs", (), "default"))
        stores.registry.invite("ward", TOKEN, expires_at=100.0, organisation="st-marys")
        stores.registry.invite("lab", TOKEN, expires_at=100.0)
        for silo in ("ward", "lab"):
            stores.registry.enroll(silo, TOKEN, KEY, at=1.0)
        members = {group.name: group.silos for group in stores.groups.groups()}
        assert members == {"cardio": ("north", "south"), "ours": ("ward",), "theirs": ("lab",)}
        stores.groups.drop("ours", "ward")
        stores.registry.enroll("ward", TOKEN, KEY, at=2.0)  # its answer was lost
        assert {group.name: group.silos for group in stores.groups.groups()}["ours"] == ()

    def test_a_group_goes_unless_a_project_has_it(self, stores: ProjectStores) -> None:
        """Also when that is closed: over which silos its runs went can be told."""
        stores.projects.close("sepsis")
        with pytest.raises(ConflictError, match="sepsis"):
            stores.groups.remove("cardio")
        stores.groups.add(Group("spare", ("north",)))
        stores.groups.remove("spare")
        assert list(stores.groups.groups()) == [CARDIO]

    def test_a_project_is_as_it_was_made(self, stores: ProjectStores) -> None:
        """By name, all or some of them; names that there are not are left out."""
        other = Project("asthma", "cardio", organisations=("st-marys",))
        stores.projects.add(other)
        assert list(stores.projects.projects()) == [other, SEPSIS]
        assert list(stores.projects.projects(["sepsis", "none"])) == [SEPSIS]
        assert list(stores.projects.projects([])) == []

    def test_a_name_of_a_project_is_given_once(self, stores: ProjectStores) -> None:
        """Whatever is refused changes nothing."""
        with pytest.raises(ConflictError, match="sepsis"):
            stores.projects.add(Project("sepsis", "cardio"))
        with pytest.raises(NotFoundError, match="nowhere"):
            stores.projects.add(Project("other", "cardio", organisations=("default", "nowhere")))
        with pytest.raises(ConfigError, match="no organisation"):
            stores.projects.add(Project("other", "cardio", organisations=()))
        assert list(stores.projects.projects()) == [SEPSIS]

    def test_a_closed_project_stays_closed(self, stores: ProjectStores) -> None:
        """Closing it twice is harmless."""
        for _ in range(2):
            assert stores.projects.close("sepsis").closed
        assert [one.closed for one in stores.projects.projects()] == [True]
        with pytest.raises(NotFoundError, match="'sespis'; close to it: sepsis"):
            stores.projects.close("sespis")

    def test_a_role_is_given_over_a_project_that_there_is(self, stores: ProjectStores) -> None:
        """And over no other."""
        grant = Grant(Role.VIEWER, project("sepsis"))
        stores.people.add(Person("ada", grants=(grant,)), TOKEN, until=9.0)
        assert stores.people.person("ada").grants == (grant,)
        with pytest.raises(NotFoundError, match="'sespis'; close to it: sepsis"):
            stores.people.set_grants("ada", (Grant(Role.VIEWER, project("sespis")),))

    def test_an_organisation_with_projects_or_groups_open_to_it_stays(self, stores: ProjectStores) -> None:
        """As with people and silos."""
        with pytest.raises(ConflictError, match="still has projects"):
            stores.people.remove_organisation("st-marys")
        stores.people.add_organisation(Organisation("basel", "Basel", 1.0))
        stores.groups.add(Group("rhine", (), "basel"))
        with pytest.raises(ConflictError, match="still has groups open to it"):
            stores.people.remove_organisation("basel")
        stores.groups.remove("rhine")
        stores.people.remove_organisation("basel")
