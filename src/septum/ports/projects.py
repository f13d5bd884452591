"""What do runs belong to? Projects: over which silos, and of which organisations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from septum.protocol.rights import FIRST_ORGANISATION, Scope, organisation, project


@dataclass(frozen=True, slots=True)
class Project:
    """What runs belong to.

    group          whose silos its runs may ask
    organisations  that own it, by name: a role over one of them holds for its runs
    closed         takes no new runs
    """

    name: str
    group: str
    description: str = ""
    organisations: tuple[str, ...] = (FIRST_ORGANISATION,)
    created_at: float = 0.0
    closed: bool = False

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """In what its runs lie: over any of these a role holds for them."""
        return (project(self.name), *(organisation(name) for name in self.organisations))


class ProjectStore(Protocol):
    """Durable projects.

    Contract: names are unique. No project is ever removed, so that what its runs were can be told for ever. Methods may
    be called from any thread.
    """

    def projects(self, names: Iterable[str] | None = None) -> Sequence[Project]:
        """Every project, or those of these names that there are, by name."""

    def add(self, project: Project) -> None:
        """Know a project.

        Raises ConflictError when the name is taken, NotFoundError for an unknown group or organisation.
        """

    def close(self, name: str) -> Project:
        """Let a project take no new runs. One that is closed stays closed. Raises NotFoundError."""
