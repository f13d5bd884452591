"""How does a blob get over a line that is cut again and again? From where it stopped, as long as it moves on.

After a cut that let something through, a transfer goes on at once on a new connection; after one that did not, it is an
error, and the next call goes on. What an earlier process sent or fetched counts too. The requests are described in
coordinator/blob_api.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from septum.adapters.channel.blob_files import PartialFile, check_size, pieces_of, receive, size_of
from septum.adapters.channel.elsewhere import MOVED, TAKES_FROM
from septum.adapters.channel.http1 import Answer, Request, StaleLineError
from septum.adapters.channel.wire_errors import MAX_ERROR_BYTES
from septum.errors import ConflictError, ConnectionFailedError, DigestError, NotFoundError, ProtocolError
from septum.protocol.codec import MAX_MESSAGE_BYTES

MIN_PROGRESS_BYTES = 1024 * 1024  # a transfer that was cut after less is no longer worth going on with at once
REMEMBERED = 64  # uploads and downloads that were begun; of others the disk or the coordinator has to be asked

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
T = TypeVar("T")


class Call(Protocol):
    """Send one request, and read its answer. Raises what the answer means when that is an error."""

    def __call__(self, request: Request, read: Callable[[Answer], T]) -> T:
        """What `read` makes of the answer."""


class Follow(Protocol):
    """Get a blob from where the coordinator says that it is; which host that was. Raises EgressError."""

    def __call__(self, location: str, headers: Mapping[str, str], read: Callable[[Answer], None]) -> str:
        """Ask with these headers alone."""


class Transfers:
    """Blobs to and from one coordinator. May be used by several threads, by one for each blob."""

    def __init__(self, call: Call, follow: Follow, peer: str, takes_from: Sequence[str] = ()) -> None:
        """`takes_from`: other hosts that are followed to, which the coordinator is told."""
        self._takes_from = {TAKES_FROM: ", ".join(takes_from)} if takes_from else {}
        self._call = call
        self._follow = follow
        self._peer = peer
        self._since = time.time()
        self._begun: dict[tuple[str, str], None] = {}
        self._partials: dict[Path, PartialFile] = {}

    # --- to the coordinator --------------------------------------------------------------------------------------

    def send(self, folder: str, digest: str, path: Path) -> None:
        """Send a file. `folder`: the run's path."""
        size, start = size_of(path), 0
        if self._may_be_there(folder, digest, path, size):
            start, complete = self._arrived_before(folder, digest)
            if complete:
                return
        _remember(self._begun, (folder, digest), None)
        stale = False
        while True:
            start = start if start <= size else 0
            try:
                self._put(f"{folder}/blobs/{digest}", path, size, start)
            except DigestError:
                if not start:
                    raise
                start = 0  # what was kept there may have been damaged
            except (ConnectionFailedError, ConflictError) as error:
                first_stale = isinstance(error, StaleLineError) and error.kept and not stale
                stale = stale or first_stale
                before = start
                start, complete = self._arrived_after(folder, digest, error)
                if complete:
                    return
                if start - before < MIN_PROGRESS_BYTES and not first_stale:
                    raise
            else:
                return

    def _put(self, where: str, path: Path, size: int, start: int) -> None:
        """Send what comes after `start`: with Content-Range (RFC 9110, section 14.5), if it is not everything."""
        place = f"{start}-{size - 1}" if start < size else "*"
        headers = {"Content-Type": "application/octet-stream"}
        if start:
            headers["Content-Range"] = f"bytes {place}/{size}"
        request = Request("PUT", where, headers, lambda: pieces_of(path, size, start), size - start, repeat=False)
        self._call(request, lambda answer: answer.read(MAX_MESSAGE_BYTES))

    def _may_be_there(self, folder: str, digest: str, path: Path, size: int) -> bool:
        """Whether it was sent before: by this process, or by an earlier one, if it is worth asking."""
        if (folder, digest) in self._begun:
            return True
        return size >= MIN_PROGRESS_BYTES and path.stat().st_mtime < self._since

    def _arrived_before(self, folder: str, digest: str) -> tuple[int, bool]:
        try:
            return self._arrived(folder, digest)
        except NotFoundError:  # a coordinator that cannot tell
            return 0, False

    def _arrived_after(self, folder: str, digest: str, error: Exception) -> tuple[int, bool]:
        try:
            return self._arrived(folder, digest)
        except (ConnectionFailedError, NotFoundError):
            raise error from None

    def _arrived(self, folder: str, digest: str) -> tuple[int, bool]:
        """How much of an upload the coordinator has, and whether that is all."""
        return self._call(Request("GET", f"{folder}/uploads/{digest}"), _offset_in)

    # --- from the coordinator ------------------------------------------------------------------------------------

    def fetch(self, folder: str, digest: str, path: Path, size_bytes: int) -> None:
        """Write a blob into `path`, if it is the one that was announced. Raises DigestError, TooLargeError."""
        partial = self._partials.get(path)
        if partial is None or partial.digest != digest:
            partial = PartialFile(path, digest)
        with partial.opened():
            _remember(self._partials, path, partial)
            try:
                self._fetch(f"{folder}/blobs/{digest}", partial, size_bytes)
            except ConnectionFailedError:  # what has come is kept
                if not partial.size_bytes:
                    partial.discard()
                raise
            except BaseException:
                partial.discard()
                raise
        self._partials.pop(path, None)

    def _fetch(self, where: str, partial: PartialFile, size_bytes: int) -> None:
        try:
            self._download(where, partial, size_bytes)
            partial.finish()
        except DigestError:  # what was kept may have been damaged: once more from the start
            partial.begin_anew()
        else:
            return
        try:
            self._download(where, partial, size_bytes)
            partial.finish()
        except DigestError as error:
            raise DigestError(
                f"{where.removeprefix('/silo/v1/')}, fetched from {partial.source}, came damaged twice: "
                f"{error.message}; nothing of it was kept",
                hint=f"on the coordinator, whose copy has rotted: septum run show {where.split('/')[4]}",
            ) from error

    def _download(self, where: str, partial: PartialFile, size_bytes: int) -> None:
        """Fetch what has not come yet."""
        if partial.size_bytes > size_bytes:
            partial.begin_anew()
        while partial.size_bytes < size_bytes or not size_bytes:
            start = partial.size_bytes
            headers = {"Range": f"bytes={start}-"} if start else {}
            try:
                self._take_from(where, headers, partial, size_bytes)
            except ConnectionFailedError:
                if partial.size_bytes - start < MIN_PROGRESS_BYTES:
                    raise
            except NotFoundError:  # not this range, or not this blob, which the next answer tells
                if not start:
                    raise
                partial.begin_anew()
            else:
                if not size_bytes:
                    return

    def _take_from(self, where: str, headers: Mapping[str, str], partial: PartialFile, size_bytes: int) -> None:
        """Append what comes from the coordinator, or from where it says that the blob is."""

        def here(answer: Answer) -> str | None:
            if answer.status in MOVED:
                answer.read(MAX_ERROR_BYTES)
                return answer.header("Location")
            _take(answer, partial, size_bytes)
            return None

        partial.source = self._peer
        location = self._call(Request("GET", where, {**headers, **self._takes_from}, may_move=True), here)
        if location is not None:
            partial.source = self._follow(location, headers, lambda answer: _take(answer, partial, size_bytes))


def _take(answer: Answer, partial: PartialFile, size_bytes: int) -> None:
    """Append what an answer brings. It may be less than is missing only if it is a range."""
    if answer.status != 206:
        partial.begin_anew()  # whole, from its start
        receive(answer.read_into, partial, size_bytes)
        check_size(partial, size_bytes)
        return
    field, start = answer.header("Content-Range"), partial.size_bytes
    match = _CONTENT_RANGE.fullmatch(field)
    if match is None or int(match[1]) != start:
        raise ProtocolError(f"bytes from {start} on were asked for, and {field[:100]!r} came")
    if int(match[2]) != size_bytes:
        raise DigestError(f"blob {partial.digest}: it has {match[2]} bytes there, not the {size_bytes} announced")
    receive(answer.read_into, partial, size_bytes)
    if partial.size_bytes == start:
        raise ProtocolError(f"bytes from {start} on were asked for, and none came")


def _offset_in(answer: Answer) -> tuple[int, bool]:
    """The fields Upload-Offset and Upload-Complete of draft-ietf-httpbis-resumable-upload."""
    offset, complete = answer.header("Upload-Offset"), answer.header("Upload-Complete")
    answer.read(MAX_MESSAGE_BYTES)
    if not re.fullmatch(r"[0-9]{1,18}", offset):
        raise ProtocolError(f"an answer about an upload has the Upload-Offset {offset[:40]!r}")
    return int(offset), complete == "?1"


K = TypeVar("K")
V = TypeVar("V")


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Add an entry as the newest; the oldest ones go."""
    known.pop(key, None)
    known[key] = value
    for oldest in list(known)[:-REMEMBERED]:
        known.pop(oldest, None)
