"""How does the operator get in? By a token that the coordinator makes at its first start and keeps as a hash only.

The plain token goes into `operator.json` (mode 0600) in the data directory, with the URL and the certificate to trust,
for the command line. It may be moved away: the coordinator does not need it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from septum.adapters.identity.keys import write_private
from septum.errors import ConfigError
from septum.protocol.codec import dumps, loads

HASH_FILE = "operator.sha256"
ACCESS_FILE = "operator.json"


def ensure_operator(data_dir: Path, *, url: str, ca_file: str) -> bytes:
    """The hash of the operator's token, which is made if there is none; `operator.json` is brought up to date."""
    hash_path, access_path = data_dir / HASH_FILE, data_dir / ACCESS_FILE
    if not hash_path.exists():
        token = secrets.token_urlsafe(32)
        access_path.unlink(missing_ok=True)  # of a first start that was cut short: nobody has used it
        _write(access_path, token, url, ca_file)
        write_private(hash_path, token_digest(token).hex().encode())
    elif access_path.exists():
        _refresh(access_path, url, ca_file)
    try:
        return bytes.fromhex(hash_path.read_text().strip())
    except ValueError:
        raise ConfigError(f"{hash_path} is damaged", hint=f"remove it and {ACCESS_FILE}: a new token is made") from None


def token_digest(token: str) -> bytes:
    """Under what a token is kept: 256 random bits need no slow hash.

    >>> token_digest("t").hex()[:8]
    'cf3c41ca'
    """
    return hashlib.sha256(b"septum-operator-v1\0" + token.encode()).digest()


def _refresh(path: Path, url: str, ca_file: str) -> None:
    """The same token under a URL that may have changed."""
    held = loads(path.read_bytes())
    token = held.get("token") if isinstance(held, dict) else None
    if not isinstance(token, str):
        raise ConfigError(f"{path} is damaged", hint=f"remove it and {HASH_FILE}: a new token is made")
    if held != {"token": token, "url": url, "ca_file": ca_file}:
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        _write(fresh, token, url, ca_file)
        fresh.replace(path)


def _write(path: Path, token: str, url: str, ca_file: str) -> None:
    write_private(path, dumps({"token": token, "url": url, "ca_file": ca_file}) + b"\n")
