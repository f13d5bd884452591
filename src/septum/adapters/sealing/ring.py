"""Under which keys are a coordinator's secrets and blobs sealed? They lie wrapped in `secrets.json` of the directory.

The master key wraps them, and is held elsewhere; so a copy of the data directory, or a backup, opens nothing. Another
master key is put in place by wrapping the same keys anew: nothing that they seal is written again.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from septum.adapters.files import replace_file
from septum.adapters.sealing.seal import KEY_BYTES, Sealer
from septum.errors import ConfigError, MessageError
from septum.ports.sealing import KeyHolder
from septum.protocol.codec import dumps, from_json, loads, to_json

FILE_NAME = "secrets.json"
ABOUT = "the secrets in the database"
ABOUT_BLOBS = "the blobs"
SETTING = "[secrets]"


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of a data directory.

    secrets  seals the secrets in the database
    blobs    the files of blobs are sealed under it
    """

    secrets: Sealer
    blobs: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file: the wrapped keys in base64, and which master key wrapped them.

    key    of the secrets
    blobs  of the blobs; empty in a file from before they were sealed
    """

    key: str
    wrapped_by: str
    blobs: str = ""


def open_ring(data_dir: Path, holder: KeyHolder | None, *, make: bool = True) -> Ring | None:
    """The keys of a data directory; None where nobody asks for them, and nothing is sealed.

    `make`: the first time they are made. Raises ConfigError for a master key that is missing, or is another one.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        if holder is None or not make:
            return None
        _write(path, _wrapped(holder, secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)))
    kept = _read(path)
    if holder is None:
        raise ConfigError(
            f"what is in {data_dir} is sealed by {kept.wrapped_by}, and {SETTING} in coordinator.toml names no key",
            hint=f"{SETTING}, with key_file, key_command or kms_key, as it was",
        )
    key, blobs = _opened(path, kept, holder)
    if not kept.blobs and make:
        _write(path, _wrapped(holder, key, blobs))
    return Ring(Sealer(key), blobs)


def rewrap(data_dir: Path, holder: KeyHolder, new: KeyHolder) -> None:
    """Wrap the keys with another master key. Raises ConfigError where there are none, or `holder` is another one."""
    path = data_dir / FILE_NAME
    if not path.exists():
        raise ConfigError(f"nothing in {data_dir} is sealed yet", hint=f"{SETTING} in coordinator.toml, and a start")
    keys = _opened(path, _read(path), holder)
    again = _wrapped(new, *keys)
    if _opened(path, again, new) != keys:  # before the old one goes
        raise ConfigError(f"{new.name} does not give back what it wraps")
    _write(path, again)


def _opened(path: Path, kept: _Kept, holder: KeyHolder) -> tuple[bytes, bytes]:
    """Both keys; that of blobs is a new one where there was none."""
    key = _unwrapped(path, kept, kept.key, ABOUT, holder)
    if not kept.blobs:
        return key, secrets.token_bytes(KEY_BYTES)
    return key, _unwrapped(path, kept, kept.blobs, ABOUT_BLOBS, holder)


def _wrapped(holder: KeyHolder, key: bytes, blobs: bytes) -> _Kept:
    wrapped = [base64.b64encode(holder.wrap(one, of)).decode() for one, of in ((key, ABOUT), (blobs, ABOUT_BLOBS))]
    return _Kept(wrapped[0], holder.name, wrapped[1])


def _unwrapped(path: Path, kept: _Kept, wrapped: str, about: str, holder: KeyHolder) -> bytes:
    try:
        return holder.unwrap(base64.b64decode(wrapped), about)
    except ConfigError as error:
        raise ConfigError(
            f"{path} was wrapped by {kept.wrapped_by}; {SETTING} names {holder.name}: {error.message}",
            hint=error.hint or "name the key that it was, then: septum coordinator rotate-key",
        ) from error


def _write(path: Path, kept: _Kept) -> None:
    replace_file(path, dumps(to_json(kept)) + b"\n", durable=True)


def _read(path: Path) -> _Kept:
    try:
        kept = from_json(_Kept, loads(path.read_bytes()))
        for text in (kept.key, kept.blobs):
            base64.b64decode(text, validate=True)
    except (OSError, MessageError, binascii.Error) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}; without it nothing that is sealed can be opened",
            hint="restore it from a backup",
        ) from error
    return kept
