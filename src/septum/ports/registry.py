"""Who may speak: silos with their keys, and the one-time invitations by which they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from septum.errors import ConflictError
from septum.protocol.rights import FIRST_ORGANISATION


@dataclass(frozen=True, slots=True)
class SiloRecord:
    """A silo as the coordinator knows it.

    public_key  Ed25519, 32 bytes raw; empty until it has enrolled
    enrolled_at Unix time, seconds; 0 until it has enrolled
    seen_at     Unix time of its last authenticated request, seconds; 0 if never. May lag by some seconds.
    organisation that owns it
    """

    name: str
    public_key: bytes
    enrolled_at: float
    seen_at: float
    revoked: bool = False
    organisation: str = FIRST_ORGANISATION


def not_theirs(silo: str) -> ConflictError:
    """The error for an invitation of a silo that is another organisation's; it does not say whose."""
    return ConflictError(f"the name {silo!r} belongs to a silo of another organisation", hint="choose another name")


class SiloRegistry(Protocol):
    """Durable silos.

    Contract: an invitation's token is stored as a SHA-256 hash only, is bound to one name, expires, and works once:
    of two concurrent enrolments with one token exactly one succeeds. Methods may be called from any thread.
    """

    def invite(
        self,
        silo: str,
        token_hash: bytes,
        *,
        expires_at: float,
        organisation: str = FIRST_ORGANISATION,
        renew: bool = False,
    ) -> None:
        """Let a silo of this organisation come in once. A newer invitation replaces an older one.

        Raises NotFoundError for an unknown organisation, ConflictError when the silo is enrolled or is another one's.
        A revoked silo may be invited again; it stays revoked until it enrols. With `renew` an enrolled one is invited,
        to come with another key: it keeps its key until then.
        """

    def enroll(self, silo: str, token_hash: bytes, public_key: bytes, *, at: float) -> SiloRecord:
        """Burn the invitation and know the key. Raises AuthError when no valid invitation fits.

        The same silo with the same key and token again is a repeat, and gets the same answer, until it is revoked.
        """

    def get(self, silo: str) -> SiloRecord:
        """One silo. Raises NotFoundError."""

    def all(self) -> Sequence[SiloRecord]:
        """Every enrolled or invited silo, by name."""

    def revoke(self, silo: str) -> None:
        """Refuse this silo's key, and an open invitation, from now on. Raises NotFoundError."""

    def seen(self, silos: Sequence[str], *, at: float) -> None:
        """Note that these silos were here. Cheap: it may be called for every request. Unknown names are ignored."""
