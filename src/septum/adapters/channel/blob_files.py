"""How a blob leaves a file, and how it becomes one: streamed, checked, and whole or not there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from septum.errors import ConnectionFailedError, DigestError, SeptumError, TooLargeError

BUFFER_BYTES = 1024 * 1024


def size_of(path: Path) -> int:
    """The size of a file that is to be sent."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise _cannot("read", path, error) from error


def pieces_of(path: Path, size_bytes: int) -> Iterator[bytes]:
    """A file's bytes in buffers of 1 MiB. Raises SeptumError if it no longer has `size_bytes`."""
    sent = 0
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(BUFFER_BYTES):
                sent += len(piece)
                if sent > size_bytes:
                    break
                yield piece
    except OSError as error:
        raise _cannot("read", path, error) from error
    if sent != size_bytes:
        raise SeptumError(f"{path} changed while it was sent: {sent} of {size_bytes} bytes")


def save_blob(read_into: Callable[[memoryview], int], digest: str, path: Path, size_bytes: int) -> None:
    """Write what `read_into` gives to `path`, if it is the blob that was announced.

    Raises DigestError or TooLargeError if it is another, ConnectionFailedError if it ends too soon, SeptumError if it
    cannot be written; `path` is then as it was before.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _fill(part, read_into, digest, size_bytes)
        part.replace(path)
    except OSError as error:
        raise _cannot("write", path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _fill(part: Path, read_into: Callable[[memoryview], int], digest: str, size_bytes: int) -> None:
    hasher, got = blake3(), 0
    buffer = memoryview(bytearray(min(BUFFER_BYTES, size_bytes + 1)))
    with part.open("xb", buffering=0) as file:
        while count := read_into(buffer):
            got += count
            if got > size_bytes:
                raise TooLargeError(f"blob {digest}: more bytes than the {size_bytes} announced")
            hasher.update(buffer[:count])
            _write_all(file.write, buffer[:count])
    if got < size_bytes:
        raise ConnectionFailedError(f"blob {digest}: {got} of {size_bytes} bytes came")
    found = f"blake3:{hasher.hexdigest()}"
    if found != digest:
        raise DigestError(f"blob {digest}: the bytes that came have the digest {found}")


def _write_all(write: Callable[[memoryview], int], data: memoryview) -> None:
    while data:
        data = data[write(data) :]


def _cannot(verb: str, path: Path, error: OSError) -> SeptumError:
    return SeptumError(f"cannot {verb} {path}: {error.strerror}", hint=f"df -h {path.parent}; ls -ld {path.parent}")
