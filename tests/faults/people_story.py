"""How do people ask a coordinator that dies again and again?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.coordinator.oidc_provider import OidcProvider

from septum.client import Access, Client
from septum.client.people import PeopleClient
from septum.errors import SeptumError

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
