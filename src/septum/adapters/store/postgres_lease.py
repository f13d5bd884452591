"""Which coordinator has a PostgreSQL database? The one whose lease has not run out: it renews it while it lives.

One that is killed, paused or cut off renews no more, and another one may take the database over. Whether the first
one is dead cannot be known; that it writes nothing any more is the matter of the epoch. Times are the server's, so
clocks of machines need not agree. The table belongs to this file alone: it holds no data, and is in no backup.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from septum.adapters.store import postgres_driver
from septum.adapters.store.postgres_address import PostgresAddress
from septum.errors import ConflictError

log = logging.getLogger("septum.adapters.store")

LEASE_S = 6.0  # after a kill nobody writes for so long, at most
RENEW_EVERY_S = 1.5
_NOW = "extract(epoch FROM clock_timestamp())::float8"
_THERE = "SELECT to_regclass('lease') IS NOT NULL"
_TABLE = "CREATE TABLE IF NOT EXISTS lease (epoch bigint, until float8, host text, pid bigint)"
_HELD = f"SELECT host, pid, until - {_NOW} FROM lease WHERE until > {_NOW}"  # noqa: S608 - a constant
_FREE = "DELETE FROM lease"
_TAKE = f"INSERT INTO lease (epoch, until, host, pid) VALUES ($1::bigint, {_NOW} + $2::float8, $3::text, $4::bigint)"  # noqa: S608
_RENEW = f"UPDATE lease SET until = {_NOW} + $2::float8 WHERE epoch = $1::bigint"  # noqa: S608 - a constant
_RELEASE = "DELETE FROM lease WHERE epoch = $1::bigint"
_ERRORS = (postgres_driver.Error, OSError)


def refuse_held(session: postgres_driver.Connection, address: PostgresAddress) -> None:
    """Raises ConflictError while another coordinator has the database."""
    if not session.run(_THERE, ()).rows[0][0]:
        return
    for host, pid, left_s in session.run(_HELD, ()).rows:
        raise ConflictError(
            f"the PostgreSQL database {address.shown} belongs to the coordinator with process id {pid} on {host}; it "
            f"said so less than {LEASE_S:g} s ago, and would have to again within {left_s:.1f} s",
            hint="stop that one first, or let this one wait for it: standby = true in [store]",
        )


class Lease:
    """That this coordinator has the database, from its construction on, inside the transaction that raises the epoch.

    `lost` ends with a ConflictError when another one has it.
    """

    def __init__(
        self,
        session: postgres_driver.Connection,
        address: PostgresAddress,
        connect: Callable[[], postgres_driver.Connection],
        epoch: int,
    ) -> None:
        session.run(_TABLE, ())
        session.run(_FREE, ())
        session.run(_TAKE, (epoch, LEASE_S, socket.gethostname(), os.getpid()))
        self.lost: Future[None] = Future()
        self._address, self._connect, self._epoch = address, connect, epoch
        self._ends = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="septum-lease", daemon=True)

    def begin(self) -> None:
        """Renew it from now on: the transaction is committed."""
        self._renewing.start()

    def release(self) -> None:
        """Give the database up: who waits for it has it at once. Doing it twice is harmless."""
        if self._ends.is_set():
            return
        self._ends.set()
        self._renewing.join()
        with suppress(*_ERRORS):  # it runs out by itself then
            session = self._connect()
            try:
                session.run(_RELEASE, (self._epoch,))
            finally:
                session.close()

    def _renew(self) -> None:
        session: postgres_driver.Connection | None = None
        while not self._ends.wait(RENEW_EVERY_S):
            try:
                session = session or self._connect()
                renewed = session.run(_RENEW, (self._epoch, LEASE_S)).row_count
            except _ERRORS as error:
                log.warning("lease_not_renewed", extra={"database": self._address.shown, "error": type(error).__name__})
                if session is not None:
                    session.close()
                session = None
                continue
            if not renewed:
                self._is_lost()
                break
        if session is not None:
            session.close()

    def _is_lost(self) -> None:
        with suppress(InvalidStateError):  # nobody waits for it any more
            self.lost.set_exception(
                ConflictError(
                    f"another coordinator has taken over the PostgreSQL database {self._address.shown}: this one did "
                    f"not say for {LEASE_S:g} s that it lives",
                    hint="the other one goes on with its runs; started again with standby = true, this one waits",
                )
            )
