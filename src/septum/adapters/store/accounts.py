"""What have silos said about themselves? One row each. Port: ports/accounts.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import SILO_ACCOUNTS, SILOS
from septum.ports.accounts import SiloAccount
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.description import SiloDescription, Standing

MAX_DESCRIPTION_BYTES = 2 * 2**20  # one that came as a message, with each of its letters as an escape

_ALL = select(SILO_ACCOUNTS).order_by(SILO_ACCOUNTS.c.silo)
_ONE = select(SILO_ACCOUNTS.c.silo).where(SILO_ACCOUNTS.c.silo == bindparam("of_silo"))
_NAMES = select(SILOS.c.name)
_ADD = insert(SILO_ACCOUNTS)
_CHANGE = update(SILO_ACCOUNTS).where(SILO_ACCOUNTS.c.silo == bindparam("of_silo"))
_NEW = {"description": "", "described_at": 0.0, "paused": False, "reason": "", "stood_at": 0.0, "budget_low": "[]"}


class SqlAccounts:
    """Accounts in a database. See `ports.accounts.SiloAccounts` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self, silo: str, description: SiloDescription, *, at: float) -> None:
        """Keep what a silo says of itself. Raises NotFoundError."""
        with self._database.write() as connection:
            _set(connection, silo, {"description": dumps(to_json(description)).decode(), "described_at": at})

    def stand(self, silo: str, standing: Standing, *, at: float) -> None:
        """Keep whether a silo is paused. Raises NotFoundError."""
        with self._database.write() as connection:
            _set(connection, silo, _columns(standing, at))

    def accounts(self) -> Mapping[str, SiloAccount]:
        """What each silo has said that has said anything, by name."""
        with self._database.read() as connection:
            return {row.silo: _account(row) for row in connection.execute(_ALL)}


def _columns(standing: Standing, at: float) -> dict[str, object]:
    low = dumps(list(standing.budget_low)).decode()
    return {"paused": standing.paused, "reason": standing.reason, "budget_low": low, "stood_at": at}


def _set(connection: Connection, silo: str, values: Mapping[str, object]) -> None:
    if connection.execute(_ONE, {"of_silo": silo}).first() is not None:
        connection.execute(_CHANGE.values(**values), {"of_silo": silo})
        return
    known = connection.scalars(_NAMES).all()
    if silo not in known:
        raise not_found("silo", silo, known)
    connection.execute(_ADD, {"silo": silo, **_NEW, **values})


def _account(row: Row[Any]) -> SiloAccount:
    described = (
        from_json(SiloDescription, loads(row.description.encode(), MAX_DESCRIPTION_BYTES)) if row.description else None
    )
    low = cast("list[str]", loads(row.budget_low.encode()))
    return SiloAccount(described, row.described_at, Standing(row.paused, row.reason, tuple(low)), row.stood_at)
