"""Which silos belong together? Groups of them, under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Group:
    """Silos under one name.

    silos    by name, in order; invited and revoked ones may be among them
    open_to  the organisation whose silos join when they enrol; empty: none do
    """

    name: str
    silos: tuple[str, ...] = ()
    open_to: str = ""
    created_at: float = 0.0


class GroupStore(Protocol):
    """Durable groups of silos.

    Contract: names are unique. A silo of the organisation to which a group is open is in it from its enrolment on, in
    the same transaction; taken out again, it stays out until it enrols anew. A change is whole or not at all. Methods
    may be called from any thread.
    """

    def groups(self) -> Sequence[Group]:
        """Every group, by name."""

    def add(self, group: Group) -> None:
        """Know a group with its silos.

        Raises ConflictError when the name is taken, NotFoundError for an unknown silo or organisation.
        """

    def put(self, name: str, silo: str) -> Group:
        """Take a silo into a group; one that is in it stays. Raises NotFoundError for an unknown group or silo."""

    def drop(self, name: str, silo: str) -> Group:
        """Take a silo out of a group; one that is not in it is ignored. Raises NotFoundError for an unknown group."""

    def remove(self, name: str) -> None:
        """Forget a group. Raises NotFoundError, and ConflictError while a project has it."""
