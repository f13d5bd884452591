"""By what does a person prove who they are? Passwords, one-time passwords, second factors, an identity elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from septum.ports.people import Person
from septum.protocol.rights import FIRST_ORGANISATION


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person's proof is compared with.

    password_hash  Argon2id in PHC form; empty until a password was chosen
    one_time_hash  SHA-256 of the password of an invitation or a reset; empty when there is none
    until          Unix time at which that one expires
    totp_secret    of the second factor; empty when there is none
    totp_step      the newest time step whose code was used: no code works twice
    organisation   of the person
    """

    name: str
    suspended: bool = False
    password_hash: str = field(default="", repr=False)
    one_time_hash: bytes = field(default=b"", repr=False)
    until: float = 0.0
    totp_secret: bytes = field(default=b"", repr=False)
    totp_step: int = 0
    organisation: str = FIRST_ORGANISATION


class CredentialStore(Protocol):
    """Durable proofs of identity.

    Contract: passwords are kept as slow hashes, random secrets as SHA-256, never as they are; only the second factor's
    secret has to be kept whole. What works once works once: of two concurrent uses exactly one succeeds. Methods may be
    called from any thread; those that name a person raise NotFoundError for an unknown one.
    """

    def credentials(self, name: str) -> Credentials | None:
        """Those of a person; None for an unknown one."""

    def choose_password(self, name: str, password_hash: str, *, one_time_hash: bytes = b"") -> bool:
        """Keep a new password and void the one-time one, which has to be `one_time_hash` if that is given.

        The person's sessions and tokens end. False, and nothing changed, when the one-time password is another one by
        now.
        """

    def reset(self, name: str, one_time_hash: bytes, *, until: float) -> None:
        """Forget password, second factor, sessions, tokens, identities; let the person in by a one-time password."""

    def set_totp(self, name: str, secret: bytes, step: int, recovery: Sequence[bytes]) -> None:
        """Ask for a second factor from now on, and keep the hashes of recovery codes; an empty secret asks no more."""

    def use_step(self, name: str, step: int) -> bool:
        """Note that the code of this time step was used. False if this one or a later one was before."""

    def use_recovery(self, name: str, code_hash: bytes) -> bool:
        """Burn a recovery code. False if there is none such."""

    def known_as(self, issuer: str, subject: str) -> str:
        """Who an identity provider's subject is here; empty when nobody."""

    def know_as(self, name: str, issuer: str, subject: str) -> None:
        """Tie a provider's subject to a person, void the one-time password. Raises ConflictError when it is tied."""

    def admit(self, person: Person, issuer: str, subject: str) -> None:
        """Know a person whom a provider's subject is: both or nothing.

        Raises ConflictError when the name is taken or the subject is tied, NotFoundError for an unknown organisation.
        """
