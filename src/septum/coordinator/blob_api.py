"""How do blobs pass between silos and the coordinator? Whole, or from where a transfer was cut.

    PUT blobs/DIGEST                             a blob, from its start
    PUT blobs/DIGEST    Content-Range: bytes a-b/n    the rest of one (RFC 9110, section 14.5); 409 with another offset
    GET uploads/DIGEST                           how much of one is here, in Upload-Offset and Upload-Complete: the
                                                 fields of draft-ietf-httpbis-resumable-upload
    GET blobs/DIGEST    [Range: bytes=a-]        a model, or what is left of one
    GET blobs/DIGEST    Septum-Takes-From: HOST, HOST    307 to one of these hosts, if a model lies there; asked once
                                                 more, the model itself

Of two uploads of one blob by one silo the newer goes on: the older one's connection is broken, and only the coordinator
does not know it yet. So does a question for the offset end an upload, for the answer has to stay true.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from septum.adapters.channel.elsewhere import TAKES_FROM
from septum.adapters.channel.wire_errors import error_body
from septum.coordinator.asgi import (
    Receive,
    Scope,
    Send,
    chunks_of,
    declared_size,
    headers_of,
    send_blob,
    send_body,
)
from septum.coordinator.gate import Gate
from septum.coordinator.live import Live
from septum.coordinator.pipe import Pipe, Room, pour
from septum.coordinator.ranges import rest_of
from septum.coordinator.service import RunService
from septum.errors import ConnectionFailedError, MessageError, SeptumError, StorageError
from septum.ports.blobs import OffsetError

UPLOAD_THREADS = 32  # a slow upload holds one; more at one time wait their turn
READ_ON_BYTES = 1024 * 1024  # of an upload that is refused, or its sender may lose the answer (RFC 9112, section 9.6)
READ_ON_S = 2.0
MAX_HOSTS = 32  # of those from which a silo takes blobs
UPLOADS_A_SILO = 4  # under way at one time: no silo may take all threads with slow ones

_Key = tuple[str, str, str]  # run, silo, digest
_NOT_KEPT = ((b"cache-control", b"no-store"),)
_REPLACED = ConnectionFailedError("another request for the same blob took the place of this one")


class BlobApi:
    """The routes of blobs and uploads."""

    def __init__(self, service: RunService, gate: Gate, max_blob_bytes: int) -> None:
        self._service = service
        self._gate = gate
        self._max_blob_bytes = max_blob_bytes
        self._threads = ThreadPoolExecutor(UPLOAD_THREADS, "septum-upload")
        self._room = Room()
        self._uploading: Counter[str] = Counter()
        self._uploads: dict[_Key, _Upload] = {}

    def close(self) -> None:
        """Let uploads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def drain(self, error: SeptumError) -> None:
        """End what is under way with `error`; what came of it is kept."""
        for upload in self._uploads.values():
            upload.cancel(error)

    def end_silo(self, silo: str, error: SeptumError) -> None:
        """End a silo's uploads with `error`."""
        for (_, sender, _), upload in self._uploads.items():
            if sender == silo:
                upload.cancel(error)

    async def upload(self, scope: Scope, receive: Receive, send: Send, run: str, digest: str) -> None:
        """Take a payload, or the rest of one."""
        headers = headers_of(scope)
        asker = self._gate.verified(scope, headers)
        start = self._start_of(headers)
        live, mark = await self._service.upload_to(asker.silo, run)
        key = (run, asker.silo, digest)
        await self._end(key)
        chunks = chunks_of(receive)
        with self._one_of_few(asker.silo), self._upload(key) as upload:
            self._gate.check_again(asker)  # it was not known here when the silo was revoked
            try:
                await self._store(live, chunks, key, start, declared_size(headers, self._max_blob_bytes, "a blob") or 0)
            except StorageError as error:
                size = declared_size(headers, self._max_blob_bytes, "a blob")
                self._service.no_room(live, error, size or 0)
                await _read_on(chunks)
                raise
            except OffsetError as error:
                await _read_on(chunks)
                await send_body(send, error.http_status, error_body(error), headers=_offset(error.offset))
                return
            except asyncio.CancelledError:
                upload.uncancel()
                raise upload.why from None
        self._gate.check_again(asker)
        self._service.uploaded(live, asker.silo, digest, mark)
        await send_body(send, 200, b"{}")

    async def arrived(self, scope: Scope, send: Send, run: str, digest: str) -> None:
        """Say how much of a payload is here."""
        asker = self._gate.verified(scope, headers_of(scope))
        live, mark = await self._service.upload_to(asker.silo, run)
        await self._end((run, asker.silo, digest))
        offset, complete = self._service.arrived(live, asker.silo, digest)
        if complete:
            self._service.uploaded(live, asker.silo, digest, mark)
        await send_body(send, 200, b"{}", headers=(*_offset(offset, complete), *_NOT_KEPT))

    async def download(self, scope: Scope, send: Send, run: str, digest: str) -> None:
        """Send a model, or a part of one."""
        headers = headers_of(scope)
        asker = self._gate.verified(scope, headers)
        if "range" not in headers:  # what was cut goes on here
            hosts = [host.strip() for host in headers.get(TAKES_FROM.lower(), "").split(",")[:MAX_HOSTS]]
            location = await self._service.model_elsewhere(asker.silo, run, digest, list(filter(None, hosts)))
            if location:
                await send_body(send, 307, b"{}", headers=((b"location", location.encode()), *_NOT_KEPT))
                return
        async with self._service.model_for(asker.silo, run, digest, whole="range" not in headers) as blob:
            await send_blob(scope, send, blob, headers.get("range", ""))

    def _start_of(self, headers: Mapping[str, str]) -> int:
        """Which byte comes first. Raises TooLargeError before anything was read, MessageError."""
        size = declared_size(headers, self._max_blob_bytes, "a blob")
        if "content-range" not in headers:
            return 0
        rest = rest_of(headers["content-range"])
        declared_size({"content-length": str(rest.whole_bytes)}, self._max_blob_bytes, "a blob")
        if size != rest.size_bytes:
            raise MessageError(f"Content-Range {headers['content-range']!r} and Content-Length {size} do not agree")
        return rest.start

    @contextmanager
    def _one_of_few(self, silo: str) -> Iterator[None]:
        if self._uploading[silo] >= UPLOADS_A_SILO:
            raise ConnectionFailedError(
                f"silo {silo!r} has {UPLOADS_A_SILO} uploads under way; it may send this one when another has ended",
                hint="it is tried again by itself",
            )
        self._uploading[silo] += 1
        try:
            yield
        finally:
            self._uploading[silo] -= 1
            if not self._uploading[silo]:
                del self._uploading[silo]

    @contextmanager
    def _upload(self, key: _Key) -> Iterator[_Upload]:
        task = asyncio.current_task()
        assert task is not None
        upload = self._uploads[key] = _Upload(task, asyncio.Event())
        try:
            yield upload
        finally:
            del self._uploads[key]
            upload.ended.set()

    async def _end(self, key: _Key) -> None:
        """End what is under way of an upload; what came of it is kept."""
        while (older := self._uploads.get(key)) is not None:
            older.cancel()
            await older.ended.wait()

    async def _store(self, live: Live, chunks: AsyncIterator[bytes], key: _Key, start: int, size_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        live.busy += 1
        try:
            await pour(
                self._room,
                chunks,
                lambda pipe: loop.run_in_executor(self._threads, self._drain, live, pipe, key, start, size_bytes),
            )
        finally:
            live.busy -= 1
            self._service.settle_upload(live)

    def _drain(self, live: Live, pipe: Pipe, key: _Key, start: int, size_bytes: int) -> None:
        _, silo, digest = key
        try:
            self._service.append_payload(live, silo, digest, pipe, start, size_bytes)
        finally:
            pipe.abandon()


async def _read_on(chunks: AsyncIterator[bytes]) -> None:
    """Take a little more of a body that nobody wants."""
    size = 0
    with suppress(ConnectionFailedError, TimeoutError):
        async with asyncio.timeout(READ_ON_S):
            async for chunk in chunks:
                size += len(chunk)
                if size > READ_ON_BYTES:
                    return


@dataclass(eq=False, slots=True)
class _Upload:
    """An upload that is under way."""

    task: asyncio.Task[object]
    ended: asyncio.Event
    cancelled: bool = False
    why: SeptumError = _REPLACED

    def cancel(self, why: SeptumError = _REPLACED) -> None:
        """End it, as a broken connection would."""
        if not self.cancelled:
            self.cancelled, self.why = True, why
            self.task.cancel()

    def uncancel(self) -> None:
        """For the upload itself, when it was cancelled: go on if it was by `cancel`."""
        if not self.cancelled:
            raise asyncio.CancelledError
        self.task.uncancel()


def _offset(offset: int, complete: bool = False) -> tuple[tuple[bytes, bytes], ...]:
    return (b"upload-offset", str(offset).encode()), (b"upload-complete", b"?1" if complete else b"?0")
