"""What does an app need besides septum and numpy? Wheels, each locked by version and hash in pip's own format.

A lock is a requirements file of pins: `name==version --hash=sha256:...`. Wheels alone: building one would run code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.errors import AppError, ConfigError

WHEELS_FOLDER = "wheels"  # beside the app, not part of its folder's digest
MAX_LOCK_BYTES = 1024 * 1024
PROVIDED = ("septum", "numpy", "pip", "setuptools")  # by the silo: two of them in one process would not be one

_PIN = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)((?:\s+--hash=sha256:[0-9a-f]{64})+)", re.ASCII
)
_WHEEL = re.compile(r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl", re.ASCII)
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?:(?:==|!=|<=|>=|<|>)[0-9][0-9.]*(?:,(?:==|!=|<=|>=|<|>)[0-9][0-9.]*)*)?", re.ASCII
)
Pins = frozenset[tuple[str, str, str]]
_WHEELS_ONLY = "wheels only: pip download --only-binary=:all:"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A locked dependency. `name` is normalised (PEP 503), `sha256` in hex, `file` its name in wheels/."""

    name: str
    version: str
    file: str
    sha256: str
    size_bytes: int


def lock_in(files: Mapping[str, bytes], lock: str) -> Pins:
    """Name, version and hash of everything that an app's lock pins; nothing for an app without one.

    Raises ConfigError for a line that is no pin with a hash, and for what the silo provides.
    """
    if not lock:
        return frozenset()
    if lock not in files:
        raise ConfigError(f"there is no {lock}, which [dependencies] names as the lock", hint="septum app lock APP_DIR")
    data = files[lock]
    if len(data) > MAX_LOCK_BYTES:
        raise ConfigError(f"{lock} has {len(data)} bytes, at most {MAX_LOCK_BYTES}")
    pins: set[tuple[str, str, str]] = set()
    text = re.sub(r"\\\r?\n", " ", data.decode("utf-8", "replace"))
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        match = _PIN.fullmatch(line)
        if match is None:
            raise ConfigError(
                f"{lock}, line {number}: {line[:100]!r} is no pin with a hash", hint="septum app lock APP_DIR"
            )
        name = normalised(match[1])
        if name in PROVIDED:
            raise ConfigError(f"{lock} pins {name}, which the silo itself provides", hint=f"take {name} out of it")
        pins |= {(name, match[2], one.partition("sha256:")[2]) for one in match[3].split()}
    return frozenset(pins)


def check_wheels(folder: Path, lock: str, files: Mapping[str, bytes]) -> tuple[Wheel, ...]:
    """The wheels beside an app, by file name, if they are those that its lock pins.

    Raises AppError naming a wheel that is missing, not locked, or of another hash; ConfigError as `lock_in`.
    """
    pins = lock_in(files, lock)
    places = sorted((folder / WHEELS_FOLDER).glob("*")) if (folder / WHEELS_FOLDER).is_dir() else []
    wheels = tuple(wheel_at(path) for path in places)
    check_locked(lock, pins, wheels, hint=f"septum app lock {folder}")
    return wheels


def check_requirement(where: str, text: object) -> None:
    """Raise ConfigError unless `text` is NAME, or NAME with versions, such as torch>=2.2,<3."""
    if not isinstance(text, str) or not _REQUIREMENT.fullmatch(text):
        raise ConfigError(f"{where}: preinstalled has {text!r}", hint='write: preinstalled = ["torch>=2.2"]')


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it.

    >>> normalised("Scikit_Learn")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def wheel_at(path: Path) -> Wheel:
    """The wheel in a file. Raises AppError for another file."""
    if path.is_symlink() or not path.is_file():
        raise AppError(f"{path} is no wheel", hint=_WHEELS_ONLY)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return wheel_named(path.name, digest, path.stat().st_size)


def wheel_named(file: str, sha256: str, size_bytes: int) -> Wheel:
    """The wheel that a file of this name is. Raises AppError for another file."""
    match = _WHEEL.fullmatch(file)
    if match is None:
        raise AppError(f"{file[:200]!r} is no wheel", hint=_WHEELS_ONLY)
    return Wheel(normalised(match[1]), match[2], file, sha256, size_bytes)


def check_locked(lock: str, pins: Pins, wheels: Sequence[Wheel], hint: str) -> None:
    """Raise AppError unless these wheels are those that a lock pins: each of them, and none besides."""
    for wheel in wheels:
        if (wheel.name, wheel.version, wheel.sha256) not in pins:
            known = sorted({f"{name}=={version}" for name, version, _ in pins if name == wheel.name})
            why = f"the lock has {known[0]} with other hashes" if known else "the lock does not name it"
            raise AppError(f"{WHEELS_FOLDER}/{wheel.file}: {why}", hint=hint)
    missing = sorted({f"{name}=={version}" for name, version, _ in pins} - {f"{w.name}=={w.version}" for w in wheels})
    if missing:
        raise AppError(f"{lock} pins {missing[0]}, and {WHEELS_FOLDER}/ has no such wheel", hint=hint)
