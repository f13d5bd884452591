"""Where does the audit log live? Events that are only ever added, in the transaction of what they record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from septum.protocol.audit import (
    AuditEntry,
    AuditEvent,
    AuditFilter,
    Countersignature,
    Record,
    SignedHead,
)


class Recording(Protocol):
    """Records what a write of another store does."""

    def recording(self, records: Sequence[Record], *, at: float, sign: bool = False) -> AbstractContextManager[None]:
        """While this is open, the next write of any store of the same data directory, in this thread, records these.

        `sign`: and signs the head that comes of it.
        """


class Unrecorded:
    """An audit log that nobody keeps: for runs in memory."""

    def recording(self, records: Sequence[Record], *, at: float, sign: bool = False) -> AbstractContextManager[None]:
        """Nothing is recorded anywhere."""
        del records, at, sign
        return nullcontext()


UNRECORDED = Unrecorded()


class AuditLog(Recording, Protocol):
    """A durable audit log.

    Contract: what is recorded with a write is in the log if and only if the write is durable: they are one transaction.
    A write that fails, or changes nothing, records nothing. Events are numbered from 1, without gaps, in the order of
    their transactions; nothing is ever changed or removed. A head covers all events up to its size, and the heads that
    are kept grow. When `append` returns, its events are on the disk. Methods may be called from any thread.
    """

    def append(self, records: Sequence[Record], *, at: float) -> None:
        """Record what nothing else was written for."""

    def after(self, seq: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        """At most `limit` events after event `seq`, in order, as they are kept."""

    def page(self, wanted: AuditFilter, *, limit: int, before: int = 0) -> Sequence[AuditEvent]:
        """At most `limit` events that are wanted, newest first; older than event `before`, if not 0."""

    def sign(self, *, at: float) -> SignedHead | None:
        """The head of all events, signed now unless it was already; None where there is none."""

    def heads(self, *, after: int = 0, limit: int = 1000) -> Sequence[SignedHead]:
        """At most `limit` signed heads of more than `after` events, the smallest first."""

    def newest_head(self) -> SignedHead | None:
        """The signed head of the most events."""

    def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The proof that event `seq` is in the log of `size` events. Raises NotFoundError."""

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the log of `second` events begins with that of `first`. Raises NotFoundError."""

    def witness(self, witness: Countersignature) -> None:
        """Keep what a silo has signed; once for each silo and head. NotFoundError where there is no such head."""

    def witnesses(self, *, after: int = 0, limit: int = 1000) -> Sequence[Countersignature]:
        """At most `limit` countersignatures of heads of more than `after` events, by size and silo.

        Of one size all or none, except where they alone are more than `limit`.
        """

    def check(self) -> int:
        """Read all of it again; how many events there are. Raises AuditError naming the first that is not as it was."""
