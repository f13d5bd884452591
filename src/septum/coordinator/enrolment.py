"""How does a silo come in? An operator invites it by name; with the token it enrols once, proving the key it brings."""

from __future__ import annotations

import logging
from collections.abc import Callable

from septum.adapters.identity.token import check_enrolment, make_token, new_secret, token_hash
from septum.coordinator.service import RunService
from septum.coordinator.silos import Silos
from septum.errors import AuthError, SeptumError
from septum.ports.clock import Clock
from septum.protocol.messages import Enroll, Enrolled
from septum.protocol.plan import check_silo_name
from septum.protocol.rights import FIRST_ORGANISATION
from septum.protocol.views import InviteView

log = logging.getLogger("septum.coordinator.enrolment")

INVITATION_S = 24 * 3600.0


class Enrolment:
    """Invitations, enrolments and revocations.

    `url` is by which silos reach the coordinator. `ca_digest` pins the coordinator's certificate authority in
    the tokens; None where it is a public one.
    """

    def __init__(
        self, silos: Silos, service: RunService, clock: Clock, *, name: str, url: str, ca_digest: str | None
    ) -> None:
        self._silos = silos
        self._service = service
        self._clock = clock
        self._name = name
        self._url = url
        self._ca_digest = ca_digest
        self.on_revoked: list[Callable[[str, SeptumError], None]] = []  # end what a silo has open besides requests

    async def invite(self, silo: str, organisation: str = FIRST_ORGANISATION, by: str = "") -> InviteView:
        """A one-time token for a silo of this organisation; an older one is void.

        Raises ConflictError when the silo is enrolled or is another organisation's, NotFoundError for an unknown one.
        """
        return await self._invite(silo, organisation, by, renew=False)

    async def renew(self, silo: str, by: str = "") -> InviteView:
        """A one-time token with which an enrolled silo brings another key, in whose place it then is.

        Raises NotFoundError for one that was never invited.
        """
        return await self._invite(silo, self._silos.detail(silo).silo.organisation, by, renew=True)

    async def _invite(self, silo: str, organisation: str, by: str, *, renew: bool) -> InviteView:
        secret, expires_at = new_secret(), self._clock.unix() + INVITATION_S
        token = make_token(check_silo_name(silo), secret, self._ca_digest)
        await self._silos.invite(
            silo, _stored(secret), expires_at=expires_at, organisation=organisation, by=by, renew=renew
        )
        told = {"silo": silo, "organisation": organisation, "expires_at": expires_at, "renew": renew}
        log.info("silo_invited", extra=told)
        return InviteView(silo, token, expires_at, self._url)

    async def enroll(self, message: Enroll) -> Enrolled:
        """Check the proof, burn the token and know the key, all or nothing. Raises AuthError, ConfigError."""
        token = check_enrolment(message)
        before = self._silos.public_key(token.silo)
        record = await self._silos.enroll(token.silo, _stored(token.secret), message.public_key)
        log.info("silo_enrolled", extra={"silo": record.name})
        if before not in (None, record.public_key):
            hint = f"septum silo start, in the silo; if nobody there did this: septum silo revoke {record.name}"
            self._end(record.name, AuthError(f"the key of silo {record.name!r} was replaced by another one", hint=hint))
        return Enrolled(record.name, self._name)

    async def revoke(self, silo: str, by: str = "") -> None:
        """Refuse a silo's key from now on, and end its open requests. Raises NotFoundError."""
        await self._silos.revoke(silo, by)
        log.warning("silo_revoked", extra={"silo": silo})
        hint = f"septum silo invite {silo}, on the coordinator"
        error = AuthError(f"the key of silo {silo!r} was revoked", hint=hint)
        self._end(silo, error)
        await self._service.revoked(silo)

    def _end(self, silo: str, error: SeptumError) -> None:
        """End what a silo has open."""
        for end in (*self.on_revoked, self._service.end_held):
            end(silo, error)


def _stored(secret: bytes) -> bytes:
    return bytes.fromhex(token_hash(secret).removeprefix("sha256:"))
