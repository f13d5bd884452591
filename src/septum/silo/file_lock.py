"""How do the agent and a steward's commands take turns? By a lock on what they both write, or beside it."""

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
    with _held(descriptor, mode):
        yield


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold a folder for oneself, against others who ask for the same. Raises OSError."""
    with _held(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_EX):
        yield


@contextmanager
def _held(descriptor: int, mode: int) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, mode)
        yield
    finally:
        os.close(descriptor)
