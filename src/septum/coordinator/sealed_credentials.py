"""How is a second factor's secret kept, where there is a key for it? Sealed, for its person alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from septum.adapters.sealing.seal import Sealer
from septum.ports.credentials import Credentials, CredentialStore
from septum.ports.people import Person


class SealedCredentials:
    """A CredentialStore around another one, which sees no secret as it is."""

    def __init__(self, store: CredentialStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    def credentials(self, name: str) -> Credentials | None:
        """Those of a person. Raises StorageError for a secret that was changed, or is another person's."""
        found = self._store.credentials(name)
        if found is None or not found.totp_secret:
            return found
        return replace(found, totp_secret=self._sealer.open(found.totp_secret, about(found.name)))

    def set_totp(self, name: str, secret: bytes, step: int, recovery: Sequence[bytes]) -> None:
        """Ask for a second factor from now on; an empty secret asks no more."""
        self._store.set_totp(name, self._sealer.seal(secret, about(name)) if secret else b"", step, recovery)

    def choose_password(self, name: str, password_hash: str, *, one_time_hash: bytes = b"") -> bool:
        """Keep a new password and void the one-time one."""
        return self._store.choose_password(name, password_hash, one_time_hash=one_time_hash)

    def reset(self, name: str, one_time_hash: bytes, *, until: float) -> None:
        """Forget all that the person proved themselves by."""
        self._store.reset(name, one_time_hash, until=until)

    def use_step(self, name: str, step: int) -> bool:
        """Note that the code of this time step was used."""
        return self._store.use_step(name, step)

    def use_recovery(self, name: str, code_hash: bytes) -> bool:
        """Burn a recovery code."""
        return self._store.use_recovery(name, code_hash)

    def known_as(self, issuer: str, subject: str) -> str:
        """Who an identity provider's subject is here."""
        return self._store.known_as(issuer, subject)

    def know_as(self, name: str, issuer: str, subject: str) -> None:
        """Tie a provider's subject to a person."""
        self._store.know_as(name, issuer, subject)

    def admit(self, person: Person, issuer: str, subject: str) -> None:
        """Know a person whom a provider's subject is."""
        self._store.admit(person, issuer, subject)


def about(name: str) -> str:
    """What a sealed secret of a person is bound to.

    >>> about("ada")
    'the second factor of ada'
    """
    return f"the second factor of {name}"
