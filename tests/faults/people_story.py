"""How do people ask a coordinator that dies again and again?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from tests.coordinator.oidc_provider import OidcProvider

from septum.client import Access, Client
from septum.client.people import PeopleClient
from septum.errors import ConflictError, NotFoundError, SeptumError
from septum.protocol.feed import Kind
from septum.protocol.project_views import NewProject

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Peopled:
    """A coordinator that dies, its operator's access, how to ask until it answers, and which deaths are to come."""

    access: Access
    persist: Callable[[Callable[[], T]], T]
    provider: OidcProvider
    outstanding: Callable[[], Collection[str]] = tuple

    @contextmanager
    def by(self, token: str) -> Iterator[PeopleClient]:
        with closing(Client(replace(self.access, token=token))) as client:
            yield client.people

    def tried(self, call: Callable[[], T], done: type[SeptumError]) -> None:
        """Ask until it answers; `done` says that an answer was lost."""
        with suppress(done):
            self.persist(call)


def live_in_projects(here: Peopled, number: int) -> None:
    """A group and a project come, change and end, each once."""
    group, spare, name, silo = f"group-{number}", f"spare-{number}", f"project-{number}", f"silo-{number}"
    with closing(Client(here.access)) as client:
        here.persist(lambda: client.invite(silo))
        for one in (group, spare):
            here.tried(partial(client.groups.add, one), ConflictError)
        assert here.persist(lambda: client.groups.put(spare, silo)).silos == (silo,)
        assert here.persist(lambda: client.groups.put(group, silo)).silos == (silo,)
        assert here.persist(lambda: client.groups.drop(group, silo)).silos == ()
        here.tried(lambda: client.groups.remove(spare), NotFoundError)
        here.tried(lambda: client.projects.add(NewProject(name, group)), ConflictError)
        assert here.persist(lambda: client.projects.close(name)).closed
        assert [one.name for one in here.persist(client.groups.all) if one.name in (group, spare)] == [group]
        assert here.persist(lambda: client.projects.get(name)).group == group
        told = here.persist(lambda: client.feed.page(limit=1000, kinds=["group", "project"]))
        mine = (group, spare)
        assert [entry.change.kind for entry in reversed(told) if entry.change.group in mine] == [
            Kind.GROUP_ADDED,
            Kind.GROUP_ADDED,
            Kind.GROUP_JOINED,
            Kind.GROUP_JOINED,
            Kind.GROUP_LEFT,
            Kind.GROUP_REMOVED,
            Kind.PROJECT_ADDED,
        ]
        assert next(entry.change.kind for entry in told if entry.change.project == name) is Kind.PROJECT_CLOSED
