"""How does a backup become a coordinator's data directory again? All of it is checked first, then copied, then named.

A run that was at work goes on from the moment of the backup. Its silos may be ahead of it: they are told to do that
work again, which gives the same bits (protocol/silo.py).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.files import replace_file
from septum.adapters.ownership import refuse_owned
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
from septum.ports.audit import AuditLog
from septum.protocol.audit import AuditKind, Record, utc
from septum.protocol.codec import dumps, from_json, loads, to_json

MAX_NAMED = 3
RESTORED_NAME = "restored.json"


@dataclass(frozen=True, slots=True)
class Restored:
    """From which backup a data directory was made: when that was, Unix seconds, and its epoch."""

    made_at: float
    epoch: int


def restore(backup: Path, data_dir: Path) -> Manifest:
    """Make the data directory `data_dir`, which must not exist or be empty, from a backup; what was in it.

    Raises ConfigError for what is no backup or one of a newer septum, ConflictError when the directory is in use or
    not empty, DigestError when files of the backup are not what they were, StorageError when it cannot be written.
    Nothing is left behind then.
    """
    from septum.adapters.store.migrate import known_revisions, newer_schema  # Alembic: a coordinator at work needs none

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
        replace_file(part / RESTORED_NAME, dumps(to_json(Restored(manifest.made_at, manifest.epoch))))
        sync_folders(part)
        part.rename(data_dir)
        stack.pop_all()
    return manifest


def record_restored(data_dir: Path, audit: AuditLog, now: float) -> None:
    """Record that this data directory was made from a backup, if it was and nobody has recorded it yet."""
    path = data_dir / RESTORED_NAME
    if not path.exists():
        return
    found = from_json(Restored, loads(path.read_bytes()))
    about = {"made_at": utc(found.made_at), "epoch": str(found.epoch)}
    audit.append([Record(AuditKind.RESTORED, about=about)], at=now)
    path.unlink()


def _refuse_used(data_dir: Path) -> None:
    refuse_owned(data_dir, "the coordinator")
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
