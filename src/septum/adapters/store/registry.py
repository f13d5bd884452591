"""Which silos may speak? Their keys and one-time invitations. Port: ports/registry.py."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.groups import join_open_groups
from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import INVITATIONS, ORGANISATIONS, SILO_OWNERS, SILOS
from septum.errors import AuthError, ConflictError, SeptumError
from septum.ports.registry import SiloRecord, not_theirs
from septum.protocol.rights import FIRST_ORGANISATION

SEEN_LAG_S = 5.0  # how much of `seen` a kill may lose; a commit for each request would cost an fsync each

_OWNED = select(SILOS, SILO_OWNERS.c.organisation).outerjoin(SILO_OWNERS, SILO_OWNERS.c.silo == SILOS.c.name)
_SILO = _OWNED.where(SILOS.c.name == bindparam("silo"))
_ALL = _OWNED.order_by(SILOS.c.name)
_OWN = insert(SILO_OWNERS)
_ORGANISATIONS = select(ORGANISATIONS.c.name)
_NAMES = select(SILOS.c.name)
_ADD = insert(SILOS)
_ENROL = (
    update(SILOS)
    .where(SILOS.c.name == bindparam("silo"))
    .values(public_key=bindparam("key"), enrolled_at=bindparam("at"), revoked=False)
)
_REVOKE = update(SILOS).where(SILOS.c.name == bindparam("silo")).values(revoked=True)
_SEEN = (
    update(SILOS)
    .where(SILOS.c.name == bindparam("silo"), SILOS.c.seen_at < bindparam("at"))
    .values(seen_at=bindparam("at"))
)
_INVITATION = select(INVITATIONS).where(INVITATIONS.c.silo == bindparam("of_silo"))
_INVITE = insert(INVITATIONS)
_FORGET = delete(INVITATIONS).where(INVITATIONS.c.silo == bindparam("of_silo"))
_BURN = update(INVITATIONS).where(INVITATIONS.c.silo == bindparam("of_silo")).values(burned=True)


class SqlRegistry:
    """Silos in a database. See `ports.registry.SiloRegistry` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}  # not yet written
        self._flushed_at = 0.0

    def invite(
        self,
        silo: str,
        token_hash: bytes,
        *,
        expires_at: float,
        organisation: str = FIRST_ORGANISATION,
        renew: bool = False,
    ) -> None:
        """Let `silo` come in once. Raises ConflictError when it is enrolled and not revoked, or is another one's."""
        with self._database.write() as connection:
            row = connection.execute(_SILO, {"silo": silo}).first()
            if row is not None and (row.organisation or FIRST_ORGANISATION) != organisation:
                raise not_theirs(silo)
            if row is None:
                new = {"name": silo, "public_key": b"", "enrolled_at": 0.0, "seen_at": 0.0, "revoked": False}
                connection.execute(_ADD, new)
                _own(connection, silo, organisation)
            elif row.public_key and not row.revoked and not renew:
                raise ConflictError(
                    f"silo {silo!r} is already enrolled",
                    hint=f"septum silo renew {silo}, for another key; septum silo revoke {silo}",
                )
            connection.execute(_FORGET, {"of_silo": silo})
            invitation = {"silo": silo, "token_hash": token_hash, "expires_at": expires_at, "burned": False}
            connection.execute(_INVITE, invitation)

    def enroll(self, silo: str, token_hash: bytes, public_key: bytes, *, at: float) -> SiloRecord:
        """Burn the invitation and know the key. Raises AuthError when no valid invitation fits."""
        with self._database.write() as connection:
            invitation = connection.execute(_INVITATION, {"of_silo": silo}).first()
            if invitation is None or not hmac.compare_digest(invitation.token_hash, token_hash):
                raise _refused(silo, f"there is no invitation for silo {silo!r} with this token")
            known = connection.execute(_SILO, {"silo": silo}).one()
            if invitation.burned:
                if not hmac.compare_digest(known.public_key, public_key):
                    raise _refused(silo, f"the invitation of silo {silo!r} has been used by another key")
                return self._record(known)  # its answer was lost
            if at >= invitation.expires_at:
                raise _refused(silo, f"the invitation of silo {silo!r} expired {at - invitation.expires_at:.0f} s ago")
            connection.execute(_BURN, {"of_silo": silo})
            connection.execute(_ENROL, {"silo": silo, "key": public_key, "at": at})
            join_open_groups(connection, silo, known.organisation or FIRST_ORGANISATION)
            return self._record(connection.execute(_SILO, {"silo": silo}).one())

    def get(self, silo: str) -> SiloRecord:
        """One silo. Raises NotFoundError."""
        with self._database.read() as connection:
            return self._record(_known(connection, silo))

    def all(self) -> Sequence[SiloRecord]:
        """Every enrolled or invited silo, by name."""
        with self._database.read() as connection:
            return [self._record(row) for row in connection.execute(_ALL)]

    def revoke(self, silo: str) -> None:
        """Refuse this silo's key, and its invitation, from now on. Raises NotFoundError."""
        with self._database.write() as connection:
            _known(connection, silo)
            connection.execute(_REVOKE, {"silo": silo})
            connection.execute(_FORGET, {"of_silo": silo})

    def seen(self, silos: Sequence[str], *, at: float) -> None:
        """Note that these silos were here. Kept in memory and written together every `SEEN_LAG_S` seconds."""
        with self._lock:
            for silo in silos:
                self._seen[silo] = max(at, self._seen.get(silo, 0.0))
            due = at - self._flushed_at >= SEEN_LAG_S
            if due:
                self._flushed_at = at
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what `seen` still has in memory."""
        with self._lock:
            seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            with self._database.write() as connection:
                connection.execute(_SEEN, [{"silo": silo, "at": at} for silo, at in seen.items()])
        except SeptumError:
            with self._lock:  # for the next time
                self._seen = {silo: max(at, self._seen.get(silo, 0.0)) for silo, at in seen.items()} | {
                    silo: at for silo, at in self._seen.items() if silo not in seen
                }
            raise

    def _record(self, row: Row[Any]) -> SiloRecord:
        seen_at = max(row.seen_at, self._seen.get(row.name, 0.0))
        owner = row.organisation or FIRST_ORGANISATION
        return SiloRecord(row.name, row.public_key, row.enrolled_at, seen_at, row.revoked, owner)


def _own(connection: Connection, silo: str, organisation: str) -> None:
    known = connection.scalars(_ORGANISATIONS).all()
    if organisation not in known:
        raise not_found("org", organisation, known)
    if organisation != FIRST_ORGANISATION:
        connection.execute(_OWN, {"silo": silo, "organisation": organisation})


def _known(connection: Connection, silo: str) -> Row[Any]:
    row = connection.execute(_SILO, {"silo": silo}).first()
    if row is None:
        raise not_found("silo", silo, connection.scalars(_NAMES).all())
    return row


def _refused(silo: str, problem: str) -> AuthError:
    return AuthError(problem, hint=f"septum silo invite {silo}")
