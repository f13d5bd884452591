"""Would installing this wheel write what it should, and no more? Asked of its list of files, before it is unpacked.

A wheel is a compressed ZIP that pip unpacks: its names are looked at here, and how large it becomes. Python's zipfile,
with which pip reads it, gives no more bytes of a file than the list says, so the list can be believed in that.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from septum.errors import AppError, TooLargeError

MAX_FILES = 100_000  # torch has 12,000
MAX_BYTES = 8 * 2**30  # unpacked: torch with its libraries for a GPU has 5 GiB
PROVIDED_MODULES = ("septum", "numpy")  # a second one, under whatever wheel's name, would come before the silo's


def check_content(path: Path) -> int:
    """How many bytes a wheel becomes. Raises AppError, TooLargeError: the file's name and what is wrong."""
    try:
        with zipfile.ZipFile(path) as wheel:
            members = wheel.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise AppError(f"{path.name} is no wheel: {error}", hint="fetch the package again from its author") from error
    if len(members) > MAX_FILES:
        raise TooLargeError(f"{path.name} holds {len(members)} files, at most {MAX_FILES} are unpacked")
    for member in members:
        _check(path.name, member)
    size_bytes = sum(member.file_size for member in members)
    if size_bytes > MAX_BYTES:
        raise TooLargeError(
            f"{path.name} would become {size_bytes} bytes, at most {MAX_BYTES} are possible",
            hint="leave large libraries out: preinstalled, under [dependencies] in septum.toml",
        )
    return size_bytes


def _check(wheel: str, member: zipfile.ZipInfo) -> None:
    name, mode = member.filename, member.external_attr >> 16
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
        raise AppError(f"{wheel} holds {name[:100]!r}, which would lie elsewhere")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise AppError(f"{wheel} holds {name[:100]!r}, which is neither a file nor a folder")
    if parts[0] in PROVIDED_MODULES:
        raise AppError(f"{wheel} brings {parts[0]}, which the silo itself provides")
