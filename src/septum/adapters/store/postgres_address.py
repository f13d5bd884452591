"""Where is the PostgreSQL database, and how is it entered? The password is never in the URL.

It lies in a file that only its owner may read, or in an environment variable. No error and no log quotes it.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from septum.errors import ConfigError

PASSWORD_VARIABLE = "SEPTUM_STORE_PASSWORD"  # noqa: S105 - a variable's name
SCHEME = "postgresql"
EXAMPLE = "postgresql://septum@db.example.org/septum"
PORT = 5432
MAX_PASSWORD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A database of a PostgreSQL server.

    host      name or address; a path is the folder of its Unix socket
    password  empty: none is needed
    ca_file   PEM certificates to trust, if the server's is not signed by a public authority
    """

    host: str
    port: int
    user: str
    database: str
    password: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, where no TLS is asked for."""
        if self.host.startswith("/") or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def shown(self) -> str:
        """As errors and logs name it."""
        return f"{self.database} at {self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As in coordinator.toml."""
        at = f"/{self.database}?host={self.host}" if self.host.startswith("/") else f"{self._host}/{self.database}"
        return f"{SCHEME}://{quote(self.user, safe='')}@{at}"

    @property
    def _host(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORT else f"{name}:{self.port}"

    @property
    def flags(self) -> str:
        """As PostgreSQL's own commands take it."""
        return f"-h {self.host} -p {self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """How the server is checked. Raises ConfigError when the certificates to trust cannot be read."""
        if self.is_here and not self.ca_file:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{self.ca_file}: no certificates to trust: {error.strerror or error}", hint=f"ls -l {self.ca_file}"
            ) from error


def read_address(url: str, password_file: str = "", ca_file: str = "") -> PostgresAddress:
    """The address that a URL means: postgresql://USER@HOST:PORT/DATABASE, or postgresql:///DATABASE?host=/FOLDER.

    Raises ConfigError for another one, one with a password, and a file of the password that others may read.

    >>> read_address("postgresql://septum@db.example.org/federation").shown
    'federation at db.example.org:5432'
    """
    parts = urlsplit(url)
    if parts.password is not None:  # before anything else: nothing that is said below may quote it
        raise ConfigError(
            "the URL of the database has a password in it, where files and process lists show it",
            hint=f"leave it out, and set password_file to a file of mode 0600, or the variable {PASSWORD_VARIABLE}",
        )
    database, host = unquote(parts.path.lstrip("/")), _host(parts, url)
    if parts.scheme != SCHEME or not database or "/" in database or not host:
        raise _no_url(url)
    user = unquote(parts.username or "") or getpass.getuser()
    password = _read_secret(Path(password_file)) if password_file else os.environ.get(PASSWORD_VARIABLE, "")
    return PostgresAddress(host, _port(parts, url), user, database, password, ca_file)


def _host(parts: SplitResult, url: str) -> str:
    query = parse_qs(parts.query, keep_blank_values=True)
    unknown = query.keys() - {"host"}
    if unknown:
        raise ConfigError(
            f"the URL of the database has {sorted(unknown)[0]!r} in it; only host is known there, the folder of a Unix "
            "socket; TLS is always used for other machines, and ca_file names whom to trust",
            hint=EXAMPLE,
        )
    given = query.get("host", [""])[0]
    if given and (parts.hostname or not given.startswith("/")):
        raise _no_url(url)
    return given or parts.hostname or ""


def _port(parts: SplitResult, url: str) -> int:
    try:
        return parts.port or PORT
    except ValueError:
        raise _no_url(url) from None


def _no_url(url: str) -> ConfigError:
    return ConfigError(
        f"{url!r} is not the URL of a PostgreSQL database",
        hint=f"{EXAMPLE}, or {SCHEME}:///septum?host=/run/postgresql for a Unix socket",
    )


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    if mode & 0o077:
        raise ConfigError(
            f"{path}: others may read it (mode {mode:04o}), and it holds a password", hint=f"chmod 600 {path}"
        )
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(content) > MAX_PASSWORD_BYTES:
        raise ConfigError(f"{path}: one line with the password is needed", hint=f"ls -l {path}")
    return secret
