"""Is a folder as it was? Told by a digest of every name and byte in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from blake3 import blake3

_BUFFER_BYTES = 1024 * 1024


def tree_digest(folder: Path) -> str:
    """A digest of all that lies below a folder: names, kinds, sizes, contents, in order of their paths.

    What is neither a file nor a folder counts by its kind, and a link by where it leads; nothing is followed.
    """
    digest = blake3()
    buffer = bytearray(_BUFFER_BYTES)
    for path in sorted(_below(folder)):
        found = path.lstat()
        name = os.fsencode(path.relative_to(folder))
        digest.update(b"%d %d %d\n" % (len(name), stat.S_IFMT(found.st_mode), found.st_size if _is_file(found) else 0))
        digest.update(name)
        if stat.S_ISLNK(found.st_mode):
            target = os.fsencode(path.readlink())
            digest.update(b"%d\n" % len(target) + target)
        elif _is_file(found):
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    digest.update(memoryview(buffer)[:count])
    return f"blake3:{digest.hexdigest()}"


def _below(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]


def _is_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)
