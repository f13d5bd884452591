"""How is a coordinator's data directory backed up while the coordinator runs?

The order is what makes it one moment. While the database can take no commit, the payloads and optimizer states of that
moment are linked or opened: the coordinator removes such files only after a later commit. Then the database is copied
as it was at that moment, and then the models, which no commit removes: every model that the copy knows is there.
Bytes that never change (blobs) are hard links where the backup is on the same file system, copies elsewhere; all of
them are read and compared with their digest. Where the directory is a cache of what is in S3, the rest is taken there.
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
from septum.adapters.blobs.s3 import is_key
from septum.adapters.blobs.s3_bucket import Bucket
from septum.adapters.blobs.writing import digest_of_source
from septum.adapters.ownership import LOCK_NAME
from septum.adapters.sealing.keys import Keys, run_key
from septum.adapters.sealing.segments import FileKey, is_sealed, open_sealed
from septum.adapters.store.migrate import known_revisions, newer_schema
from septum.adapters.store.open import DATABASE_NAME, MOVED_NAME, need_driver
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.store.snapshot import Needs, Salts, Snapshot, copy_database, needs_of, salts_of
from septum.adapters.telemetry.file import FILE_NAME as TELEMETRY_NAME
from septum.coordinator.areas import (
    EARLIER_MODELS,
    MODELS,
    SILO_MODELS,
    models_area,
    optimizer_area,
    run_of,
    silo_models_area,
    spool_area,
)
from septum.coordinator.backup_files import (
    Entry,
    Manifest,
    copy_open,
    entry_of,
    make_folders,
    open_file,
    private,
    translated,
    write_manifest,
)
from septum.errors import ConfigError, ConflictError, DigestError, NotFoundError

BLOBS = "blobs"
_ENDS = ("", "-wal", "-shm", "-journal")
_LEFT_OUT = {
    LOCK_NAME,
    BLOBS,
    MOVED_NAME,
    *(f"{name}{end}" for name in (DATABASE_NAME, TELEMETRY_NAME) for end in _ENDS),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where blobs are, beside the data directory, and how they lie there.

    bucket  they are kept there, and the directory is a cache
    key     what sealed ones are under; they are copied as they lie there, and opened only to be looked at
    """

    bucket: Bucket | None = None
    key: FileKey | None = None


HERE = Sources()


def back_up(
    data_dir: Path,
    target: Path,
    now: float,
    note: Callable[[str], None] = lambda _: None,
    address: PostgresAddress | None = None,
    blobs: Sources = HERE,
) -> Manifest:
    """Copy the coordinator's data directory into the new folder `target`; what is in it then.

    `now` is Unix time. `note` hears what is being done. `address`: of its database, where that is in PostgreSQL.
    `blobs`: what else there is to know of where its blobs are.

    Raises ConfigError where there is no coordinator's data or it is of a newer septum, ConflictError when there is
    something at `target`, StorageError when it cannot be read or written. Nothing is left behind then.
    """
    _refuse_target(data_dir, target)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    with translated(f"back up {data_dir} into {target}"), ExitStack() as stack:
        part.mkdir(mode=0o700, parents=True)
        stack.callback(shutil.rmtree, part, ignore_errors=True)
        making = _Making(data_dir, part, blobs.key)
        snapshot = _copy_database(data_dir, address, part / DATABASE_NAME, making.hold_volatile)
        if snapshot.schema not in known_revisions():
            raise newer_schema(f"the database in {data_dir}", snapshot.schema, "")
        making.know(salts_of(part / DATABASE_NAME))
        note(f"the database is copied; {len(making.held)} payloads and optimizer states are held")
        making.take_held()
        note("copying the models")
        making.take_models()
        if blobs.bucket is not None:
            note(f"fetching what is in {blobs.bucket.place.url} alone")
            making.take_from(blobs.bucket)
        making.take_others()
        making.files[DATABASE_NAME] = entry_of(part / DATABASE_NAME)
        manifest = Manifest(now, __version__, snapshot.schema, snapshot.epoch, making.files, making.missing())
        write_manifest(part, manifest)
        part.rename(target)
        stack.pop_all()
    return manifest


def _copy_database(
    data_dir: Path, address: PostgresAddress | None, target: Path, while_still: Callable[[], None]
) -> Snapshot:
    if address is None:
        return copy_database(data_dir / DATABASE_NAME, target, while_still)
    need_driver()
    from septum.adapters.store.server_snapshot import copy_server  # an optional extra

    return copy_server(address, target, while_still)


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
    salts    of the runs of that moment, from the copied database
    """

    data_dir: Path
    part: Path
    key: FileKey | None
    held: dict[str, int | None] = field(default_factory=dict)
    files: dict[str, Entry] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    salts: Salts = field(default=Salts(None, frozenset()))

    def know(self, salts: Salts) -> None:
        """What the copied database says of the runs' keys."""
        self.salts = salts

    def hold_volatile(self) -> None:
        """Link or open every blob that a later commit may remove. Short: nobody can commit meanwhile."""
        _allow_many_files()
        for path in _blobs(self.data_dir / BLOBS):
            if not _stays(path.parts[0]):
                with suppress(FileNotFoundError):  # being removed: it is of an earlier moment
                    self.held[str(BLOBS / path)] = self._link_or_open(BLOBS / path)

    def take_held(self) -> None:
        """Copy what could not be linked, and check everything that was held."""
        for name, descriptor in self.held.items():
            self._take_blob(name, descriptor)

    def take_models(self) -> None:
        """Models stay for good, and what silos sent where a run keeps it: they need not be held first."""
        for area in filter(_stays, _names(self.data_dir / BLOBS)):
            for path in _blobs(self.data_dir / BLOBS, area):
                with suppress(FileNotFoundError):  # pruned or shredded now; if it is needed, it is named as missing
                    self._take_blob(str(BLOBS / path), self._link_or_open(BLOBS / path))

    def take_from(self, bucket: Bucket) -> None:
        """What is kept elsewhere and not here. What was removed there meanwhile is of an earlier moment."""
        for key, _ in bucket.sizes():
            name = f"{BLOBS}/{key}"
            if is_key(key) and name not in self.files:
                with suppress(NotFoundError):
                    self._fetch(bucket, key, self.part / name)
                    self.damaged.discard(name)  # of what rotted here alone
                    self._take_blob(name, None)

    def _fetch(self, bucket: Bucket, key: str, target: Path) -> None:
        make_folders(target.parent)
        try:
            with open(target, "xb", buffering=0, opener=private) as file:
                for chunk in bucket.chunks(key):
                    file.write(chunk)
                os.fsync(file.fileno())
        except NotFoundError:
            target.unlink()
            raise

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
        every = (needs for needs in needs_of(self.part / DATABASE_NAME) if needs.run not in self.salts.shredded)
        needed = {str(path) for needs in every for path in _paths(needs)}
        gone = {path for path in needed - self.files.keys() if _earlier(path) not in self.files}
        return tuple(sorted(gone | self.damaged))

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
        run = run_of(target.parts[-3])
        if run and self.salts.leave_out(run):  # a kill left it, or it was made since
            if descriptor is not None:
                os.close(descriptor)
            target.unlink(missing_ok=True)
            return
        entry = entry_of(target) if descriptor is None else copy_open(descriptor, target)
        if entry.digest == f"blake3:{target.name}" or self._opens(target):
            self.files[name] = replace(entry, mode="0600")
        else:
            target.unlink()
            self.damaged.add(name)

    def _opens(self, path: Path) -> bool:
        """Whether a file in the backup is sealed, and holds the bytes of its name."""
        if self.key is None:
            return False
        descriptor = open_file(path)
        try:
            return is_sealed(descriptor) and _is_of(descriptor, Keys(self.key, self._own), path)
        finally:
            os.close(descriptor)

    def _own(self, area: str) -> FileKey | None:
        salt = (self.salts.of_run or {}).get(run_of(area))
        return None if salt is None or self.key is None else run_key(self.key, run_of(area), salt)


def _is_of(descriptor: int, keys: Keys, path: Path) -> bool:
    try:
        key = keys.of(path.parts[-3], descriptor)
        source = open_sealed(descriptor, key, bytes.fromhex(path.name), path).source
        return digest_of_source(source).raw.hex() == path.name
    except (DigestError, ValueError):
        return False


def _stays(area: str) -> bool:
    """Whether no commit removes what is in an area of blobs."""
    return area == EARLIER_MODELS or area.startswith((MODELS, SILO_MODELS))


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
    areas = {
        models_area(needs.run): needs.models,
        spool_area(needs.run): needs.payloads,
        optimizer_area(needs.run): needs.optimizers,
        silo_models_area(needs.run): needs.updates,
    }
    for area, digests in areas.items():
        for digest in digests:
            name = digest.partition(":")[2]
            yield Path(BLOBS, area, name[:2], name)


def _earlier(path: str) -> str:
    """Where a run's model lies in a directory that no coordinator of today has served yet; else what it was given."""
    blobs, area, *rest = path.split("/")
    return "/".join((blobs, EARLIER_MODELS if area.startswith(MODELS) else area, *rest))


def _allow_many_files() -> None:
    """On another file system each payload is held open until it is copied."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
