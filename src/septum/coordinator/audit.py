"""How does what happens come into the audit log? With the write that does it, or by itself, durable before the answer.

What the feed tells is recorded by its store, and what a round makes in the round's own commit (`Driver`). Here is the
rest: who came in and who did not, what was refused, what was read. What waits together is one transaction. Whoever has
not proven who they are cannot fill the disk: of their attempts a few a minute are recorded, and then how many more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, TypeAlias, TypeVar

from septum.adapters.identity.roster_keys import verify
from septum.coordinator.effects import Performer
from septum.errors import AuditError, NotFoundError, SeptumError
from septum.ports.audit import AuditLog
from septum.ports.clock import Clock
from septum.protocol.audit import (
    AuditEntry,
    AuditEvent,
    AuditFilter,
    AuditKind,
    Countersignature,
    Record,
    SignedHead,
    check_witness,
)

log = logging.getLogger("septum.coordinator.audit")

HEAD_EVERY_S = 60.0  # and with each round
REFUSALS = 60  # of one person, or of all who are not known, that are recorded one by one in HEAD_EVERY_S
READ_ONCE_S = 60.0  # a page that asks again and again is one read of the same person and kind
T = TypeVar("T")
P = ParamSpec("P")
_What: TypeAlias = tuple[AuditKind, str, tuple[tuple[str, str], ...]]


class Audit:
    """The audit log. For the event loop."""

    def __init__(self, store: AuditLog, performer: Performer, clock: Clock) -> None:
        self._store = store
        self._performer = performer
        self._clock = clock
        self._waiting: list[Record] = []
        self._writing: asyncio.Task[None] | None = None
        self._refused: Counter[str] = Counter()  # since the last head, by whoever it was; empty: not known
        self._counted: Counter[str] = Counter()  # of those before, how many were counted and are not recorded yet
        self._read_at: dict[_What, float] = {}
        self._heads: asyncio.Task[None] | None = None

    # --- recording -----------------------------------------------------------------------------------------------

    async def record(self, record: Record) -> None:
        """Record what nothing else is written for; on the disk when this returns. Raises StorageError."""
        self._waiting.append(record)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_waiting())
        await asyncio.shield(self._writing)

    async def _write_waiting(self) -> None:
        await asyncio.sleep(0)  # what came in the same tick is one transaction
        records, self._waiting, self._writing = self._waiting, [], None
        await self._performer.write(self._store.append, records, at=self._clock.unix())

    async def write(self, record: Record, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with a store, and record it in the same transaction; nothing if nothing is changed."""
        return await self._performer.write(self._recording, record, partial(job, *args, **kwargs))

    def _recording(self, record: Record, job: Callable[[], T]) -> T:
        with self._store.recording([record], at=self._clock.unix()):
            return job()

    async def refused(self, record: Record) -> None:
        """Record that somebody was refused something; if they are refused again and again, only how often.

        The answer is a refusal whatever the disk says.
        """
        self._refused[record.by] += 1
        if self._refused[record.by] > REFUSALS:
            return
        try:
            await self.record(record)
        except SeptumError as error:
            log.error("refusal_not_recorded", extra={"kind": record.kind.value, "error": error.message})  # noqa: TRY400

    async def read(self, kind: AuditKind, by: str, **about: str) -> None:
        """Record that somebody has read something: the same of the same once a minute."""
        what, now = (kind, by, tuple(sorted(about.items()))), self._clock.monotonic()
        if now - self._read_at.get(what, -READ_ONCE_S) < READ_ONCE_S:
            return
        self._read_at = {one: at for one, at in self._read_at.items() if now - at < READ_ONCE_S}
        await self.record(Record(kind, by, about))
        self._read_at[what] = now

    # --- heads ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Sign a head now, which silos can know the log by, and again now and then when there is something new."""
        self._heads = asyncio.get_running_loop().create_task(self._run(), name="septum-audit")

    async def close(self) -> None:
        """Stop; what is new has a head."""
        if self._heads is not None:
            self._heads.cancel()
            await asyncio.wait([self._heads])
            await self._tick()

    async def sign(self) -> SignedHead | None:
        """The head of all events there are, signed."""
        return await self._performer.write(self._store.sign, at=self._clock.unix())

    async def _run(self) -> None:
        loop, waiting = asyncio.get_running_loop(), asyncio.Event()
        while True:
            await self._tick()
            waiting.clear()
            loop.call_later(HEAD_EVERY_S, waiting.set)
            await waiting.wait()

    async def _tick(self) -> None:
        refused, self._refused = self._refused, Counter()
        self._counted.update({by: count - REFUSALS for by, count in refused.items() if count > REFUSALS})
        try:
            for by, count in sorted(self._counted.items()):
                await self.record(Record(AuditKind.REFUSALS, by, {"count": str(count)}))
                del self._counted[by]
            await self.sign()
        except SeptumError as error:  # it is tried again, in a minute
            log.warning("audit_head_not_signed", extra={"error": error.message})

    async def witness(self, witness: Countersignature, silo: str, key: bytes) -> None:
        """Keep what a silo with this key has signed. Raises AuditError for what is not its signature of a head."""
        found = await self.heads(after=witness.size - 1, limit=1)
        if witness.silo != silo or witness.key != f"ed25519:{key.hex()}":
            raise AuditError(f"silo {silo!r} signs heads with its own key, and for itself")
        if not found or found[0].head.size != witness.size:
            raise NotFoundError(f"no head of {witness.size} audit events was signed")
        check_witness(found[0].head, witness, verify)
        await self._performer.write(self._store.witness, witness)

    # --- reading -------------------------------------------------------------------------------------------------

    async def page(self, wanted: AuditFilter, *, limit: int, before: int) -> Sequence[AuditEvent]:
        """Events that are wanted, newest first; older than event `before`, if not 0."""
        return await self._performer.read(self._store.page, wanted, limit=limit, before=before)

    async def after(self, seq: int, *, limit: int) -> Sequence[AuditEntry]:
        """Events as they are kept, in order."""
        return await self._performer.read(self._store.after, seq, limit=limit)

    async def heads(self, *, after: int, limit: int) -> Sequence[SignedHead]:
        """Signed heads of more than `after` events, the smallest first."""
        return await self._performer.read(self._store.heads, after=after, limit=limit)

    async def newest_head(self) -> SignedHead | None:
        """The signed head of the most events."""
        return await self._performer.read(self._store.newest_head)

    async def witnesses(self, *, after: int, limit: int) -> Sequence[Countersignature]:
        """Countersignatures of heads of more than `after` events."""
        return await self._performer.read(self._store.witnesses, after=after, limit=limit)

    async def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The proof that event `seq` is among `size` events. Raises NotFoundError."""
        return await self._performer.read(self._store.inclusion, seq, size)

    async def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that `second` events begin with `first`. Raises NotFoundError."""
        return await self._performer.read(self._store.consistency, first, second)

    async def check(self) -> int:
        """Read all of it again; how many events there are. Raises AuditError naming the first that is wrong."""
        return await self._performer.compute(self._store.check)
