"""What is in an app's folder: which manifest, which digest, which App?

The digest covers every byte that can run: the modules are executed from the very bytes that were digested, never from a
`__pycache__`. Reading manifest and digest imports neither the app nor numpy; a silo's agent does it before consent.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import stat
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType

from septum.algorithms.partition import check_patterns
from septum.errors import AppError, ConfigError, SeptumError, TooLargeError
from septum.sdk.app import App
from septum.sdk.contract import Column, Role, known_keys, read_columns
from septum.sdk.leaves import check_leaves, read_leaves
from septum.sdk.private_loss import PrivateLoss, read_private_loss
from septum.sdk.requirements import WHEELS_FOLDER, check_requirement

MANIFEST = "septum.toml"
DATA_FOLDER = "data"
BESIDE = (DATA_FOLDER, WHEELS_FOLDER, "dist")  # folders that may lie beside the app, and are never part of it
MAX_FILES = 2_000  # an app is code that a steward reads
MAX_BYTES = 64 * 1024 * 1024
MODULE_PREFIX = "_septum_app_"  # of the names under which apps' modules are imported

_ENTRY = re.compile(r"[A-Za-z_]\w*:[A-Za-z_]\w*", re.ASCII)
_RESOURCES = {"cpus": False, "memory_mb": True, "gpus": True}  # by name, whether it is a whole number
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]*")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`septum.toml`: what a steward reads before saying yes. Columns are in the order of the file.

    leaves        all that leaves a silo with it
    masked        what of that leaves only inside a sum under masks
    lock          the file with the app's pinned dependencies; empty for none
    preinstalled  requirements that a silo has to meet itself
    trains        what septum trains by itself where that is to be differentially private; None: it cannot
    private       patterns of the names of the parameters that never leave a silo
    resources     what a run of it takes in each silo, by the names of `protocol.resources.Resources`
    """

    module: str
    attribute: str
    version: str
    columns: Mapping[str, Column]
    leaves: tuple[str, ...]
    presets: Mapping[str, Mapping[str, object]]
    lock: str = ""
    preinstalled: tuple[str, ...] = ()
    trains: PrivateLoss | None = None
    masked: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def missing(self) -> dict[str, tuple[str | float, ...]]:
        """The markers of missing values by column, as `read_csv` takes them."""
        return {name: column.missing for name, column in self.columns.items()}

    @property
    def target(self) -> str:
        """The name of the target column."""
        return next(name for name, column in self.columns.items() if column.role is Role.TARGET)


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app that can run: every part is there, its presets are valid and its manifest names all that leaves."""

    app: App
    manifest: Manifest
    digest: str


def read_manifest(folder: Path) -> Manifest:
    """Read and check `septum.toml`; an unknown key is a ConfigError that names the nearest one."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", hint=f"an app is a folder with app.py and {MANIFEST}"
        ) from error
    try:
        return parse_manifest(data, f"{path}")
    except ConfigError as error:
        raise ConfigError(error.message, hint=error.hint or f"mend it, then: septum app digest {folder}") from error


def parse_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in some bytes; `where` is its file, for errors. Raises ConfigError."""
    try:
        content = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
    return _manifest(where, content)


def digest_of(folder: Path) -> str:
    """The `sha256:` digest of an app's folder: relative paths, sizes and bytes of its files in order of their paths.

    Left out: hidden files and folders, `__pycache__`, `*.pyc`, and the top-level folders in BESIDE. Symbolic links are
    an error, since their target is not the app's.
    """
    return digest_of_files(read_files(folder))


def load_app(folder: Path) -> LoadedApp:
    """Import the app of a folder. Its own modules are reached by relative imports (`from .model import net`)."""
    manifest = read_manifest(folder)
    files = read_files(folder)
    digest = digest_of_files(files)
    app = _import(folder, files, manifest, digest)
    app.check()
    for name, overrides in manifest.presets.items():
        try:
            app.resolve(overrides)
        except ConfigError as error:
            raise ConfigError(f"{folder / MANIFEST}, [presets.{name}]: {error.message}", hint=error.hint) from error
    with_statistics = bool(app.statistic_handles)
    check_leaves(f"{folder / MANIFEST}, [leaves]", manifest.leaves, manifest.masked, with_statistics=with_statistics)
    return LoadedApp(app, manifest, digest)


def _manifest(path: str, content: Mapping[str, object]) -> Manifest:
    known = ("app", "version", "data", "leaves", "private", "presets", "dependencies", "privacy", "resources")
    known_keys(f"{path}", content, known)
    entry = content.get("app")
    if not isinstance(entry, str) or not _ENTRY.fullmatch(entry):
        raise ConfigError(f"{path}: app is {entry!r}", hint='write: app = "app:app" (module:name)')
    version = content.get("version")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ConfigError(f"{path}: version is {version!r}", hint='write: version = "1.0.0"')
    masked, opened = read_leaves(f"{path}, [leaves]", _table(path, content, "leaves"))
    presets = _table(path, content, "presets")
    needs = _table(path, content, "dependencies")
    known_keys(f"{path}, [dependencies]", needs, ("lock", "preinstalled"))
    lock = needs.get("lock", "")
    if not isinstance(lock, str) or "/" in lock:
        raise ConfigError(f"{path}, [dependencies]: lock is {lock!r}", hint='write: lock = "requirements.lock"')
    preinstalled = _list(f"{path}, [dependencies]", "preinstalled", needs.get("preinstalled", []))
    for one in preinstalled:
        check_requirement(f"{path}, [dependencies]", one)
    module, attribute = entry.split(":")
    return Manifest(
        module=module,
        attribute=attribute,
        version=version,
        columns=read_columns(path, _table(path, content, "data")),
        leaves=(*masked, *opened),
        presets={name: _table(path, presets, name) for name in presets},
        lock=lock,
        preinstalled=tuple(str(one) for one in preinstalled),
        trains=read_private_loss(path, _table(path, content, "privacy")),
        masked=masked,
        private=_private(f"{path}, [private]", _table(path, content, "private")),
        resources=read_resources(f"{path}, [resources]", _table(path, content, "resources")),
    )


def read_resources(where: str, table: Mapping[str, object]) -> dict[str, float]:
    """What a run takes in each silo. Raises ConfigError.

    >>> read_resources("septum.toml, [resources]", {"cpus": 0.5, "memory_mb": 2000})
    {'cpus': 0.5, 'memory_mb': 2000}
    """
    known_keys(where, table, tuple(_RESOURCES))
    found: dict[str, float] = {}
    for name, value in table.items():
        whole = _RESOURCES[name]
        right = isinstance(value, int) if whole else isinstance(value, int | float)
        if not right or isinstance(value, bool) or not 0 <= float(value) < 1e12:  # type: ignore[arg-type] # a number
            wanted = "a whole number, 0 or more" if whole else "a number, 0 or more"
            raise ConfigError(f"{where}: {name} is {value!r}", hint=f"{name} is {wanted}")
        found[name] = value  # type: ignore[assignment] # a number
    return found


def _private(where: str, table: Mapping[str, object]) -> tuple[str, ...]:
    known_keys(where, table, ("parameters",))
    return check_patterns(where, _list(where, "parameters", table.get("parameters", [])))


def _table(path: str, parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = parent.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {key} is {value!r}, a table is needed")
    return value


def _list(where: str, key: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {key} is {value!r}, a list is needed")
    return value


def read_files(folder: Path) -> dict[str, bytes]:
    """The bytes of each file of an app's folder by relative POSIX path, sorted. Raises AppError, TooLargeError."""
    files: dict[str, bytes] = {}
    size_bytes = 0
    for path in _walk(folder, top=True):
        size_bytes += path.stat().st_size
        if len(files) == MAX_FILES or size_bytes > MAX_BYTES:
            raise TooLargeError(
                f"{folder}: more than {MAX_FILES} files or {MAX_BYTES} bytes",
                hint=f"only code belongs into an app; the folder {DATA_FOLDER}/ is left out",
            )
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return dict(sorted(files.items()))


def _walk(folder: Path, *, top: bool) -> list[Path]:
    found: list[Path] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise AppError(f"{folder}: cannot be read: {error.strerror}", hint=f"ls -ld {folder}") from error
    for path in entries:
        if path.name.startswith(".") or path.name == "__pycache__" or path.suffix == ".pyc":
            continue
        if top and path.name in BESIDE:
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            found += _walk(path, top=False)
        elif stat.S_ISREG(mode):
            found.append(path)
        else:
            raise AppError(f"{path}: neither a file nor a folder (a link?)", hint="put a copy of the file there")
    return found


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """The digest of an app's files, sorted by their paths."""
    digest = hashlib.sha256(b"septum-app-1\n")
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\n".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"


def _import(folder: Path, files: Mapping[str, bytes], manifest: Manifest, digest: str) -> App:
    if f"{manifest.module}.py" not in files:
        raise AppError(f"{folder}: no {manifest.module}.py, which {MANIFEST} names", hint=f"ls {folder}")
    package = f"{MODULE_PREFIX}{digest.removeprefix('sha256:')[:16]}"
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    importer = _Importer(package, folder, files, manifest.module)
    sys.meta_path[:] = [old for old in sys.meta_path if not (isinstance(old, _Importer) and old.package == package)]
    sys.meta_path.append(importer)
    try:
        module = importlib.import_module(package)
    except SeptumError:
        raise
    except Exception as error:
        siblings = {name.split("/")[0].removesuffix(".py") for name in files}
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        raise AppError(
            f"{folder / manifest.module}.py: import raised {type(error).__name__}: {error}",
            hint=f"write: from .{missing} import ..."
            if missing in siblings
            else "the traceback shows the line in the app",
        ) from error
    app = getattr(module, manifest.attribute, None)
    if not isinstance(app, App):
        raise AppError(
            f"{folder / manifest.module}.py: {manifest.attribute!r} is {type(app).__name__}, a septum.App is needed",
            hint=f'{MANIFEST} says app = "{manifest.module}:{manifest.attribute}"',
        )
    return app


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Runs an app's modules from bytes in memory, under a private name: `sys.path` and bytecode play no part."""

    def __init__(self, package: str, folder: Path, files: Mapping[str, bytes], entry: str) -> None:
        self.package = package
        self._folder = folder
        self._sources = {f"{package}": f"{entry}.py"}
        for name in files:
            if name.endswith(".py") and name != f"{entry}.py":
                dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                self._sources[f"{package}.{dotted}"] = name
        self._bytes = {name: files[name] for name in self._sources.values()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Only the modules of this app are found here."""
        del path, target
        if fullname not in self._sources:
            return None
        origin = str(self._folder / self._sources[fullname])
        spec = importlib.util.spec_from_loader(fullname, self, origin=origin, is_package=self.is_package(fullname))
        if spec is not None:
            spec.has_location = True  # gives the module its __file__, for tracebacks and data files of its own
        return spec

    def is_package(self, fullname: str) -> bool:
        """The entry module is one, so that relative imports work in it."""
        return fullname == self.package or self._sources[fullname].endswith("/__init__.py")

    def get_source(self, fullname: str) -> str:
        """The text of a module as it was digested."""
        return importlib.util.decode_source(self._bytes[self._sources[fullname]])

    def get_code(self, fullname: str) -> CodeType:
        """Compiled from the digested text, named like its file."""
        return self.source_to_code(self._bytes[self._sources[fullname]], str(self._folder / self._sources[fullname]))
