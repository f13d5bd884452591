"""How does a program ask about groups of silos and projects? Part of `Client`, as `client.groups` and `.projects`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from septum.client.wire import Ask, all_of
from septum.protocol.codec import from_json, to_json
from septum.protocol.project_views import GroupView, NewGroup, NewProject, ProjectView


class GroupsClient:
    """The public API's groups of silos. Each method raises what the coordinator answered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def all(self) -> tuple[GroupView, ...]:
        """Those that one may see, by name."""
        return all_of(GroupView, self._ask, "/groups")

    def get(self, name: str) -> GroupView:
        """One of them. Raises NotFoundError."""
        return from_json(GroupView, self._ask("GET", f"/groups/{quote(name, safe='')}"))

    def add(self, name: str, silos: Sequence[str] = (), open_to: str = "") -> GroupView:
        """A new group; silos of the organisation `open_to` join it when they enrol. Raises ConflictError."""
        return from_json(GroupView, self._ask("POST", "/groups", to_json(NewGroup(name, tuple(silos), open_to))))

    def put(self, name: str, silo: str) -> GroupView:
        """Take a silo into a group. Raises NotFoundError."""
        return from_json(GroupView, self._ask("PUT", _member(name, silo)))

    def drop(self, name: str, silo: str) -> GroupView:
        """Take a silo out of a group. Raises NotFoundError."""
        return from_json(GroupView, self._ask("DELETE", _member(name, silo)))

    def remove(self, name: str) -> None:
        """Forget a group. Raises ConflictError while a project has it."""
        self._ask("DELETE", f"/groups/{quote(name, safe='')}")


class ProjectsClient:
    """The public API's projects. Each method raises what the coordinator answered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def all(self) -> tuple[ProjectView, ...]:
        """Those that one may see, by name."""
        return all_of(ProjectView, self._ask, "/projects")

    def get(self, name: str) -> ProjectView:
        """One of them. Raises NotFoundError."""
        return from_json(ProjectView, self._ask("GET", f"/projects/{quote(name, safe='')}"))

    def add(self, wanted: NewProject) -> ProjectView:
        """A new project. Raises ConflictError when the name is taken."""
        return from_json(ProjectView, self._ask("POST", "/projects", to_json(wanted)))

    def close(self, name: str) -> ProjectView:
        """Let a project take no new runs. Raises NotFoundError."""
        return from_json(ProjectView, self._ask("POST", f"/projects/{quote(name, safe='')}/close"))


def _member(name: str, silo: str) -> str:
    return f"/groups/{quote(name, safe='')}/silos/{quote(silo, safe='')}"
