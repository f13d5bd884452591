"""Where bytes live: models for good, silos' payloads until their round is closed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol


class BlobStore(Protocol):
    """Bytes by digest, in named areas (`models`, and one spool per run).

    Contract: a blob is either whole and of its digest or not there; a cut or wrong upload leaves nothing behind.
    Putting the same bytes again changes nothing. `durable` blobs survive a power loss once `put` returned; others
    survive a kill. Memory use does not grow with the size of a blob. A name of an area that is not letters, digits,
    '.', '_' and '-' (no dot first) is a ConfigError, a digest that is none a DigestError: no name leads out of the
    store. Methods may be called from any thread.
    """

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if a given `digest` differs, TooLargeError over `limit`.

        A `limit` of 0 is none. What the iterable itself raises passes through, and nothing is stored.
        """

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted on disk."""

    def path(self, area: str, digest: str) -> Path:
        """The file that holds a blob, to be read only. Raises NotFoundError."""

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""

    def drop(self, area: str) -> None:
        """Forget a whole area."""
