"""What is a built app? One file, NAME-VERSION.septum: the app's folder, its locked wheels, and what it says of itself.

    septum-package.json   this page's Package as canonical JSON
    app/...               the app's folder, as `package.digest_of` takes it
    wheels/...            its dependencies, locked by hash; septum and numpy are the silo's own

The same folder and wheels give the same bytes. A silo approves the SHA-256 of the file. Reading one verifies all of it
before anything is written, and runs nothing of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import tokenize
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, cast

from septum.algorithms.partition import check_patterns
from septum.errors import AppError, ConfigError, SeptumError, StorageError, TooLargeError
from septum.sdk import stored_zip
from septum.sdk.contract import Column, read_columns
from septum.sdk.hyper import HyperField, fields_in, schema_of
from septum.sdk.package import (
    BESIDE,
    MANIFEST,
    MAX_BYTES,
    MAX_FILES,
    Manifest,
    digest_of_files,
    parse_manifest,
    read_files,
    read_resources,
)
from septum.sdk.requirements import Wheel, check_locked, check_wheels, lock_in, wheel_named

SUFFIX = ".septum"
FORMAT = 1
MAX_MANIFEST_BYTES = 1024 * 1024
_DESCRIPTION = "septum-package.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)
_KEYS = ("format", "name", "version", "tree", "hyper", "columns", "leaves", "presets", "wheels", "preinstalled")
_PRIVATE = "private"  # like the next ones
_RESOURCES = "resources"
_MASKED = "masked"  # a key that is there when it names something: what was built before has the bytes that it had
_OPTIONAL = frozenset({_MASKED, _PRIVATE, _RESOURCES})


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was verified.

    digest       sha256: of the file
    tree         digest of the app's folder in it
    name         of the app, as its app.py says
    manifest     its septum.toml
    fields       its hyper-parameters
    wheels       its dependencies
    preinstalled requirements that a silo has to meet itself
    members      what the file holds
    """

    path: Path
    digest: str
    tree: str
    name: str
    manifest: Manifest
    fields: tuple[HyperField, ...]
    wheels: tuple[Wheel, ...]
    preinstalled: tuple[str, ...]
    members: tuple[stored_zip.Member, ...]

    @property
    def version(self) -> str:
        """The app's version."""
        return self.manifest.version

    def file(self, name: str) -> bytes:
        """A file of the app, by its name in the app's folder. Raises AppError."""
        return _bytes(self.path, _find(self.members, f"app/{name}"))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the app's files."""
        return tuple(one.name.removeprefix("app/") for one in self.members if one.name.startswith("app/"))


def build(folder: Path, name: str, fields: Sequence[HyperField], out: Path) -> Package:
    """Write the package of an app's folder into the folder `out`. `name` and `fields` are what its app.py says.

    Raises AppError, ConfigError: a lock and wheels that do not fit, a name that no package can have.
    """
    files = read_files(folder)
    manifest = parse_manifest(files.get(MANIFEST, b""), f"{folder / MANIFEST}")
    if not _NAME.fullmatch(name):
        raise AppError(f"{name!r} is no name for a package: letters, digits and _ . - after a letter or digit")
    wheels = check_wheels(folder, manifest.lock, files)
    description = _description(name, manifest, fields, wheels, digest_of_files(files))
    target = out / f"{name}-{manifest.version}{SUFFIX}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _built(folder, files, description, wheels, target)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror}", hint=f"ls -ld {out}; df -h {out}"
        ) from error


def _built(
    folder: Path, files: Mapping[str, bytes], description: bytes, wheels: Sequence[Wheel], target: Path
) -> Package:
    """The package, put into its place once it was read back and found to be sound."""
    with ExitStack() as stack:
        part = stack.enter_context(
            tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part", delete=False)
        )
        stack.callback(Path(part.name).unlink, missing_ok=True)
        opened = [
            (f"wheels/{wheel.file}", stack.enter_context((folder / "wheels" / wheel.file).open("rb")))
            for wheel in wheels
        ]
        members: list[tuple[str, bytes | IO[bytes]]] = [(_DESCRIPTION, description)]
        members += [(f"app/{path}", content) for path, content in files.items()]
        stored_zip.write(cast("IO[bytes]", part), [*members, *opened])
        part.flush()
        package = _read(target, cast("IO[bytes]", part), os.fstat(part.fileno()).st_size)
        os.chmod(part.name, 0o644)
        os.replace(part.name, target)
    return package


def read_package(path: Path) -> Package:
    """A package, all of it verified. Raises AppError naming the file and what is wrong, TooLargeError."""
    try:
        with path.open("rb") as file:
            return read_opened(file, os.fstat(file.fileno()).st_size, path)
    except OSError as error:
        raise AppError(f"{path} cannot be read: {error.strerror}", hint="septum app build APP_DIR") from error


def read_opened(file: stored_zip.Source, size_bytes: int, path: Path) -> Package:
    """The package in an open file of so many bytes, as `read_package` does; `path`: where it lies, or its name."""
    try:
        return _read(path, file, size_bytes)
    except SeptumError as error:
        raise type(error)(f"{path.name}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class Description:
    """What a package says of itself, enough to plan a run of it: none of its code. `columns`: its data contract."""

    name: str
    version: str
    fields: tuple[HyperField, ...]
    presets: Mapping[str, Mapping[str, object]]
    columns: Mapping[str, Column]
    masked: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    resources: Mapping[str, float] = field(default_factory=dict)


def description_in(path: Path) -> bytes:
    """The description, canonical JSON, in a package that was verified when it came."""
    with path.open("rb") as file:
        return description_of(file, os.fstat(file.fileno()).st_size)


def description_of(file: stored_zip.Source, size_bytes: int) -> bytes:
    """The description in the open file, of so many bytes, of such a package."""
    return _whole(file, stored_zip.first(file, size_bytes))


def read_description(data: bytes) -> Description:
    """What a description says. Raises AppError."""
    content = _json(data)
    name, fields = _hyper(content)
    version, presets = content["version"], content["presets"]
    if not isinstance(version, str) or not isinstance(presets, dict):
        raise AppError(f"{_DESCRIPTION} has no version, or no presets")
    if not all(isinstance(values, dict) for values in presets.values()):
        raise AppError(f"{_DESCRIPTION} has a preset that is no table")
    columns, masked = content["columns"], content.get(_MASKED, [])
    if not isinstance(columns, dict):
        raise AppError(f"{_DESCRIPTION} has columns that are no table")
    if not isinstance(masked, list) or not all(isinstance(one, str) for one in masked):
        raise AppError(f"{_DESCRIPTION}: {_MASKED} is no list of texts")
    private = content.get(_PRIVATE, [])
    if not isinstance(private, list):
        raise AppError(f"{_DESCRIPTION} has private patterns that are no list")
    contract = read_columns(_DESCRIPTION, {"columns": columns})
    own = check_patterns(_DESCRIPTION, private)
    resources = content.get(_RESOURCES, {})
    if not isinstance(resources, dict):
        raise AppError(f"{_DESCRIPTION} has resources that are no table")
    taken = read_resources(_DESCRIPTION, resources)
    return Description(name, version, fields, presets, contract, tuple(masked), own, taken)


def unpack(package: Package, target: Path) -> None:
    """Write a package's files below `target`, read-only, whole or not at all. Raises AppError when it has changed."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with package.path.open("rb") as file:
            for member in package.members:
                _write(part / member.name, file, member)
        _freeze(part)
        _check_tree(part / "app", package)
        part.rename(target)
        os.chmod(target, 0o500)
    except BaseException:
        remove(part)
        raise


def remove(folder: Path) -> None:
    """Delete an unpacked package. It is away at once, whatever becomes of the process meanwhile."""
    if not folder.exists():
        return
    going = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    folder.rename(going)
    for path, folders, _ in os.walk(going):
        for name in ["", *folders]:
            if not os.path.islink(os.path.join(path, name)):
                os.chmod(os.path.join(path, name), 0o700)
    shutil.rmtree(going, ignore_errors=True)


def _read(path: Path, file: stored_zip.Source, size_bytes: int) -> Package:
    came, whole = _Contents(), stored_zip.Hashed(file)
    members = stored_zip.read(whole, size_bytes, came.sink_of)
    _check_order([member.name for member in members])
    said = b"".join(came.description)
    description = _json(said)
    files = {name: b"".join(blocks) for name, blocks in came.app.items()}
    _check_sources(files)
    try:
        manifest = parse_manifest(files.get(MANIFEST, b""), f"app/{MANIFEST}")
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, lists in lists in lists
        raise AppError(f"app/{MANIFEST} cannot be read: {error}") from error
    name, fields = _hyper(description)
    tree = digest_of_files(files)
    wheels = tuple(
        wheel_named(one.name.removeprefix("wheels/"), came.wheels[one.name].hexdigest(), one.size_bytes)
        for one in members
        if one.name in came.wheels
    )
    check_locked(manifest.lock, lock_in(files, manifest.lock), wheels, hint="fetch the package again from its author")
    if _description(name, manifest, fields, wheels, tree) != said:
        raise AppError(f"{_DESCRIPTION} does not say what is in the package: it was changed after it was built")
    return Package(path, whole.digest, tree, name, manifest, fields, wheels, manifest.preinstalled, members)


class _Contents:
    """What has come of a package's members: bytes of the description and the app, digests of wheels."""

    def __init__(self) -> None:
        self.description: list[bytes] = []
        self.app: dict[str, list[bytes]] = {}
        self.wheels: dict[str, hashlib._Hash] = {}
        self._left_bytes = MAX_BYTES

    def sink_of(self, member: stored_zip.Member) -> stored_zip.Sink | None:
        """What takes a member's bytes. Raises TooLargeError before they are read."""
        if member.name == _DESCRIPTION:
            _check_size(member, MAX_MANIFEST_BYTES)
            return self.description.append
        if member.name.startswith("wheels/"):
            made = self.wheels[member.name] = hashlib.sha256()
            return made.update
        if not member.name.startswith("app/"):
            return None
        self._left_bytes -= member.size_bytes
        if len(self.app) == MAX_FILES or self._left_bytes < 0:
            raise TooLargeError(f"an app of more than {MAX_FILES} files or {MAX_BYTES} bytes")
        blocks = self.app[member.name.removeprefix("app/")] = []
        return blocks.append


def _check_sources(files: Mapping[str, bytes]) -> None:
    """Python may be told to read a source otherwise than people do: in some encodings a comment holds lines of code."""
    for name, content in files.items():
        if not name.endswith(".py"):
            continue
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
            content.decode()
        except (SyntaxError, UnicodeDecodeError) as error:
            raise AppError(f"app/{name} is not UTF-8: {error}", hint="save it as UTF-8") from error
        if encoding not in ("utf-8", "utf-8-sig"):
            raise AppError(f"app/{name} declares the encoding {encoding}, not UTF-8", hint="save it as UTF-8")


def _description(
    name: str, manifest: Manifest, fields: Sequence[HyperField], wheels: Sequence[Wheel], tree: str
) -> bytes:
    content: dict[str, object] = {
        "format": FORMAT,
        "name": name,
        "version": manifest.version,
        "tree": tree,
        "hyper": schema_of(fields, name),
        "columns": {column: _column(one) for column, one in manifest.columns.items()},
        "leaves": list(manifest.leaves),
        "presets": {preset: dict(values) for preset, values in manifest.presets.items()},
        "wheels": [asdict(wheel) for wheel in wheels],
        "preinstalled": list(manifest.preinstalled),
    }
    assert tuple(content) == _KEYS
    if manifest.masked:
        content[_MASKED] = list(manifest.masked)
    if manifest.private:  # left out where there is none: packages of before keep their bytes
        content[_PRIVATE] = list(manifest.private)
    if manifest.resources:
        content[_RESOURCES] = dict(manifest.resources)
    try:
        data = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{MANIFEST}: a preset holds what JSON cannot: {error}") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise TooLargeError(f"the package's description has {len(data)} bytes, at most {MAX_MANIFEST_BYTES}")
    return data


def _column(column: Column) -> dict[str, object]:
    return {
        "role": column.role.value,
        "type": column.kind.value,
        "unit": column.unit,
        "min": column.minimum,
        "max": column.maximum,
        "codes": {f"{code:g}": means for code, means in column.codes.items()},
        "missing": list(column.missing),
        "about": column.about,
    }


def _json(data: bytes) -> Mapping[str, object]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AppError(f"{_DESCRIPTION} is no JSON: {error}") from error
    if not isinstance(content, dict) or {*content} - _OPTIONAL != {*_KEYS} or content["format"] != FORMAT:
        raise AppError(f"{_DESCRIPTION} is not of format {FORMAT}", hint="the package was built by another septum")
    if not isinstance(content["name"], str) or not _NAME.fullmatch(content["name"]):
        raise AppError(f"{str(content['name'])[:100]!r} is no name for a package")
    return content


def _hyper(description: Mapping[str, object]) -> tuple[str, tuple[HyperField, ...]]:
    name, schema = str(description["name"]), description["hyper"]
    if not isinstance(schema, dict):
        raise AppError(f"{_DESCRIPTION} has no schema of hyper-parameters")
    return name, fields_in(schema, name)


def _check_order(names: list[str]) -> None:
    app = [name for name in names if name.startswith("app/")]
    wheels = [name for name in names if name.startswith("wheels/")]
    if names != [_DESCRIPTION, *sorted(app), *sorted(wheels)]:
        raise AppError(f"a package holds {_DESCRIPTION}, then app/ and wheels/ by name, and nothing else")
    if any("/" in name.removeprefix("wheels/") for name in wheels):
        raise AppError("wheels/ holds wheels, and no folders")
    for name in app:
        parts = name.split("/")[1:]
        if "__pycache__" in parts or name.endswith(".pyc") or (len(parts) > 1 and parts[0] in BESIDE):
            raise AppError(f"{name} is no part of an app: it would not be in its digest")


def _find(members: Sequence[stored_zip.Member], name: str) -> stored_zip.Member:
    for member in members:
        if member.name == name:
            return member
    raise AppError(f"there is no {name} in the package")


def _bytes(path: Path, member: stored_zip.Member) -> bytes:
    with path.open("rb") as file:
        return _whole(file, member)


def _whole(file: stored_zip.Source, member: stored_zip.Member, limit: int = MAX_BYTES) -> bytes:
    _check_size(member, limit)
    return b"".join(stored_zip.content(file, member))


def _check_size(member: stored_zip.Member, limit: int) -> None:
    if member.size_bytes > limit:
        raise TooLargeError(f"{member.name} has {member.size_bytes} bytes, at most {limit}")


def _write(path: Path, file: IO[bytes], member: stored_zip.Member) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)) as out:
        for block in stored_zip.content(file, member):
            out.write(block)


def _check_tree(folder: Path, package: Package) -> None:
    if digest_of_files(read_files(folder)) != package.tree:
        raise AppError(f"{package.path.name} changed while it was unpacked")


def _freeze(folder: Path) -> None:
    """Nobody may write there, not even the owner by mistake."""
    for path, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.chmod(os.path.join(path, name), 0o400)
        for name in folders:
            os.chmod(os.path.join(path, name), 0o500)
