"""Where does a large payload go that comes from the app's process? Into a file of the agent's, digested on the way.

No file passes between the two: what the app can still change is never what was checked. No numpy here: the agent stays
small.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from blake3 import blake3

from septum.adapters.leftovers import LEFTOVER, giving_way
from septum.errors import StorageError
from septum.protocol.messages import Blob


class PayloadFile:
    """A file that is being filled. Use as a context; if `blob` was not asked for, the file is removed.

    A LEFTOVER beside it gives way to it.

    A disk that is full is told by `blob`, at the end: who sends comes to the end of it first, and goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = blake3()
        self._size = 0
        self._file = -1
        self._kept = False
        self._error: OSError | None = None
        self._stack = ExitStack()

    def __enter__(self) -> PayloadFile:
        self._make_room = self._stack.enter_context(giving_way(self._path.with_name(LEFTOVER)))
        try:
            self._path.unlink(missing_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._error = error
        return self

    def add(self, piece: memoryview) -> None:
        """Take the next bytes."""
        if self._error is not None:
            return
        self._digest.update(piece)
        self._size += len(piece)
        self._make_room(len(piece))
        try:
            while piece:
                piece = piece[os.write(self._file, piece) :]
        except OSError as error:
            self._error = error

    def blob(self) -> Blob:
        """What came, all of it. Raises StorageError when the disk did not take it."""
        if self._error is not None:
            raise StorageError(
                f"the payload cannot be written to {self._path}: {self._error.strerror}",
                hint=f"df -h {self._path.parent}",
            )
        self._kept = True
        return Blob(f"blake3:{self._digest.hexdigest()}", self._size)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
        if self._file < 0:
            return
        os.close(self._file)
        if not self._kept:
            self._path.unlink(missing_ok=True)
