"""How does a model get on disk whole or not at all?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from septum.errors import ConfigError, DigestError


def save(chunks: Iterable[bytes], digest: str, path: Path) -> int:
    """Write chunks into `path`, which appears only once all bytes are there and are those of `digest`; their number.

    Raises:
        DigestError: they are not.
        ConfigError: the directory cannot be written.
    """
    hasher, size = blake3(), 0
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path.parent} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                hasher.update(chunk)
                size += len(chunk)
                file.write(chunk)
        _check(digest, f"blake3:{hasher.hexdigest()}", size)
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a model is shared like any file that one downloads
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return size


def _check(digest: str, arrived: str, size: int) -> None:
    if arrived != digest:
        raise DigestError(f"{digest} arrived as {arrived} after {size} bytes", hint="septum model download, again")
