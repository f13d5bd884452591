"""Where bytes live: models for good, silos' payloads until their round is closed.

What is discarded is not there any more for anybody; its bytes may stay on the disk until the area's next upload has
taken their place, room is short, or the area is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from septum.errors import ConflictError

KEPT_OF_SENDER = 4  # cut uploads: as many as a silo may have under way when its line breaks


class OffsetError(ConflictError):
    """Bytes were to go on from another place than where those end that are here. `offset` is that place."""

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class BlobStore(Protocol):
    """Bytes by digest, in named areas (`models`, and one spool per run).

    Contract: a blob is either whole and of its digest or not there; a wrong upload leaves nothing behind, and of a cut
    one only `append` keeps what came. Putting the same bytes again changes nothing. `durable` blobs survive a power
    loss once `put` returned; others survive a kill. Memory use does not grow with the size of a blob. A name of an area
    or a sender that is not letters, digits, '.', '_' and '-' (no dot first) is a ConfigError, a digest that is none a
    DigestError: no name leads out of the store. Methods may be called from any thread.
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

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted on disk."""

    def path(self, area: str, digest: str) -> Path:
        """The file that holds a blob, to be read only. Raises NotFoundError."""

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""

    def free_bytes(self) -> int:
        """About how many bytes can be stored now."""

    def drop(self, area: str) -> None:
        """Forget a whole area, and the uploads into it that were cut."""
