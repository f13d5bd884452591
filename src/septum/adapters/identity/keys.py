"""Where a silo's Ed25519 key lies: one PEM file that only its owner can read."""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from septum.errors import ConfigError, ConflictError

MAX_KEY_FILE_BYTES = 16 * 1024  # an Ed25519 key has 119


def make_private_key(path: Path) -> Ed25519PrivateKey:
    """A new key, written to `path` with mode 0600. Raises ConflictError if there is a file: a key is never replaced."""
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`. Raises ConfigError if it is missing, malformed, or readable by others."""
    refuse_readable_by_others(path)
    with path.open("rb") as file:
        data = file.read(MAX_KEY_FILE_BYTES + 1)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # not chained: such an error may quote what it could not read
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{path} holds no Ed25519 private key in PEM",
            hint="restore it from a backup, or move it away and enrol again: septum silo enroll",
        )
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The public half, raw, 32 bytes: what the coordinator keeps."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def write_private(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600, whole or not at all. Raises ConflictError if there is one already."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", hint=f"mkdir -p {shlex.quote(str(path.parent))}"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # fails where a rename would replace
    except FileExistsError:
        raise ConflictError(f"{path} exists already and is not replaced") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink()


def refuse_readable_by_others(path: Path) -> None:
    """Raises ConfigError if `path` is missing, or group or others may touch it."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot read the key {path}: {error.strerror}", hint="septum silo enroll") from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"the key {path} has mode {mode:04o}: others than its owner can reach it",
            hint=f"chmod 600 {shlex.quote(str(path))}; if others may have read it, enrol again with a new key",
        )
