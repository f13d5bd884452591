"""Who owns this directory? One process at a time, shown by a locked file that holds its process id.

The lock is `flock`: the operating system takes it back when the process dies, however it dies, so a stale lock file
means nothing. Where `flock` does not work (some network file systems), the fencing epoch in a coordinator's database
still keeps two of them from both committing.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from septum.errors import ConfigError, ConflictError, TimedOutError

LOCK_NAME = "lock"
LOOK_EVERY_S = 0.05


class DirectoryLock:
    """Exclusive ownership of a directory, from construction until `release` or the end of the process.

    `by`: what owns it, as errors say it: "the coordinator".
    """

    def __init__(self, directory: Path, by: str) -> None:
        self._path = directory / LOCK_NAME
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the directory {directory} cannot be used: {error.strerror}", hint=f"ls -ld {directory}"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _read_pid(self._fd)
            os.close(self._fd)
            raise _in_use(directory, owner, by) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory up. The file stays: removing it would let two processes lock two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def owner_of(directory: Path) -> int | None:
    """The process that owns a directory; None if none does, 0 if it has not written its id yet. Changes nothing."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody has ever owned it
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(descriptor)
    finally:
        os.close(descriptor)
    return None


def refuse_owned(directory: Path, by: str) -> None:
    """Raises ConflictError if a process owns this directory. Nothing is made or changed."""
    owner = owner_of(directory)
    if owner is not None:
        raise _in_use(directory, owner, by)


def end_owner(directory: Path, by: str, timeout_s: float) -> int | None:
    """Ask the process that owns a directory to end (SIGTERM), and wait until it has; its id. None if none owns it.

    Raises ConflictError when it may not be asked, TimedOutError when it has not ended within `timeout_s` seconds.
    """
    until, owner = time.monotonic() + timeout_s, owner_of(directory)
    while owner == 0 and time.monotonic() < until:  # it is just starting
        time.sleep(LOOK_EVERY_S)
        owner = owner_of(directory)
    if owner is None:
        return None
    if owner:
        _ask_to_end(directory, owner, by)
    while owner_of(directory) == owner:  # another one may have been started since
        if time.monotonic() > until:
            raise TimedOutError(
                f"{by} in {directory} (process {owner}) has not ended within {timeout_s:g} s", hint=f"kill -9 {owner}"
            )
        time.sleep(LOOK_EVERY_S)
    return owner


def _ask_to_end(directory: Path, owner: int, by: str) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        try:
            os.kill(owner, signal.SIGTERM)
        except PermissionError as error:
            raise ConflictError(
                f"{by} in {directory} is process {owner} of another user", hint=f"sudo kill {owner}"
            ) from error


def _read_pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _in_use(directory: Path, owner: int, by: str) -> ConflictError:
    if not owner:  # it has locked the file and not yet written its id
        return ConflictError(
            f"the directory {directory} is in use: {by} is just starting", hint=f"fuser {directory / LOCK_NAME}"
        )
    return ConflictError(
        f"the directory {directory} is in use by {by} with process id {owner}",
        hint=f"stop it first (kill {owner}), or take another directory",
    )
