"""Which projects are there, who may know of them, and what may be run in them?"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from septum.coordinator.caller import Caller
from septum.coordinator.effects import Performer
from septum.coordinator.feed import Feed
from septum.errors import ConfigError, ConflictError, NotFoundError
from septum.ports.clock import Clock
from septum.ports.groups import GroupStore
from septum.ports.people import check_title
from septum.ports.projects import Project, ProjectStore
from septum.protocol.feed import Change, Kind
from septum.protocol.project_views import NewProject, ProjectView
from septum.protocol.rights import Right, Scope, check_name

log = logging.getLogger("septum.coordinator.projects")


class Projects:
    """Projects. Each lies in itself and in the organisations that own it, and so does what is run in it."""

    def __init__(self, store: ProjectStore, groups: GroupStore, performer: Performer, clock: Clock, feed: Feed) -> None:
        self._store = store
        self._groups = groups
        self._performer = performer
        self._clock = clock
        self._feed = feed

    async def projects(self, caller: Caller) -> tuple[ProjectView, ...]:
        """Those that the caller may see, by name."""
        found = await self._performer.read(self._store.projects)
        silos = await self._silos()
        return tuple(_view(one, silos) for one in found if caller.may(Right.PROJECT_READ, *one.scopes))

    async def project(self, caller: Caller, name: str, *rights: Right) -> Project:
        """One that the caller may see, or have one of these rights over. Raises NotFoundError, for others as well."""
        found = await self._performer.read(self._store.projects, [name])
        if not found or not any(caller.may(right, *found[0].scopes) for right in (Right.PROJECT_READ, *rights)):
            raise NotFoundError(f"there is no project {name[:80]!r}", hint="septum project list")
        return found[0]

    async def view(self, project: Project) -> ProjectView:
        """What is told of a project."""
        return _view(project, await self._silos())

    async def add(self, wanted: NewProject, by: str) -> ProjectView:
        """A new project.

        Raises ConflictError when the name is taken, NotFoundError for an unknown group or organisation, ConfigError.
        """
        project = Project(
            check_name(wanted.name, "project"),
            wanted.group,
            check_title(wanted.description, "a description"),
            tuple(sorted(set(wanted.organisations))),
            self._clock.unix(),
        )
        change = Change(Kind.PROJECT_ADDED, by, group=project.group, project=project.name)
        await self._feed.write(change, self._store.add, project)
        log.info("project_added", extra={"project": project.name, "group": project.group})
        return await self.view(project)

    async def close(self, name: str, by: str) -> ProjectView:
        """Take no new runs in a project. Raises NotFoundError."""
        closed = await self._feed.write(Change(Kind.PROJECT_CLOSED, by, project=name), self._store.close, name)
        log.warning("project_closed", extra={"project": name})
        return await self.view(closed)

    async def scopes(self, name: str) -> tuple[Scope, ...]:
        """In what the runs of a project lie; those of none in the federation alone."""
        found = await self._performer.read(self._store.projects, [name]) if name else ()
        return found[0].scopes if found else ()

    async def where(self, caller: Caller, right: Right) -> frozenset[str] | None:
        """In which projects the caller has a right; None where they have it over the federation, and so everywhere."""
        if caller.may(right):
            return None
        found = await self._performer.read(self._store.projects)
        return frozenset(one.name for one in found if caller.may(right, *one.scopes))

    async def need_room(self, project: Project, silos: Iterable[str]) -> None:
        """Whether a run over these silos may be made in it. Raises ConflictError, or ConfigError naming the others."""
        if project.closed:
            raise ConflictError(
                f"project {project.name!r} is closed, and takes no new runs", hint="septum project list"
            )
        group = (await self._silos()).get(project.group, ())
        outside = sorted(set(silos) - set(group))
        if outside:
            raise ConfigError(
                f"not in group {project.group!r} of project {project.name!r}: {', '.join(outside)}",
                hint=f"septum project show {project.name} lists its silos; "
                f"septum group add {project.group} {' '.join(outside)}",
            )

    async def _silos(self) -> dict[str, tuple[str, ...]]:
        return {group.name: group.silos for group in await self._performer.read(self._groups.groups)}


def _view(project: Project, silos: dict[str, tuple[str, ...]]) -> ProjectView:
    return ProjectView(
        project.name,
        project.group,
        silos.get(project.group, ()),
        project.description,
        project.organisations,
        project.closed,
        project.created_at,
    )
