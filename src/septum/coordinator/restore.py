"""How does a backup become a coordinator's data directory again? All of it is checked first, then copied, then named.

A run that was at work goes on from the moment of the backup. Its silos may be ahead of it: they are told to do that
work again, which gives the same bits (protocol/silo.py).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from septum.adapters.store.lock import refuse_owned
from septum.adapters.store.migrate import known_revisions, newer_schema
from septum.coordinator.backup_files import (
    Entry,
    Manifest,
    copy_open,
    entry_of,
    open_file,
    read_manifest,
    sync_folders,
    translated,
)
from septum.errors import ConflictError, DigestError

MAX_NAMED = 3


def restore(backup: Path, data_dir: Path) -> Manifest:
    """Make the data directory `data_dir`, which must not exist or be empty, from a backup; what was in it.

    Raises ConfigError for what is no backup or one of a newer septum, ConflictError when the directory is in use or
    not empty, DigestError when files of the backup are not what they were, StorageError when it cannot be written.
    Nothing is left behind then.
    """
    manifest = read_manifest(backup)
    if manifest.schema not in known_revisions():
        raise newer_schema(f"the database in {backup}", manifest.schema, manifest.made_by)
    with translated(f"restore {backup} into {data_dir}"), ExitStack() as stack:
        _refuse_used(data_dir)
        _refuse_damaged(backup, manifest)
        part = data_dir.with_name(f".{data_dir.name}.part-{os.getpid()}")
        part.mkdir(mode=0o700, parents=True)
        stack.callback(shutil.rmtree, part, ignore_errors=True)
        for name, expected in manifest.files.items():
            _copy(backup / name, part / name, expected)
        sync_folders(part)
        part.rename(data_dir)
        stack.pop_all()
    return manifest


def _refuse_used(data_dir: Path) -> None:
    refuse_owned(data_dir)
    if data_dir.exists() and not (data_dir.is_dir() and not any(data_dir.iterdir())):
        raise ConflictError(
            f"there is something at {data_dir} already; nothing was changed",
            hint="restore into a new folder, and start the coordinator with it: septum coordinator start --data-dir",
        )


def _refuse_damaged(backup: Path, manifest: Manifest) -> None:
    """Before anything is written: the backup may be the only one, and half of a coordinator is none."""
    wrong = [name for name, entry in manifest.files.items() if not _is_whole(backup / name, entry)]
    if wrong:
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        raise DigestError(
            f"the backup {backup} is damaged: {', '.join(wrong[:MAX_NAMED])}{more} of {len(manifest.files)} files "
            "are gone or have other bytes than when it was made; nothing was written",
            hint="restore another backup",
        )


def _is_whole(path: Path, expected: Entry) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    found = entry_of(path)
    return (found.digest, found.size_bytes) == (expected.digest, expected.size_bytes)


def _copy(source: Path, target: Path, expected: Entry) -> None:
    """Copied, never linked: the database is written from now on, and the backup stays what it was."""
    found = copy_open(open_file(source), target)
    if found.digest != expected.digest:
        raise DigestError(f"{source} changed while it was restored", hint="restore again")
    target.chmod(int(expected.mode, 8))
