"""An audit log in memory: what the contract of `ports.audit.AuditLog` says, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.audit_key import AuditKey
from septum.errors import NotFoundError
from septum.protocol.audit import (
    AuditEntry,
    AuditEvent,
    AuditFilter,
    Checker,
    Countersignature,
    Record,
    SignedHead,
    event_of,
    linked,
    read_event,
    utc,
)
from septum.protocol.merkle import consistency_proof, grown, inclusion_proof, leaf_hash, root_of


class MemoryAudit:
    """The log in memory; it takes every write for one that changes. Proofs are made from all events, each time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._key = AuditKey(Ed25519PrivateKey.generate())
        self.entries: list[AuditEntry] = []
        self._checker = Checker()
        self._heads: list[SignedHead] = []
        self._witnesses: dict[tuple[int, str], Countersignature] = {}

    @contextmanager
    def recording(self, records: Sequence[Record], *, at: float, sign: bool = False) -> Iterator[None]:
        """What is written while this is open records these."""
        yield
        self.append(records, at=at)
        if sign:
            self.sign(at=at)

    def append(self, records: Sequence[Record], *, at: float) -> None:
        """Record what nothing else was written for."""
        with self._lock:
            for record in records:
                data = event_of(self._checker.size + 1, record, at).bytes
                self.entries.append(AuditEntry(data, linked(self._checker.chain, data)))
                self._checker.take(self.entries[-1])

    def after(self, seq: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        """At most `limit` events after event `seq`."""
        with self._lock:
            return self.entries[seq : seq + limit]

    def page(self, wanted: AuditFilter, *, limit: int, before: int = 0) -> Sequence[AuditEvent]:
        """At most `limit` events that are wanted, newest first."""
        with self._lock:
            events = [read_event(entry.event) for entry in reversed(self.entries)]
        return [one for one in events if wanted.wants(one) and (not before or one.seq < before)][:limit]

    def sign(self, *, at: float) -> SignedHead | None:
        """The head of all events."""
        with self._lock:
            if self._checker.size and (not self._heads or self._heads[-1].head.size < self._checker.size):
                self._heads.append(self._key.sign(self._checker.head(utc(at))))
            return self.newest_head()

    def heads(self, *, after: int = 0, limit: int = 1000) -> Sequence[SignedHead]:
        """At most `limit` signed heads of more than `after` events."""
        with self._lock:
            return [one for one in self._heads if one.head.size > after][:limit]

    def newest_head(self) -> SignedHead | None:
        """The signed head of the most events."""
        with self._lock:
            return self._heads[-1] if self._heads else None

    def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The proof that event `seq` is in the log of `size` events. Raises NotFoundError."""
        if not 1 <= seq <= size <= len(self.entries):
            raise NotFoundError(f"there is no proof that event {seq} is among {size}")
        return inclusion_proof(seq - 1, size, self._node)

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the log of `second` events begins with that of `first`. Raises NotFoundError."""
        if not 1 <= first <= second <= len(self.entries):
            raise NotFoundError(f"there is no proof that {second} events begin with {first}")
        return consistency_proof(first, second, self._node)

    def witness(self, witness: Countersignature) -> None:
        """Keep what a silo has signed. Raises NotFoundError."""
        with self._lock:
            if witness.size not in {one.head.size for one in self._heads}:
                raise NotFoundError(f"no head of {witness.size} audit events was signed")
            self._witnesses.setdefault((witness.size, witness.silo), witness)

    def witnesses(self, *, after: int = 0, limit: int = 1000) -> Sequence[Countersignature]:
        """At most `limit` countersignatures of heads of more than `after` events; all of one size, or none."""
        with self._lock:
            found = [one for (size, _), one in sorted(self._witnesses.items()) if size > after]
        page = found[:limit]
        if len(found) > limit:
            page = [one for one in page if one.size != found[limit].size] or page
        return page

    def check(self) -> int:
        """Read all of it again. Raises AuditError."""
        checker = Checker()
        for entry in self.entries:
            checker.take(entry)
        return checker.size

    def _node(self, level: int, index: int) -> bytes:
        peaks: tuple[bytes, ...] = ()
        for size, entry in enumerate(self.entries[index << level : (index + 1) << level]):
            peaks, _ = grown(peaks, size, leaf_hash(entry.event))
        return root_of(peaks)
