"""What do silos ask of the audit log? Its newest head, with the proof that it goes on from what they have seen."""

from __future__ import annotations

import logging
from typing import cast

from septum.coordinator.asgi import Send, send_body
from septum.coordinator.audit import Audit
from septum.errors import AuditError, NotFoundError
from septum.protocol.audit import AuditKind, HeadSeen, HeadShown, Record
from septum.protocol.codec import TO_COORDINATOR, decode_versioned, encode
from septum.protocol.versions import Wire

log = logging.getLogger("septum.coordinator.audit_api")


class AuditApi:
    """The route of silos that leads to the audit log."""

    def __init__(self, audit: Audit, wire: Wire) -> None:
        self._audit = audit
        self._own: dict[str, str] = {}  # what each silo told last of its own log
        self._wire = wire

    async def show(self, send: Send, silo: str, key: bytes, body: bytes) -> None:
        """Keep the countersignature that a silo brings, and show it the newest head."""
        message, version = decode_versioned(HeadSeen, body, TO_COORDINATOR, self._wire)
        seen = cast("HeadSeen", message)
        if seen.witness is not None:
            try:
                await self._audit.witness(seen.witness, silo, key)
            except (AuditError, NotFoundError) as error:  # it is shown what there is all the same, and compares
                log.warning("countersignature_refused", extra={"silo": silo, "error": error.message})
        if seen.own and self._own.get(silo) != seen.own:
            await self._audit.record(Record(AuditKind.SILO_LOG, f"silo:{silo}", {"silo": silo, "head": seen.own}))
            self._own[silo] = seen.own
        head = await self._audit.newest_head()
        proof: tuple[bytes, ...] = ()
        if head is not None and 0 < seen.size <= head.head.size:
            proof = await self._audit.consistency(seen.size, head.head.size)
        shown = HeadShown(head, tuple(one.hex() for one in proof))
        await send_body(send, 200, encode(shown, self._wire, version))
