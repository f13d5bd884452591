"""How do the agent and a steward's commands take turns? By a lock on a file beside what they both write."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.errors import StorageError


@contextmanager
def locked(path: Path, what: str, mode: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock of this `mode` on a file. Raises StorageError, which says `what` it guards, if it cannot be made."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(
            f"{what} in {path.parent} cannot be locked: {error.strerror}", hint=f"ls -ld {path.parent}"
        ) from error
    try:
        fcntl.flock(descriptor, mode)
        yield
    finally:
        os.close(descriptor)
