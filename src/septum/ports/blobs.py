"""Where bytes live: models for good, silos' payloads until their round is closed.

What is discarded is not there any more for anybody; its bytes may stay on the disk until the area's next upload has
taken their place, room is short, or the area is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from septum.errors import ConflictError, StorageError
from septum.protocol.sources import Source, chunks_of

CHUNK_BYTES = 1024 * 1024
KEPT_OF_SENDER = 4  # cut uploads: as many as a silo may have under way when its line breaks


class OffsetError(ConflictError):
    """Bytes were to go on from another place than where those end that are here. `offset` is that place."""

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class AwayError(StorageError):
    """Where blobs are kept cannot be asked now. What is kept there is not lost."""


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob's bytes, as long as it is open.

    source    reads them anywhere; DigestError or TensorError for bytes that rotted, StorageError for a broken disk
    file      the file in which they lie as they are, so that a server can send it by itself; None where they do not
    read_now  does what `source.read` does if no disk is to be waited for, as in an event loop; else False, and nothing
              of the buffer counts
    """

    source: Source
    file: Path | None = None
    read_now: Callable[[int, memoryview], bool] = lambda _offset, _buffer: False

    @property
    def size_bytes(self) -> int:
        """How many they are."""
        return self.source.size_bytes

    def chunks(self, start: int = 0, stop: int | None = None, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Those from `start` to `stop` (exclusive), or to the end, in order.

        >>> from septum.protocol.sources import source_of
        >>> list(OpenBlob(source_of(b"abcd")).chunks(1))
        [b'bcd']
        """
        return chunks_of(self.source, start, self.size_bytes if stop is None else stop, chunk_bytes)


class BlobStore(Protocol):
    """Bytes by digest, in named areas (`apps`, and a few of each run).

    Contract: a blob is either whole and of its digest or not there; a wrong upload leaves nothing behind, and of a cut
    one only `append` keeps what came. Putting the same bytes again changes nothing. `durable` blobs survive a power
    loss once `put` returned; others survive a kill. Memory use does not grow with the size of a blob. A name of an area
    or a sender that is not letters, digits, '.', '_' and '-' (no dot first) is a ConfigError, a digest that is none a
    DigestError: no name leads out of the store. Methods may be called from any thread.

    A store on another machine raises AwayError from any of them while it cannot be asked; what `put` and `share` were
    to store is then there whole, as when only the answer was lost, or not at all.
    """

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if a given `digest` differs, TooLargeError over `limit`.

        A `limit` of 0 is none. What the iterable itself raises passes through, and nothing is stored.
        """

    def append(
        self, area: str, digest: str, data: Iterable[bytes], *, sender: str, start: int = 0, limit: int = 0
    ) -> None:
        """Store the blob whose bytes from `start` to the end these are; a `start` of 0 begins anew. Not durable.

        What the iterable itself raises passes through, and what came before that is kept for the sender, also over a
        restart: until the area is dropped, or the sender has had KEPT_OF_SENDER other uploads cut, or many others have.

        Raises OffsetError when what is kept does not end at `start`, ConflictError while the same is appended to or
        when the area is dropped meanwhile, TooLargeError over `limit` bytes in all, and DigestError when the bytes are
        not those of the digest; after the last two nothing is kept.
        """

    def kept_bytes(self, area: str, digest: str, *, sender: str) -> int:
        """How many bytes of a sender's cut upload are here."""

    def share(self, area: str, digest: str, into: str) -> None:
        """Have a blob in another area as well, durably; its bytes are not copied where that can be helped.

        Each area forgets its own. Raises NotFoundError.
        """

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted on disk."""

    def open(self, area: str, digest: str, *, last: bool = False) -> AbstractContextManager[OpenBlob]:
        """A blob, to be read while it is open, whatever becomes of it meanwhile. Raises NotFoundError on entering.

        `last`: most likely nobody reads it again soon, so no memory is to be kept for it.
        """

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""

    def digests(self, area: str) -> Sequence[str]:
        """Every blob of an area, in the order of their digests; none of an area that is not there."""

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""

    def free_bytes(self) -> int:
        """About how many bytes can be stored now."""

    def used_bytes(self) -> int:
        """About how many bytes are taken by what is here, cut uploads too. Takes as long as looking at every file."""

    def drop(self, area: str) -> None:
        """Forget a whole area, and the uploads into it that were cut."""
