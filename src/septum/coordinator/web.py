"""How does the console reach a browser? Files that were built once, known by name, with headers that forbid all else.

Nothing of it is near the silos' routes. What is asked for is looked up among the names that were there at the start,
so no path leads anywhere else; every other page is the console's own `index.html`, in which its router finds the way.
The policy is Content Security Policy Level 3: no inline script, no style without the answer's own nonce, no other host.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from septum.adapters.channel.wire_errors import error_body
from septum.coordinator.asgi import Headers, Receive, Scope, Send, headers_of, send_body
from septum.errors import MessageError, NotFoundError

FOLDER = Path(__file__).parent / "console"  # where `make console` and the wheel's build put it; not in the repository
INDEX = "index.html"
NONCE = b"__NONCE__"  # in index.html, in place of a random text of each answer
HASHED = "/assets/"  # the names of these change with their content
_YEAR_S = 31_536_000
_ENCODINGS = {"br": ".br", "gzip": ".gz"}  # the better one first

NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>septum</title></head><body>
<h1>septum</h1>
<p>The coordinator runs; its web console was not built on this machine. The command line and the API have all of it.</p>
<p>In a clone of the repository: <code>make console</code>, and reload this page. An installed package has the
console unless it was made with <code>SEPTUM_SKIP_WEB=1</code>.</p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent: its type, and by encoding where it lies compressed already."""

    path: Path
    content_type: bytes
    packed: Mapping[str, Path]


class Web:
    """The console as an ASGI app. A folder that is not there is looked for again, so that it can be built later."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: Mapping[str, _File] = {}
        self._index = b""
        self._look()

    def _look(self) -> None:
        index = self._folder / INDEX
        if index.is_file():
            self._index = index.read_bytes()
            self._files = _files_in(self._folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a page or a file."""
        del receive
        method, path = str(scope["method"]), str(scope["path"])
        if method not in ("GET", "HEAD"):
            refused = error_body(MessageError(f"{method} {path}: pages are read alone", hint="the API is at /api/v1"))
            await send_body(send, 405, refused, headers=[(b"allow", b"GET, HEAD"), *_SAFE])
            return
        if not self._index:
            self._look()
        found = self._files.get(path)
        if found is not None:
            await _send_file(scope, send, found, forever=path.startswith(HASHED))
        elif path.startswith(HASHED) or "." in path.rpartition("/")[2]:
            missing = error_body(NotFoundError(f"there is no {path[:200]}", hint="reload the page"))
            await send_body(send, 404, missing, headers=_SAFE)
        else:
            await self._send_page(scope, send)

    async def _send_page(self, scope: Scope, send: Send) -> None:
        nonce = secrets.token_urlsafe(18)
        body, status = (self._index.replace(NONCE, nonce.encode()), 200) if self._index else (NOT_BUILT, 404)
        headers = [(b"content-security-policy", _policy(nonce)), (b"cache-control", b"no-store"), *_SAFE]
        fields = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*fields, *headers]})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})


def _policy(nonce: str) -> bytes:
    """What the page may do: nothing that is not named."""
    return (
        "default-src 'none'; script-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ).encode()


_SAFE: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


def _files_in(folder: Path) -> dict[str, _File]:
    """All files but the page, by the path of their URL."""
    known = {path: f"/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file()}
    files = {}
    for path, url in known.items():
        if path.suffix in _ENCODINGS.values() or path.name.startswith(".") or url == f"/{INDEX}":
            continue
        beside = {name: path.with_name(path.name + suffix) for name, suffix in _ENCODINGS.items()}
        packed = {name: other for name, other in beside.items() if other in known}
        files[url] = _File(path, (mimetypes.guess_type(path.name)[0] or "application/octet-stream").encode(), packed)
    return files


async def _send_file(scope: Scope, send: Send, file: _File, *, forever: bool) -> None:
    accepted = {one.partition(";")[0].strip() for one in headers_of(scope).get("accept-encoding", "").split(",")}
    encoding = next((name for name in file.packed if name in accepted), "")
    path = file.packed[encoding] if encoding else file.path
    kept = f"public, max-age={_YEAR_S}, immutable" if forever else "no-cache"
    fields = [(b"content-type", file.content_type), (b"content-length", str(path.stat().st_size).encode())]
    fields += [(b"cache-control", kept.encode()), (b"vary", b"accept-encoding"), *_SAFE]
    fields += [(b"content-encoding", encoding.encode())] if encoding else []
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
    elif "http.response.pathsend" in cast("Mapping[str, object]", scope.get("extensions") or {}):
        await send({"type": "http.response.pathsend", "path": str(path)})
    else:
        await send({"type": "http.response.body", "body": path.read_bytes()})
