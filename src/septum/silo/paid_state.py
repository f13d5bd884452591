"""Where is it noted what a run has reserved of a privacy budget? In a file of the run, on the disk before it counts."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from septum.adapters.files import replace_file
from septum.errors import MessageError, StorageError
from septum.protocol.codec import from_json, loads

MAX_STATE_BYTES = 64 * 1024
T = TypeVar("T")


def read_state(path: Path, kind: type[T]) -> T | None:
    """What was noted last; None before the first. Raises StorageError."""
    try:
        return from_json(kind, loads(path.read_bytes(), MAX_STATE_BYTES), str(path))
    except FileNotFoundError:
        return None
    except (OSError, MessageError) as error:  # what was reserved stays spent; to begin anew would hide it
        raise StorageError(f"{path} cannot be read: {error}", hint=f"ls -l {path}") from error


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file; it is on the disk when this returns. Raises StorageError."""
    try:
        replace_file(path, content, durable=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}") from error
