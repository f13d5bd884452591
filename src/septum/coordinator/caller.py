"""Who asks, and may they? The one place where a person, the operator or a token is compared with the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from septum.errors import ForbiddenError
from septum.ports.people import THE_OPERATORS, Person
from septum.protocol import rights
from septum.protocol.rights import FIRST_ORGANISATION, Grant, Right, Role, Scope


class Via(Enum):
    """By what somebody has proven who they are."""

    OPERATOR = "operator"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a kind of proof, none itself


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose request is being answered.

    limit        the rights of a personal token, which has no others; None where all of the person's hold
    secret_hash  by which session or token is known
    csrf         of a session that came in a cookie
    """

    person: Person
    via: Via
    limit: frozenset[Right] | None = None
    secret_hash: bytes = field(default=b"", repr=False)
    csrf: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """By which they sign in."""
        return self.person.name

    def may(self, right: Right, *within: Scope) -> bool:
        """Whether they may do this to a thing that lies within these scopes (and, as all does, in the federation)."""
        return self._has(right) and rights.may(self.person.grants, right, *within)

    def may_somewhere(self, right: Right) -> bool:
        """Whether they may do this to anything."""
        return self._has(right) and rights.may_somewhere(self.person.grants, right)

    def may_give(self, grant: Grant) -> bool:
        """Whether they may give this role, or take it back."""
        wanted = rights.RIGHTS[grant.role] | {Right.USER_MANAGE}
        return all(map(self._has, wanted)) and rights.may_give(self.person.grants, grant)

    def need(self, right: Right, *within: Scope) -> None:
        """Raises ForbiddenError unless they may."""
        if not self.may(right, *within):
            raise self.refused(right)

    def refused(self, right: Right) -> ForbiddenError:
        """The error for a right that they lack."""
        why = "this token does not have" if self.limit is not None else f"no role of {self.name!r} gives"
        return ForbiddenError(f"{why} the right {right.value} here", hint="septum whoami; ask an administrator for it")

    def _has(self, right: Right) -> bool:
        return self.limit is None or right in self.limit


OPERATOR = Caller(
    Person(
        THE_OPERATORS,
        "The operator on the coordinator's machine",
        FIRST_ORGANISATION,
        grants=(Grant(Role.FEDERATION_ADMIN),),
    ),
    Via.OPERATOR,
)
"""Whoever holds the token in `operator.json`: nobody in the store, so nobody can suspend it."""
