"""What do people and tools see of groups of silos and of projects, and what do they say to make them?"""

from __future__ import annotations

from dataclasses import dataclass

from septum.protocol.rights import FIRST_ORGANISATION


@dataclass(frozen=True, slots=True)
class GroupView:
    """Silos under one name. `open_to`: the organisation whose silos join when they enrol; empty: none do."""

    name: str
    silos: tuple[str, ...]
    open_to: str
    created_at: float


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to be."""

    name: str
    silos: tuple[str, ...] = ()
    open_to: str = ""


@dataclass(frozen=True, slots=True)
class ProjectView:
    """What runs belong to.

    group          whose `silos` its runs may ask
    organisations  that own it: a role over one of them holds for its runs
    closed         takes no new runs
    created_at     Unix time, seconds
    """

    name: str
    group: str
    silos: tuple[str, ...]
    description: str
    organisations: tuple[str, ...]
    closed: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project to be, over the silos of a group."""

    name: str
    group: str
    description: str = ""
    organisations: tuple[str, ...] = (FIRST_ORGANISATION,)
