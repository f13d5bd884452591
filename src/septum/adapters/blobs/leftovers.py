"""Which discarded blobs give way to the next uploads? Large ones, of the same area, as long as there is ample room."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from septum.adapters.leftovers import LARGE_BYTES, MakeRoom, giving_way

FREE_FOR_EACH = 4  # times its size: so much must be free, or a discarded blob goes at once


class Leftovers:
    """Discarded blobs that are still on the disk, in a folder that is emptied at every start.

    May be used by several threads. All of an area's go with it, and all at once when room is short.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._left: dict[Path, str] = {}  # its area

    def leave(self, path: Path, area: str) -> None:
        """A file that nobody needs: it is no longer under its name. Raises OSError."""
        size = path.stat().st_size if path.exists() else 0
        if size < LARGE_BYTES or size * FREE_FOR_EACH > _free_bytes(self._folder):
            path.unlink(missing_ok=True)
            return
        left = self._folder / f"left-{next(self._numbers)}"
        path.rename(left)
        with self._lock:
            self._left[left] = area

    @contextmanager
    def one_of(self, area: str) -> Iterator[MakeRoom]:
        """One of the area's gives way, by so many bytes as the function is told; if there is none, nothing happens."""
        with self._lock:
            found = next((path for path, of in self._left.items() if of == area), None)
            if found is not None:
                del self._left[found]
        if found is None:
            yield _no_room
            return
        with giving_way(found) as make_room:
            yield make_room

    def clear(self, area: str | None = None) -> None:
        """Remove those of an area, or all."""
        with self._lock:
            gone = [path for path, of in self._left.items() if area in (None, of)]
            for path in gone:
                del self._left[path]
        for path in gone:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def before_each(data: Iterable[bytes], make_room: MakeRoom) -> Iterator[bytes]:
    """The same bytes; as much as each chunk has is made room for before it is given."""
    for chunk in data:
        make_room(len(chunk))
        yield chunk


def _no_room(size_bytes: int) -> None:
    """There is nothing that could give way."""


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
