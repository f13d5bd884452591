"""Where does the command line keep its sessions? In one file of mode 0600 beside the user's configuration.

One session for each coordinator's URL, the newest first. The certificate to trust lies beside it where an invitation
brought one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from septum.errors import ConfigError

FILE = "sessions.json"
MOST = 20


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session at one coordinator."""

    url: str
    token: str = field(repr=False)
    ca: str = ""
    name: str = ""


def sessions_file(environment: Mapping[str, str]) -> Path:
    """The file.

    >>> sessions_file({"XDG_CONFIG_HOME": "/home/ada/.config"}).as_posix()
    '/home/ada/.config/septum/sessions.json'
    """
    return config_folder(environment) / FILE


def config_folder(environment: Mapping[str, str]) -> Path:
    """Where the user's own files of septum lie."""
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "~"), ".config")
    return Path(base).expanduser() / "septum"


def kept_sessions(path: Path) -> tuple[KeptSession, ...]:
    """The sessions in the file, the newest first; none where it is not there. Raises ConfigError."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON", hint=f"rm {path}, then: septum login") from error
    try:
        return tuple(KeptSession(**one) for one in content["sessions"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: these are no sessions", hint=f"rm {path}, then: septum login") from error


def keep(path: Path, session: KeptSession) -> None:
    """Keep a session in place of the one of its URL."""
    _write(path, (session, *without(kept_sessions(path), session.url)))


def forget(path: Path, url: str) -> None:
    """Forget the session of a URL."""
    _write(path, without(kept_sessions(path), url))


def keep_certificate(environment: Mapping[str, str], pem: bytes, digest: str) -> Path:
    """Put a coordinator's certificate where its sessions can name it."""
    path = config_folder(environment) / "certificates" / f"{digest.rpartition(':')[2][:32]}.pem"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(pem)
    return path


def without(sessions: Sequence[KeptSession], url: str) -> tuple[KeptSession, ...]:
    """All but the session of a URL."""
    return tuple(one for one in sessions if one.url.rstrip("/") != url.rstrip("/"))


def _write(path: Path, sessions: Sequence[KeptSession]) -> None:
    from septum.adapters.files import replace_file  # secrets: 3 ms that other commands do not pay

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"sessions": [asdict(one) for one in sessions[:MOST]]}
    replace_file(path, json.dumps(content, indent=1).encode() + b"\n", durable=True)
