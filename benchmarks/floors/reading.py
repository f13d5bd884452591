"""How fast can one thread read these files at all? Page cache warm, nothing done with what was read.

Two programs: `preadv` block by block in turn over all files, as aggregation reads them, and one file after the other
with `readinto` of 1 MiB.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

READ_BYTES = 1 << 20


def block_by_block(paths: Sequence[Path], block_bytes: int) -> int:
    """The same block of every file, then the next one. How many bytes were read."""
    done = 0
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb", buffering=0)).fileno() for path in paths]
        buffers = [[memoryview(bytearray(block_bytes))] for _ in files]
        for offset in range(0, max(path.stat().st_size for path in paths), block_bytes):
            for file, buffer in zip(files, buffers, strict=True):
                done += os.preadv(file, buffer, offset)
    return done


def file_by_file(paths: Sequence[Path], block_bytes: int) -> int:
    """Each file from its beginning to its end. How many bytes were read."""
    del block_bytes
    done, buffer = 0, memoryview(bytearray(READ_BYTES))
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                done += count
    return done


PROGRAMS: Mapping[str, Callable[[Sequence[Path], int], int]] = {
    "block by block": block_by_block,
    "file by file": file_by_file,
}


def gb_per_s(program: Callable[[Sequence[Path], int], int], paths: Sequence[Path], block_bytes: int) -> float:
    """What a program reads, 10^9 bytes a second."""
    began = time.perf_counter()
    done = program(paths, block_bytes)
    return done / (time.perf_counter() - began) / 1e9
