"""How are a blob's bytes answered by the public API? As a file to be saved, whole or from where a download was cut."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

from fastapi import Response
from starlette.types import Receive, Scope, Send

from septum.coordinator.api.conditional import is_named
from septum.coordinator.asgi import headers_of, send_blob
from septum.ports.blobs import OpenBlob


class BlobResponse(Response):
    """A blob that is opened when it is sent; what opening raises is answered as any error is.

    A range is answered whole (other clients than silos do not ask on), and `If-Range` is heeded (RFC 9110, 13.1.5).
    """

    def __init__(
        self,
        opening: AbstractAsyncContextManager[OpenBlob],
        headers: Mapping[str, str],
        media_type: str,
        filename: str,
    ) -> None:
        self._opening = opening
        super().__init__(None, 200, {**headers, "content-disposition": _saved_as(filename)}, media_type)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers, tag = headers_of(scope), self.headers["etag"]
        if is_named(headers.get("if-none-match", ""), tag):  # nothing is read for who has it
            kept = {name: self.headers[name] for name in ("etag", "cache-control")}
            await Response(None, 304, kept)(scope, receive, send)
            return
        asked = headers.get("range", "") if headers.get("if-range", tag) == tag else ""
        async with self._opening as blob:
            await send_blob(scope, send, blob, asked, self.raw_headers, whole_ranges=True)


def _saved_as(filename: str) -> str:
    """As RFC 6266 has it.

    >>> _saved_as("a.septum"), _saved_as("ä.septum")
    ('attachment; filename="a.septum"', "attachment; filename*=utf-8''%C3%A4.septum")
    """
    quoted = quote(filename)
    return f'attachment; filename="{filename}"' if quoted == filename else f"attachment; filename*=utf-8''{quoted}"
