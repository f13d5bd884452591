"""Where does the audit log live? In the database, written in the transaction of what it records. Port: ports/audit.py.

Each row has its event and hash, and the nodes of the tree that it makes complete: on average one. So to append is one
read and one insert, a proof reads as many rows as it has hashes, and a check reads each row once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from json.encoder import encode_basestring_ascii
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select

from septum import __version__
from septum.adapters.store.database import Database
from septum.adapters.store.raw import add_rows, rows_of
from septum.adapters.store.schema import AUDIT, AUDIT_HEADS, AUDIT_WITNESSES
from septum.errors import AuditError, NotFoundError, SeptumError
from septum.protocol.audit import (
    GENESIS,
    AuditEntry,
    AuditEvent,
    AuditFilter,
    AuditKind,
    Checker,
    Countersignature,
    Record,
    SignedHead,
    TreeHead,
    bad_event,
    event_of,
    linked,
    read_event,
    utc,
)
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.merkle import (
    HASH_BYTES,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    peaks_of,
    root_of,
)

PAGE = 2000  # rows that a check holds at one time

# Those of every append, of proofs and of checks, which the driver itself executes.
_ADD = insert(AUDIT)
_LAST = select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
_ONE = select(AUDIT.c.event, AUDIT.c.nodes).where(AUDIT.c.seq == bindparam("wanted"))
_ALL_AFTER = select(AUDIT).where(AUDIT.c.seq > bindparam("after")).order_by(AUDIT.c.seq).limit(PAGE)

_AFTER = (
    select(AUDIT.c.event, AUDIT.c.hash)
    .where(AUDIT.c.seq > bindparam("after"))
    .order_by(AUDIT.c.seq)
    .limit(bindparam("most"))
)
_NEWEST_FIRST = select(AUDIT.c.event).order_by(AUDIT.c.seq.desc()).limit(bindparam("most"))
_ADD_HEAD = insert(AUDIT_HEADS)
_NEWEST_HEAD = select(AUDIT_HEADS.c.content).order_by(AUDIT_HEADS.c.size.desc()).limit(1)
_HEAD = select(AUDIT_HEADS.c.content).where(AUDIT_HEADS.c.size == bindparam("wanted"))
_HEADS = (
    select(AUDIT_HEADS.c.content)
    .where(AUDIT_HEADS.c.size > bindparam("after"))
    .order_by(AUDIT_HEADS.c.size)
    .limit(bindparam("most"))
)
_ADD_WITNESS = insert(AUDIT_WITNESSES)
_WITNESS = select(func.count()).where(
    AUDIT_WITNESSES.c.size == bindparam("of_size"), AUDIT_WITNESSES.c.silo == bindparam("of_silo")
)
_WITNESSES = (
    select(AUDIT_WITNESSES.c.size, AUDIT_WITNESSES.c.content)
    .where(AUDIT_WITNESSES.c.size > bindparam("after"))
    .order_by(AUDIT_WITNESSES.c.size, AUDIT_WITNESSES.c.silo)
    .limit(bindparam("most"))
)


class SqlAudit:
    """The audit log in a database. See `ports.audit.AuditLog` for the contract."""

    def __init__(self, database: Database, sign: Callable[[TreeHead], SignedHead]) -> None:
        self._database = database
        self._sign = sign

    def recording(self, records: Sequence[Record], *, at: float, sign: bool = False) -> AbstractContextManager[None]:
        """While this is open, the next write of any store of this file, in this thread, records these."""

        def record(connection: Connection) -> None:
            append(connection, records, at)
            if sign:
                self._sign_newest(connection, at)

        return self._database.along(record)

    def append(self, records: Sequence[Record], *, at: float) -> None:
        """Record what nothing else was written for."""
        with self._database.write() as connection:
            append(connection, records, at)

    def after(self, seq: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        """At most `limit` events after event `seq`, in order, as they are kept."""
        with self._database.read() as connection:
            found = connection.execute(_AFTER, {"after": seq, "most": limit})
            return [AuditEntry(row.event.encode(), row.hash) for row in found]

    def page(self, wanted: AuditFilter, *, limit: int, before: int = 0) -> Sequence[AuditEvent]:
        """At most `limit` events that are wanted, newest first."""
        conditions = [*_conditions(wanted), *([AUDIT.c.seq < before] if before else [])]
        with self._database.read() as connection:
            found = connection.execute(_NEWEST_FIRST.where(*conditions), {"most": limit})
            return [read_event(row.event.encode()) for row in found]

    def sign(self, *, at: float) -> SignedHead | None:
        """The head of all events, signed now unless it was already; None where there is none."""
        with self._database.read() as connection:
            size, signed = _size(connection), _signed(connection.scalar(_NEWEST_HEAD))
        if not size or (signed is not None and signed.head.size == size):
            return signed
        with self._database.write() as connection:
            return self._sign_newest(connection, at)

    def _sign_newest(self, connection: Connection, at: float) -> SignedHead | None:
        size, chain = _last(connection)
        if not size:
            return None
        if found := connection.scalar(_HEAD, {"wanted": size}):
            return _signed(found)
        root = root_of(peaks_of(size, lambda *place: _node(connection, *place)))
        signed = self._sign(TreeHead(size, utc(at), root.hex(), chain.hex()))
        connection.execute(_ADD_HEAD, {"size": size, "content": dumps(to_json(signed)).decode()})
        return signed

    def heads(self, *, after: int = 0, limit: int = 1000) -> Sequence[SignedHead]:
        """At most `limit` signed heads of more than `after` events, the smallest first."""
        with self._database.read() as connection:
            found = connection.scalars(_HEADS, {"after": after, "most": limit})
            return [from_json(SignedHead, loads(content.encode())) for content in found]

    def newest_head(self) -> SignedHead | None:
        """The signed head of the most events."""
        with self._database.read() as connection:
            return _signed(connection.scalar(_NEWEST_HEAD))

    def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The proof that event `seq` is in the log of `size` events. Raises NotFoundError."""
        with self._database.read() as connection:
            if not 1 <= seq <= size <= _size(connection):
                raise _no_proof(f"that event {seq} is among {size} events", _size(connection))
            return inclusion_proof(seq - 1, size, lambda *place: _node(connection, *place))

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the log of `second` events begins with that of `first`. Raises NotFoundError."""
        with self._database.read() as connection:
            if not 1 <= first <= second <= _size(connection):
                raise _no_proof(f"that {second} events begin with {first}", _size(connection))
            return consistency_proof(first, second, lambda *place: _node(connection, *place))

    def witness(self, witness: Countersignature) -> None:
        """Keep what a silo has signed; once for each silo and head."""
        with self._database.write() as connection:
            if connection.scalar(_HEAD, {"wanted": witness.size}) is None:
                raise NotFoundError(f"no head of {witness.size} audit events was signed")
            if not connection.scalar(_WITNESS, {"of_size": witness.size, "of_silo": witness.silo}):
                row = {"size": witness.size, "silo": witness.silo, "content": dumps(to_json(witness)).decode()}
                connection.execute(_ADD_WITNESS, row)

    def witnesses(self, *, after: int = 0, limit: int = 1000) -> Sequence[Countersignature]:
        """At most `limit` countersignatures of heads of more than `after` events, by size and silo."""
        with self._database.read() as connection:
            rows = connection.execute(_WITNESSES, {"after": after, "most": limit + 1}).all()
        if len(rows) > limit:  # a page ends between two sizes: the next one begins after a size
            last = rows[-1].size
            rows = [row for row in rows if row.size != last] or rows[:-1]
        return [from_json(Countersignature, loads(row.content.encode())) for row in rows]

    def check(self) -> int:
        """Read all of it again; how many events there are. Raises AuditError naming the first that is wrong."""
        checker, heads = Checker(), _Following(self.heads)
        heads.check(checker)
        for row in self._rows():
            seq, *filed, event, hash_, nodes = row
            if seq != checker.size + 1:
                raise bad_event(checker.size + 1, f"it is gone; the next one is event {seq}")
            checker.take(AuditEntry(event.encode(), hash_), nodes)
            if not _is_filed(seq, event, *filed):
                raise bad_event(seq, "it is filed under another kind, time, person, run or silo than it is of")
            heads.check(checker)
        heads.finish(checker.size)
        return checker.size

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        after = 0
        with self._database.read() as connection:
            while rows := rows_of(connection, _ALL_AFTER, (after,)):
                yield from map(tuple, rows)
                after = rows[-1][0]


class _Following:
    """The signed heads, in their order, as a check comes by."""

    def __init__(self, heads: Callable[..., Sequence[SignedHead]]) -> None:
        self._heads = heads
        self._page = list(heads())

    def check(self, checker: Checker) -> None:
        """Compare the head of this size, if there is one."""
        if self._page and self._page[0].head.size == checker.size:
            checker.check_head(self._page[0].head)
            del self._page[0]
            self._page = self._page or list(self._heads(after=checker.size))

    def finish(self, size: int) -> None:
        """All events were seen. Raises AuditError where a head covers more."""
        if self._page:
            raise AuditError(
                f"the audit log ends with event {size}, and a head of {self._page[0].head.size} events was signed: "
                "the end is missing",
                hint="compare with an export or a backup from before",
            )


def begin(connection: Connection, epoch: int) -> None:
    """A coordinator opens the log, for the first time or again: the first event of a log says which."""
    about = {"septum": __version__, "epoch": str(epoch)}
    if not _size(connection):
        about["because"] = "a new data directory" if epoch == 1 else "an upgrade: earlier septums kept no audit log"
    append(connection, [Record(AuditKind.OPENED, about=about)], time.time())


def append(connection: Connection, records: Sequence[Record], at: float) -> None:
    """Add events inside a transaction."""
    size, chain = _last(connection)
    rows = []
    made: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> bytes:
        return made.get((level, index)) or _node(connection, level, index)

    for record in records:
        event = event_of(size + 1, record, at)
        data = event.bytes
        leaf, chain = leaf_hash(data), linked(chain, data)
        nodes: list[bytes] = []
        made[0, size] = leaf
        found, level, index = leaf, 0, size
        while index & 1:  # as `merkle.grown`, with the peaks that are needed alone
            found = node_hash(node(level, index - 1), found)
            level, index = level + 1, index >> 1
            made[level, index] = found
            nodes.append(found)
        size += 1
        about = event.about.get
        filed = (size, event.at, event.kind, event.by, about("run", ""), about("silo", ""))
        rows.append((*filed, data.decode(), chain, b"".join(nodes)))
    add_rows(connection, _ADD, rows)


def _node(connection: Connection, level: int, index: int) -> bytes:
    """The root of a complete subtree: it is kept with the event that made it complete."""
    found = rows_of(connection, _ONE, ((index + 1) << level,))
    if not found:
        raise AuditError(f"audit event {(index + 1) << level} is gone", hint="septum audit verify")
    ((event, nodes),) = found
    return bytes(nodes[(level - 1) * HASH_BYTES : level * HASH_BYTES]) if level else leaf_hash(event.encode())


def _is_filed(seq: int, event: str, at: str, kind: str, by: str, run: str, silo: str) -> bool:
    """Whether the columns say what the event says. By its text: in canonical JSON each field has one spelling."""
    return (
        event.endswith(f',"by":{encode_basestring_ascii(by)},"kind":"{kind}","seq":{seq}}}')
        and f',"at":"{at}",' in event
        and _names(event, "run", run)
        and _names(event, "silo", silo)
    )


def _names(event: str, name: str, text: str) -> bool:
    return f'"{name}":{encode_basestring_ascii(text)}' in event if text else f'"{name}":"' not in event


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    given = [(AUDIT.c.made_by, wanted.by), (AUDIT.c.run, wanted.run), (AUDIT.c.silo, wanted.silo)]
    found = [column == value for column, value in given if value]
    if wanted.kind:
        within = AUDIT.c.kind.between(f"{wanted.kind}.", f"{wanted.kind}/", symmetric=False)
        found.append((AUDIT.c.kind == wanted.kind) | within)
    if wanted.since:
        found.append(AUDIT.c.at >= wanted.since)
    if wanted.until:
        found.append(AUDIT.c.at < wanted.until)
    return found


def _last(connection: Connection) -> tuple[int, bytes]:
    """How many events there are, and the hash that all of them are in."""
    for size, chain in rows_of(connection, _LAST):
        return int(size), bytes(chain)
    return 0, GENESIS


def _size(connection: Connection) -> int:
    return _last(connection)[0]


def _signed(content: str | None) -> SignedHead | None:
    return None if content is None else from_json(SignedHead, loads(content.encode()))


def _no_proof(what: str, size: int) -> SeptumError:
    return NotFoundError(f"there is no proof {what}: the log has {size}", hint="septum audit list")
