"""Who is signed in, and by which token may a program speak for a person?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from septum.ports.people import Person
from septum.protocol.rights import Right


@dataclass(frozen=True, slots=True)
class Session:
    """A person who has signed in. Times are Unix seconds; `expires_at` comes whatever is done."""

    name: str
    opened_at: float
    seen_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A personal token.

    id      names it, and is no secret
    person  whose rights it has, as far as they are among `rights`
    used_at Unix time of its last use, 0 if never; may lag by some minutes
    """

    id: str
    person: str
    title: str
    rights: frozenset[Right]
    created_at: float
    expires_at: float
    used_at: float = 0.0


class SessionStore(Protocol):
    """Durable sessions and tokens, found by the SHA-256 of their secret, which is not kept.

    Contract: what is found is given with its person as they are now. Whether it has expired is the caller's to say. Of
    a suspended person nothing is found. Methods may be called from any thread.
    """

    def open(self, secret_hash: bytes, session: Session, *, most: int) -> None:
        """Keep a session. Of one person's, the longest unused beyond `most` end; so do all that have expired."""

    def session(self, secret_hash: bytes) -> tuple[Session, Person] | None:
        """The session and its person; None when there is none."""

    def touch(self, secret_hash: bytes, *, at: float) -> None:
        """Note that it was used. An unknown one is ignored."""

    def close(self, secret_hash: bytes) -> None:
        """End a session. An unknown one is ignored."""

    def add_token(self, secret_hash: bytes, token: ApiToken, *, most: int) -> None:
        """Keep a token; expired ones of that person are forgotten. Raises ConflictError beyond `most`."""

    def token(self, secret_hash: bytes) -> tuple[ApiToken, Person] | None:
        """The token and its person; None when there is none."""

    def tokens(self, person: str) -> Sequence[ApiToken]:
        """A person's tokens, newest first."""

    def touch_token(self, token_id: str, *, at: float) -> None:
        """Note that it was used. An unknown one is ignored."""

    def revoke_token(self, person: str, token_id: str) -> None:
        """Forget a token of this person. Raises NotFoundError."""
