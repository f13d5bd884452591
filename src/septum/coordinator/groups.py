"""Which groups of silos are there? As those may see and change them who ask."""

from __future__ import annotations

import logging

from septum.coordinator.caller import Caller
from septum.coordinator.effects import Performer
from septum.coordinator.feed import Feed
from septum.coordinator.silos import Silos
from septum.errors import NotFoundError
from septum.ports.clock import Clock
from septum.ports.groups import Group, GroupStore
from septum.ports.projects import ProjectStore
from septum.protocol.feed import Change, Kind
from septum.protocol.project_views import GroupView, NewGroup
from septum.protocol.rights import Right, Scope, check_name, organisation

log = logging.getLogger("septum.coordinator.groups")


class Groups:
    """Groups of silos. A group lies in the organisations of its silos, and in what the projects lie in that have it."""

    def __init__(
        self, store: GroupStore, projects: ProjectStore, silos: Silos, performer: Performer, clock: Clock, feed: Feed
    ) -> None:
        self._store = store
        self._projects = projects
        self._silos = silos
        self._performer = performer
        self._clock = clock
        self._feed = feed

    async def groups(self, caller: Caller) -> tuple[GroupView, ...]:
        """Those that the caller may see, by name."""
        return tuple(group_view(one) for one in await self._seen(caller))

    async def group(self, caller: Caller, name: str) -> GroupView:
        """One of them. Raises NotFoundError, the same for one that the caller may not see."""
        found = next((one for one in await self._seen(caller) if one.name == name), None)
        if found is None:
            raise NotFoundError(f"there is no group {name[:80]!r}", hint="septum group list")
        return group_view(found)

    async def add(self, wanted: NewGroup, by: str) -> GroupView:
        """A new group. Raises ConflictError when the name is taken, NotFoundError for an unknown silo."""
        silos = tuple(sorted(set(wanted.silos)))
        group = Group(check_name(wanted.name, "group"), silos, wanted.open_to, self._clock.unix())
        await self._feed.write(Change(Kind.GROUP_ADDED, by, group=group.name), self._store.add, group)
        log.info("group_added", extra={"group": group.name, "silos": silos, "open_to": group.open_to})
        return group_view(group)

    async def put(self, name: str, silo: str, by: str) -> GroupView:
        """Take a silo into a group. Raises NotFoundError."""
        change = Change(Kind.GROUP_JOINED, by, silo=silo, group=name)
        group = await self._feed.write(change, self._store.put, name, silo)
        log.info("group_joined", extra={"group": name, "silo": silo})
        return group_view(group)

    async def drop(self, name: str, silo: str, by: str) -> GroupView:
        """Take a silo out of a group. Raises NotFoundError."""
        change = Change(Kind.GROUP_LEFT, by, silo=silo, group=name)
        group = await self._feed.write(change, self._store.drop, name, silo)
        log.info("group_left", extra={"group": name, "silo": silo})
        return group_view(group)

    async def remove(self, name: str, by: str) -> None:
        """Forget a group. Raises NotFoundError, ConflictError while a project has it."""
        await self._feed.write(Change(Kind.GROUP_REMOVED, by, group=name), self._store.remove, name)
        log.warning("group_removed", extra={"group": name})

    async def silos_by_project(self, caller: Caller) -> frozenset[str]:
        """The silos that the caller may see for a project whose runs may ask them."""
        projects = await self._performer.read(self._projects.projects)
        groups = {one.group for one in projects if caller.may(Right.SILO_READ, *one.scopes)}
        found = await self._performer.read(self._store.groups) if groups else ()
        return frozenset(silo for group in found if group.name in groups for silo in group.silos)

    async def _seen(self, caller: Caller) -> list[Group]:
        groups = await self._performer.read(self._store.groups)
        if caller.may(Right.GROUP_READ):
            return list(groups)
        within: dict[str, set[Scope]] = {group.name: set() for group in groups}
        for project in await self._performer.read(self._projects.projects):
            within.setdefault(project.group, set()).update(project.scopes)
        for group in groups:
            owners = {self._silos.owner(silo) for silo in group.silos} | {group.open_to}
            within[group.name] |= {organisation(owner) for owner in owners if owner}
        return [group for group in groups if caller.may(Right.GROUP_READ, *within[group.name])]


def group_view(group: Group) -> GroupView:
    """What is told of a group."""
    return GroupView(group.name, group.silos, group.open_to, group.created_at)
