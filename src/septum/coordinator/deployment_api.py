"""How do silos hear of models that they are to use? They ask with their signature, and check what they get.

GET deployments              what the silo that asks is to use now
GET deployments/blobs/BLOB   the bytes of one of these models, or what is left of them (Range)
"""

from __future__ import annotations

from collections.abc import Sequence

from septum.coordinator.asgi import Scope, Send, headers_of, send_blob, send_body
from septum.coordinator.gate import Gate
from septum.coordinator.registered import Registered
from septum.errors import NotFoundError
from septum.protocol.codec import encode
from septum.protocol.versions import Wire


class DeploymentApi:
    """The routes of deployments."""

    def __init__(self, registered: Registered, gate: Gate, wire: Wire) -> None:
        self._registered = registered
        self._gate = gate
        self._wire = wire

    async def get(self, scope: Scope, send: Send, which: Sequence[str]) -> None:
        """Answer a silo. Raises NotFoundError for what is not meant for it."""
        headers = headers_of(scope)
        silo = self._gate.verified(scope, headers).silo
        match which:
            case []:
                await send_body(send, 200, encode(await self._registered.orders(silo), self._wire))
            case ["blobs", blob]:
                async with self._registered.model_for(silo, blob) as opened:
                    await send_blob(scope, send, opened, headers.get("range", ""))
            case _:
                raise NotFoundError(f"there is nothing at deployments/{'/'.join(which)[:100]}")
