"""How is a file read while it is combined or masked? At any place, and never mapped or whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.errors import StorageError, TensorError
from septum.protocol.sources import Source


@contextmanager
def file_source(path: Path, *, last: bool = False) -> Iterator[Source]:
    """A file, to be read anywhere. Never mapped: mapped pages would count as the coordinator's memory.

    `last`: most likely nobody reads it again soon: what was read leaves the page cache, and what is written meanwhile
    gets that memory (leftovers.py).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield source_in(descriptor, last=last)
    finally:
        os.close(descriptor)


def source_in(descriptor: int, *, last: bool = False) -> Source:
    """An open file, as `file_source` gives it."""

    def read(offset: int, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            try:
                got = os.preadv(descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise StorageError(f"a file cannot be read: {error.strerror}", hint="dmesg | tail") from error
            if got == 0:
                raise TensorError(f"bytes {offset} to {offset + len(buffer)} were wanted, the file is shorter")
            done += got
        if last:
            os.posix_fadvise(descriptor, offset, done, os.POSIX_FADV_DONTNEED)

    return Source(os.fstat(descriptor).st_size, read)
