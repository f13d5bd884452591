"""How large is what an app wrote, and how is it removed? The app chose the names: nothing about them is believed."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_ENTRIES = 100_000  # in a directory of this many files something has gone wrong


def excess(folder: Path, limit_bytes: int) -> str:
    """What is too much about a folder; empty while it is within its limits. Files of many names count for each."""
    size = 0
    for entries, entry in enumerate(_walk(folder), 1):
        with contextlib.suppress(OSError):
            size += entry.stat(follow_symlinks=False).st_blocks * 512
        if size > limit_bytes:
            return f"its files have more than {limit_bytes} bytes"
        if entries > MAX_ENTRIES:
            return f"it has more than {MAX_ENTRIES} files"
    return ""


def wipe(folder: Path) -> None:
    """Remove a folder and all in it: links are not followed, and no nesting is too deep.

    Each folder inside is moved up to the top before it is emptied, so that no path gets long. What cannot be removed
    stays, as when another user wrote it.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
            return
    serial, token = 0, secrets.token_hex(8)  # no name that the app could have taken
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        with contextlib.suppress(OSError):
            inside.chmod(0o700)  # an app can make a folder that its owner may not look into
            for entry in list(os.scandir(inside)):
                serial += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(_moved(entry.path, folder / f".{token}-{serial}"))
                    else:
                        os.unlink(entry.path)
            if inside != folder:
                inside.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _moved(source: str, target: Path) -> Path:
    os.chmod(source, 0o700)  # a folder that moves is written to
    os.replace(source, target)
    return target


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All entries below a folder. Paths too long to be read are left out, with what is in them."""
    waiting = [os.fspath(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
