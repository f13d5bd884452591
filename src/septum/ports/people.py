"""Who are the people, to which organisation do they belong, and which roles do they have?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from septum.errors import ConfigError
from septum.protocol.rights import FIRST_ORGANISATION, Grant

MAX_TITLE_CHARS = 200
THE_OPERATORS = "operator"  # whoever holds the token on the coordinator's machine, and nobody else
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,62}[a-z0-9]|[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Organisation:
    """A member of the federation. `title` is how people call it."""

    name: str
    title: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in.

    name       by which they sign in; never given to somebody else
    full_name  how others call them; may be empty
    proven     has chosen a password, or has come from the federation's identity provider
    totp       whether a second factor is asked for
    grants     roles, in a fixed order
    """

    name: str
    full_name: str = ""
    organisation: str = FIRST_ORGANISATION
    created_at: float = 0.0
    proven: bool = False
    suspended: bool = False
    totp: bool = False
    grants: tuple[Grant, ...] = ()


class PeopleStore(Protocol):
    """Durable organisations, people and roles.

    Contract: nobody is ever removed, so that what somebody did can be told for ever; who may no longer come in is
    suspended. Names are unique. A change is whole or not at all. Methods may be called from any thread.
    """

    def organisations(self) -> Sequence[Organisation]:
        """Every organisation, by name. FIRST_ORGANISATION is there from the beginning."""

    def add_organisation(self, organisation: Organisation) -> None:
        """Know an organisation. Raises ConflictError when its name is taken."""

    def remove_organisation(self, name: str) -> None:
        """Forget one. Raises NotFoundError, and ConflictError while it owns silos or people, or a role is over it."""

    def people(self) -> Sequence[Person]:
        """Everybody, by name."""

    def person(self, name: str) -> Person:
        """One of them. Raises NotFoundError."""

    def add(self, person: Person, one_time_hash: bytes, *, until: float) -> None:
        """Know a person, who may come in once by a one-time password.

        Raises ConflictError when the name is taken, NotFoundError for an unknown organisation.
        """

    def set_grants(self, name: str, grants: Sequence[Grant]) -> Person:
        """Give a person these roles in place of those they had. Raises NotFoundError, also for an organisation."""

    def suspend(self, name: str, *, suspended: bool) -> Person:
        """Let a person in no more, and end their sessions and tokens; or let them in again. Raises NotFoundError."""


def check_person_name(name: str) -> str:
    """`name` itself, if one can sign in by it. Raises ConfigError.

    >>> check_person_name("ada@st-marys.org")
    'ada@st-marys.org'
    """
    if not _NAME.fullmatch(name) or name == THE_OPERATORS:
        raise ConfigError(
            f"{name[:80]!r} is no name to sign in by",
            hint="use 1 to 64 lower-case letters, digits and . _ @ + -, as in ada or ada@st-marys.org",
        )
    return name


def check_title(text: str, what: str) -> str:
    """`text` itself, if it can be shown. Raises ConfigError."""
    if len(text) > MAX_TITLE_CHARS or not text.isprintable():
        raise ConfigError(f"{what} is a printable text of at most {MAX_TITLE_CHARS} characters")
    return text
