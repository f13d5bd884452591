"""How is a coordinator's data directory backed up while the coordinator runs?

The order is what makes it one moment. While the database can take no commit, the payloads and optimizer states of that
moment are linked or opened: the coordinator removes such files only after a later commit. Then the database is copied
as it was at that moment, and then the models, which are never removed: every model that the copy knows is there.
Bytes that never change (blobs) are hard links where the backup is on the same file system, copies elsewhere; all of
them are read and compared with their digest.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from septum import __version__
from septum.adapters.store.lock import LOCK_NAME
from septum.adapters.store.migrate import known_revisions, newer_schema
from septum.adapters.store.snapshot import Needs, copy_database, needs_of
from septum.adapters.store.sqlite import DATABASE_NAME
from septum.adapters.telemetry.file import FILE_NAME as TELEMETRY_NAME
from septum.coordinator.backup_files import (
    Entry,
    Manifest,
    copy_open,
    entry_of,
    make_folders,
    open_file,
    translated,
    write_manifest,
)
from septum.coordinator.combining import optimizer_area
from septum.coordinator.shelf import AREA as MODELS
from septum.coordinator.spool import spool_area
from septum.errors import ConfigError, ConflictError

BLOBS = "blobs"
_ENDS = ("", "-wal", "-shm", "-journal")
_LEFT_OUT = {LOCK_NAME, BLOBS, *(f"{name}{end}" for name in (DATABASE_NAME, TELEMETRY_NAME) for end in _ENDS)}


def back_up(data_dir: Path, target: Path, now: float, note: Callable[[str], None] = lambda _: None) -> Manifest:
    """Copy the coordinator's data directory into the new folder `target`; what is in it then.

    `now` is Unix time. `note` hears what is being done.

    Raises ConfigError where there is no coordinator's data or it is of a newer septum, ConflictError when there is
    something at `target`, StorageError when it cannot be read or written. Nothing is left behind then.
    """
    _refuse_target(data_dir, target)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    with translated(f"back up {data_dir} into {target}"), ExitStack() as stack:
        part.mkdir(mode=0o700, parents=True)
        stack.callback(shutil.rmtree, part, ignore_errors=True)
        making = _Making(data_dir, part)
        snapshot = copy_database(data_dir / DATABASE_NAME, part / DATABASE_NAME, making.hold_volatile)
        if snapshot.schema not in known_revisions():
            raise newer_schema(f"the database in {data_dir}", snapshot.schema, "")
        note(f"the database is copied; {len(making.held)} payloads and optimizer states are held")
        making.take_held()
        note("copying the models")
        making.take_models()
        making.take_others()
        making.files[DATABASE_NAME] = entry_of(part / DATABASE_NAME)
        manifest = Manifest(now, __version__, snapshot.schema, snapshot.epoch, making.files, making.missing())
        write_manifest(part, manifest)
        part.rename(target)
        stack.pop_all()
    return manifest


def _refuse_target(data_dir: Path, target: Path) -> None:
    if target.resolve().is_relative_to(data_dir.resolve()):
        raise ConfigError(f"the backup {target} would lie inside {data_dir} itself", hint="name a folder elsewhere")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConflictError(f"there is something at {target} already", hint="name a new folder for each backup")


@dataclass(slots=True)
class _Making:
    """A backup on its way.

    held     blobs of the chosen moment that are not in the backup yet, by path, open
    files    what is in the backup
    damaged  blobs whose bytes are not those of their name
    """

    data_dir: Path
    part: Path
    held: dict[str, int | None] = field(default_factory=dict)
    files: dict[str, Entry] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)

    def hold_volatile(self) -> None:
        """Link or open every blob that a later commit may remove. Short: nobody can commit meanwhile."""
        _allow_many_files()
        for path in _blobs(self.data_dir / BLOBS):
            if path.parts[0] != MODELS:
                with suppress(FileNotFoundError):  # being removed: it is of an earlier moment
                    self.held[str(BLOBS / path)] = self._link_or_open(BLOBS / path)

    def take_held(self) -> None:
        """Copy what could not be linked, and check everything that was held."""
        for name, descriptor in self.held.items():
            self._take_blob(name, descriptor)

    def take_models(self) -> None:
        """Models stay for good, so they need not be held first."""
        for path in _blobs(self.data_dir / BLOBS, MODELS):
            self._take_blob(str(BLOBS / path), self._link_or_open(BLOBS / path))

    def take_others(self) -> None:
        """Certificates, the operator's access, settings: whatever else lies there.

        But no temporary files, nor the file of logs and loads, which is written all the time and which no run needs.
        """
        for folder, folders, names in os.walk(self.data_dir, followlinks=True):
            here = Path(folder).relative_to(self.data_dir)
            left_out = _LEFT_OUT if here == Path() else set()
            folders[:] = sorted(name for name in folders if name not in left_out and not name.startswith("."))
            for name in sorted(names):
                if name not in left_out and not name.startswith(".") and (Path(folder) / name).is_file():
                    self.files[str(here / name)] = copy_open(open_file(Path(folder) / name), self.part / here / name)

    def missing(self) -> tuple[str, ...]:
        """Blobs that the copied database refers to, and that are not in the backup."""
        needed = {str(path) for needs in needs_of(self.part / DATABASE_NAME) for path in _paths(needs)}
        return tuple(sorted((needed - self.files.keys()) | self.damaged))

    def _link_or_open(self, path: Path) -> int | None:
        target = self.part / path
        make_folders(target.parent)
        source = self.data_dir / path
        if source.stat().st_mode & 0o077:  # a link would have this mode, too
            return open_file(source)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without links
            return open_file(source)
        return None

    def _take_blob(self, name: str, descriptor: int | None) -> None:
        target = self.part / name
        entry = entry_of(target) if descriptor is None else copy_open(descriptor, target)
        if entry.digest == f"blake3:{target.name}":
            self.files[name] = replace(entry, mode="0600")
        else:
            target.unlink()
            self.damaged.add(name)


def _blobs(root: Path, *areas: str) -> Iterator[Path]:
    """Every blob of these areas (all, if none is named), relative to `root`. Names with a dot are uploads under way."""
    for area in areas or tuple(_names(root)):
        for shard in _names(root / area):
            for name in _names(root / area / shard):
                yield Path(area, shard, name)


def _names(folder: Path) -> Iterable[str]:
    with suppress(FileNotFoundError, NotADirectoryError):  # an area may be dropped meanwhile
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return ()


def _paths(needs: Needs) -> Iterator[Path]:
    areas = {MODELS: needs.models, spool_area(needs.run): needs.payloads, optimizer_area(needs.run): needs.optimizers}
    for area, digests in areas.items():
        for digest in digests:
            name = digest.partition(":")[2]
            yield Path(BLOBS, area, name[:2], name)


def _allow_many_files() -> None:
    """On another file system each payload is held open until it is copied."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
