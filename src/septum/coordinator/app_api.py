"""How do silos get app packages? They ask with their signature, and verify what they get.

GET apps                 every package, without its signatures, at most TOLD of them
GET apps/DIGEST          one of them, by the digest of its file
GET apps/blobs/BLOB      its bytes, or what is left of them (Range)
"""

from __future__ import annotations

from dataclasses import replace

from septum.coordinator.apps import Apps
from septum.coordinator.asgi import Scope, Send, headers_of, send_blob, send_body
from septum.coordinator.gate import Gate
from septum.errors import NotFoundError
from septum.protocol.codec import encode
from septum.protocol.messages import AppOffer, AppOffers
from septum.protocol.versions import Wire
from septum.protocol.views import AppView

TOLD = 500  # some 350 bytes each; a message has 256 KiB


class AppApi:
    """The routes of packages."""

    def __init__(self, apps: Apps, gate: Gate, wire: Wire) -> None:
        self._apps = apps
        self._gate = gate
        self._wire = wire

    async def offers(self, scope: Scope, send: Send) -> None:
        """Tell every package."""
        self._gate.verified(scope, headers_of(scope))
        offers = AppOffers(tuple(replace(_offer(view), signatures="") for view in (await self._apps.views())[:TOLD]))
        await send_body(send, 200, encode(offers, self._wire))

    async def offer(self, scope: Scope, send: Send, digest: str) -> None:
        """Tell one package."""
        self._gate.verified(scope, headers_of(scope))
        await send_body(send, 200, encode(_offer(await self._apps.view(digest)), self._wire))

    async def download(self, scope: Scope, send: Send, blob: str) -> None:
        """Send a package's bytes."""
        headers = headers_of(scope)
        self._gate.verified(scope, headers)
        found = next((view for view in await self._apps.views() if view.blob.digest == blob), None)
        if found is None:
            raise NotFoundError(f"there is no package with the bytes {blob[:100]}", hint="septum app list")
        async with self._apps.file(found.digest) as opened:
            await send_blob(scope, send, opened, headers.get("range", ""))


def _offer(view: AppView) -> AppOffer:
    return AppOffer(view.digest, view.name, view.version, view.blob, view.signatures)
