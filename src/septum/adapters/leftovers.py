"""What becomes of a large file that nobody needs any more? It gives way: it shrinks while the next one is written.

So the new file gets the memory that the old one had in the page cache. Memory that was free for a while may have gone
back to the machine's host; fetching it again made a write 3 to 10 times as long as one into memory freed just now. All
else is as if the old file had been removed: the new one only grows, its size says how much has come, and no byte of
another file shows in it, also after a kill. A file that somebody has open, maps or has linked never shrinks.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEFTOVER = ".leftover"  # in a folder of one's own, the file that gives way to the next one written there
LARGE_BYTES = 1024 * 1024  # smaller files are not worth it
MakeRoom = Callable[[int], None]


@contextmanager
def giving_way(path: Path) -> Iterator[MakeRoom]:
    """Take as many bytes off the file as the function is told. In the end it is gone; it need not be there.

    Nobody else may give it a new name or use it from now on.
    """
    file = _alone(path)
    left = os.fstat(file).st_size if file >= 0 else 0

    def make_room(size_bytes: int) -> None:
        nonlocal left
        if left:
            left = max(0, left - size_bytes)
            with suppress(OSError):  # it goes in the end
                os.ftruncate(file, left)

    try:
        yield make_room
    finally:
        if file >= 0:
            os.close(file)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _alone(path: Path) -> int:
    """The file, opened, if nobody else has it; else -1, and it is removed: who has it keeps what it holds."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1
    with suppress(OSError):
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _is_opened_once(file):
            return file
    os.close(file)
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return -1


def _is_opened_once(file: int) -> bool:
    """Whether there is no other open file, and so no mapping: then alone does Linux grant a write lease (fcntl(2)).

    Not granted either where the file system has no leases. It is given back at once. Who opens the file in between
    makes the kernel send a signal, of those that nobody reacts to.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
