"""Are a blob's bytes those of its digest? Read through beforehand, or compared while they are read anyway."""

from __future__ import annotations

from septum.adapters.blobs.writing import Digester, digest_of_source
from septum.errors import DigestError
from septum.ports.blobs import BlobStore, OpenBlob
from septum.protocol.sources import Source


def check_blob(blobs: BlobStore, area: str, digest: str) -> None:
    """Read all of a blob. Raises DigestError for other bytes than its digest's, NotFoundError, StorageError."""
    with blobs.open(area, digest) as opened:
        _refuse(digest_of_source(opened.source).digest, digest, opened)


def checked(opened: OpenBlob, digest: str) -> Source:
    """The blob's bytes; the read that reaches their end raises DigestError where they are not those of the digest.

    What a reader skips on its way is read here. Bytes are digested once, when they are first reached. For one thread.
    """
    digester, source = Digester(), opened.source

    def read(offset: int, buffer: memoryview) -> None:
        source.read(offset, buffer)
        reached, end = digester.size_bytes, offset + len(buffer)
        if end <= reached:
            return
        if offset > reached:
            for skipped in opened.chunks(reached, offset):
                digester.add(skipped)
            reached = offset
        digester.add(buffer[reached - offset :])
        if end == source.size_bytes:
            _refuse(digester.digest, digest, opened)

    return Source(source.size_bytes, read)


def _refuse(found: str, digest: str, opened: OpenBlob) -> None:
    if found != digest:
        where = f"the file {opened.file}" if opened.file else f"blob {digest}"
        raise DigestError(
            f"{where} has rotted: its bytes have the digest {found}",
            hint=f"rm {opened.file}" if opened.file else "restore a backup: septum coordinator restore",
        )
