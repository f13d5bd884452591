"""How is a small file replaced, whole or not at all, many times a second? By two files that are written in turns.

Renaming a new file over the old one makes some file systems write its bytes to the disk first, which costs more than a
round. Here a slot is overwritten in place: a line with its serial number, size and digest, then the bytes. The newest
slot that is whole counts, so a kill in the middle of a write leaves what was saved before.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from blake3 import blake3

from septum.errors import MessageError

MAX_BYTES = 4 * 2**20 + 256
_HEAD = re.compile(rb"septum-slot ([0-9]{1,15}) ([0-9]{1,9}) ([0-9a-f]{64})\n")


class Slots:
    """The two files PATH.0 and PATH.1. For one thread."""

    def __init__(self, path: Path) -> None:
        self._paths = (path.with_name(f"{path.name}.0"), path.with_name(f"{path.name}.1"))
        self._serial: int | None = None

    def __str__(self) -> str:
        return f"{self._paths[0].parent}/{self._paths[0].stem}"

    def load(self) -> bytes | None:
        """What was saved last; None before the first. Raises MessageError when there are slots and none is whole."""
        found = [_read(path) for path in self._paths]
        whole = [slot for slot in found if isinstance(slot, tuple)]
        if not whole:
            if any(found):
                raise MessageError(f"neither {self._paths[0]} nor its twin is whole", hint=f"rm {self}.*")
            return None
        self._serial, data = max(whole)
        return data

    def save(self, data: bytes) -> None:
        """Save bytes. Raises OSError, as for a full disk: then what was saved before is still there."""
        if self._serial is None and self.load() is None:
            self._serial = 0
        serial = (self._serial or 0) + 1
        head = f"septum-slot {serial} {len(data)} {_digest(serial, data)}\n".encode()
        descriptor = os.open(self._paths[serial % 2], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            rest = memoryview(head + data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        self._serial = serial


def _read(path: Path) -> tuple[int, bytes] | str | None:
    """Serial number and bytes; a reason when it is damaged; None when it is not there."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    head = _HEAD.match(content)
    if head is None:
        return "no head"
    serial, size, data = int(head[1]), int(head[2]), content[head.end() :][: int(head[2])]
    if len(data) != size or _digest(serial, data) != head[3].decode():
        return "cut short or changed"
    return serial, data


def _digest(serial: int, data: bytes) -> str:
    return blake3(b"%d %d\n" % (serial, len(data)) + data).hexdigest()
