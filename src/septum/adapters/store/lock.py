"""Who owns this data directory? One process at a time, shown by a locked file that holds its process id.

The lock is `flock`: the operating system takes it back when the process dies, however it dies, so a stale lock file
means nothing. Where `flock` does not work (some network file systems), the fencing epoch in the database still keeps
two coordinators from both committing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from septum.errors import ConfigError, ConflictError

LOCK_NAME = "lock"


class DirectoryLock:
    """Exclusive ownership of a directory, from construction until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_NAME
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the data directory {directory} cannot be used: {error.strerror}", hint=f"ls -ld {directory}"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise _in_use(directory, owner) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory up. The file stays: removing it would let two processes lock two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def refuse_owned(directory: Path) -> None:
    """Raises ConflictError if a coordinator owns this directory. Nothing is made or changed."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody has ever owned it
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _in_use(directory, os.pread(descriptor, 32, 0).decode(errors="replace").strip()) from error
    finally:
        os.close(descriptor)


def _in_use(directory: Path, owner: str) -> ConflictError:
    if not owner.isdigit():  # it has locked the file and not yet written its id
        return ConflictError(
            f"the data directory {directory} is in use by a coordinator that is just starting",
            hint=f"fuser {directory / LOCK_NAME}",
        )
    return ConflictError(
        f"the data directory {directory} is in use by the coordinator with process id {owner}",
        hint=f"stop it first (kill {owner}), or start this one with another data directory",
    )
