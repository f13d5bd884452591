"""What is a backup? A folder with the files of a data directory, and a manifest that names each with its digest.

The manifest is written last, into a folder that gets its name last: a backup is there whole or not at all.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import cast

from septum.adapters.blobs.writing import BUFFER_BYTES, Digester, PlainFile, digest_start, write
from septum.adapters.files import sync_folder
from septum.errors import ConfigError, MessageError, StorageError
from septum.protocol.codec import Json, dumps, from_json, loads, to_json
from septum.protocol.versions import Sides, Wire

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2**30  # 200 bytes a file
_MODE = re.compile("0[0-7]00")  # nothing for others, no set-user-id

FORMAT = Wire("septum-backup", 1, advice="restore it with the septum that made it, or a newer one, on {older}")
_SIDES = Sides("the backup", "this septum")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup. `mode` is octal text, as `chmod` takes it."""

    digest: str
    size_bytes: int
    mode: str

    def __post_init__(self) -> None:
        if not _MODE.fullmatch(self.mode):
            raise MessageError(f"{self.mode[:20]!r} is no mode of a file")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup.

    made_at  Unix time, seconds
    made_by  the septum that made it
    schema   revision of the database
    epoch    how often the database had been opened
    files    by their path in the data directory
    missing  blobs that the database refers to and that were lost or had rotted already when the backup was made
    """

    made_at: float
    made_by: str
    schema: str
    epoch: int
    files: Mapping[str, Entry]
    missing: tuple[str, ...] = field(default=())

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(entry.size_bytes for entry in self.files.values())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the backup in `folder`, and see that all of it is on disk."""
    body = FORMAT.mark(cast("dict[str, object]", to_json(manifest)))
    with open(folder / MANIFEST, "xb", opener=private) as file:
        file.write(dumps(cast("dict[str, Json]", body)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folders(folder)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the backup in `folder`.

    Raises ConfigError where there is none, MessageError for one that is damaged or of a newer septum.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{folder} is no backup: {MANIFEST} cannot be read ({error.strerror})", hint=f"ls -la {folder}"
        ) from error
    try:
        return _manifest(data)
    except MessageError as error:
        raise type(error)(f"{folder / MANIFEST}: {error.message}", hint=error.hint) from error


def _manifest(data: bytes) -> Manifest:
    body = loads(data, MAX_MANIFEST_BYTES)
    if not isinstance(body, dict):
        raise MessageError("it is no JSON object")
    manifest = from_json(Manifest, FORMAT.read(cast("dict[str, object]", body), _SIDES)[0])
    for path in manifest.files:
        _check_path(path)
    return manifest


def _check_path(path: str) -> None:
    """A manifest that somebody else wrote is not to name files outside of the directory."""
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or ".." in parts or "\0" in path or parts[0] == "/":
        raise MessageError(f"{path[:80]!r} is no path inside a data directory")


# --- files ---------------------------------------------------------------------------------------------------------


def copy_open(source: int, target: Path) -> Entry:
    """Copy an open file to a new one, and digest it on the way; `source` is closed."""
    make_folders(target.parent)
    mode = stat.S_IMODE(os.fstat(source).st_mode) & 0o700 or 0o600  # what is in here is nobody else's business
    digester = Digester()
    with os.fdopen(source, "rb", buffering=0) as reader, open(target, "xb", buffering=0, opener=private) as writer:
        chunks = iter(partial(reader.read, BUFFER_BYTES), b"")
        write(PlainFile(writer.fileno()), chunks, digester, limit=0, guard=nullcontext)
        os.fchmod(writer.fileno(), mode)
        os.fsync(writer.fileno())
    return Entry(digester.digest, digester.size_bytes, f"{mode:04o}")


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each for its owner alone: `Path.mkdir` gives its mode to the last one only."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(mode=0o700)


def entry_of(path: Path) -> Entry:
    """What the file has in it now."""
    digester = Digester()
    with path.open("rb", buffering=0) as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        digest_start(file.fileno(), digester)
    return Entry(digester.digest, digester.size_bytes, f"{mode:04o}")


def open_file(path: Path) -> int:
    """Open a file to read it."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def sync_folders(root: Path) -> None:
    """Make the names of all files below `root` durable."""
    for folder, _, _ in os.walk(root):
        sync_folder(Path(folder))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of the operating system, as what could not be done and the file at which it ended."""
    try:
        yield
    except OSError as error:
        at = f" at {error.filename}" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            f"could not {doing}: {error.strerror}{at}", hint="df -h" if full else "ls -ld, as the coordinator's user"
        ) from error


def private(path: str, flags: int) -> int:
    """Open a new file for its owner alone; an `opener` for `open`."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
