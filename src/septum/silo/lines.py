"""How does a silo keep records for good? As lines of JSON, each added behind the last whole one and synced at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from septum.adapters.files import sync_folder
from septum.errors import ConfigError, SeptumError, StorageError
from septum.protocol.codec import dumps, from_json, loads, to_json

MAX_LINE_BYTES = 64 * 1024
T = TypeVar("T")


def add_record(path: Path, record: object, *, named: bool = False) -> None:
    """Add a dataclass as a line, as `append_line` does. Raises StorageError."""
    append_line(path, dumps(to_json(record)), named=named)


def records(path: Path, kind: type[T]) -> Iterator[T]:
    """What `add_record` added, oldest first; nothing if there is no file. Raises ConfigError naming a bad line."""
    for number, line in enumerate(whole_lines(path), 1):
        yield record(path, number, line, partial(from_json, kind))


def record(path: Path, number: int, line: bytes, read: Callable[[object], T]) -> T:
    """What `read` makes of the line with this number. Raises ConfigError naming a bad line."""
    try:
        return read(loads(line, MAX_LINE_BYTES))
    except SeptumError as error:
        raise ConfigError(f"{path}, line {number}: {error.message}", hint=f"sed -n {number}p {path}") from error


def append_line(path: Path, line: bytes, *, named: bool = False) -> None:
    """Add a line; a piece of one that a kill or a full disk left is taken away first. Raises StorageError.

    It is on the disk when this returns, and so is the file's name. `named`: this process has added a line before, so
    the name is on the disk, and need not be sent there again, which would take as long as the line.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # the agent and a steward's command may both have something to say
            _append(descriptor, line + b"\n")
        finally:
            os.close(descriptor)
        if not named:
            sync_folder(path.parent)  # not only for a new file: a kill may have come before this when it was one
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}; ls -l {path}"
        ) from error


def whole_lines(path: Path, start: int = 0) -> list[bytes]:
    """The lines of a file from a byte on, none if there is no file. A piece at its end that a kill left was no line."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def _append(descriptor: int, line: bytes) -> None:
    """Add a line behind the last whole one: a kill or a full disk may have left a piece of one."""
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
    whole = size - len(end) + end.rfind(b"\n") + 1
    os.ftruncate(descriptor, whole)
    try:
        while line:
            written = os.pwrite(descriptor, line, whole)
            line, whole = line[written:], whole + written
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size - len(end) + end.rfind(b"\n") + 1)
        raise
