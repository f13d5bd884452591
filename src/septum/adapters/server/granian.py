"""How does the coordinator's ASGI app reach the network? Through granian, embedded in the coordinator's own process.

TLS 1.3 alone, HTTP/1.1 alone, one port; coordinator/loopback.py has the exception. The listening socket is made here
and handed over: granian's own is bound with SO_REUSEPORT, so that a second coordinator on the port would start without
a word and take half of the connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from septum.errors import ConfigError, ConflictError, SeptumError

log = logging.getLogger("septum.adapters.server.granian")

HEADER_TIMEOUT_MS = 60_000  # also how long a kept connection may idle
BUFFER_BYTES = 1 << 18  # of each connection, and some more such pieces on their way: with 1 MiB 16 uploads took 110 MB
GRACE_S = 5.0  # how long open requests may take to end after `stop`
OTHER_FILES = 512  # that the process has open beside connections: database, payloads, threads' pipes


class AsgiApp(Protocol):
    """An ASGI application, without lifespan events."""

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        """Answer one request."""


class GranianServer:
    """One port, with TLS. Binds on construction: `port` is known then, and connections queue until `serve`."""

    def __init__(
        self, app: object, *, host: str, port: int, max_connections: int, cert_path: Path | None, key_path: Path | None
    ) -> None:
        """Bind.

        Args:
            app: the ASGI app.
            host: an IP address or host name of this machine.
            port: 0 takes any free one.
            max_connections: open at one time; beyond it new ones wait in their handshake, so keep it far above silos
                and people together. The process's limit on open files is raised for them; where the system does not
                allow that, there are fewer, and the log says how many.
            cert_path: PEM, the chain; None for no TLS, which is for loopback alone.
            key_path: PEM.

        Raises:
            ConflictError: the port is in use; names it and, where it can be found, the process.
            ConfigError: the address is not of this machine, the port not allowed, or the certificate unusable.
        """
        max_connections = _room_for(max_connections)
        self._socket = _listen(host, port, max_connections)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        try:
            self._server = _Embedded(
                app,
                address=host,
                port=self.port,
                interface=Interfaces.ASGINL,
                http=HTTPModes.http1,
                http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=BUFFER_BYTES),
                websockets=False,
                backlog=max_connections,
                backpressure=max_connections,
                log_enabled=False,
                ssl_cert=cert_path,
                ssl_key=key_path,
                ssl_protocol_min=SSLProtocols.tls13,
            )
        except Exception as error:
            self._socket.close()
            raise ConfigError(f"the certificate {cert_path} with the key {key_path} cannot be used: {error}") from error
        self._server.listening = self._socket
        self._server.backlog_size = max_connections

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until `stop`; open requests get GRACE_S seconds to end. Raises SeptumError if the server breaks."""
        serving = asyncio.ensure_future(self._server.serve())
        self._server.on_startup(ready)
        try:
            await serving
        finally:
            self._socket.close()
        if not self._server.interrupt_signal:
            raise SeptumError(f"the web server on port {self.port} ended by itself")

    def stop(self) -> None:
        """Accept no more, and end."""
        self._server.stop()  # type: ignore[no-untyped-call] # granian is half typed, here and below


class _Embedded(Server):
    """granian on a socket that it did not make."""

    listening: socket.socket
    backlog_size: int

    def _init_shared_socket(self) -> None:
        make_holder: Any = SocketHolder  # its type stub lacks the constructor
        self._shd = make_holder(os.dup(self.listening.fileno()), False, self.backlog_size)
        self._ssp = None

    async def _stop_workers(self) -> None:
        """As granian's, but a request that does not end is left behind: cancelling its worker breaks in a callback."""
        workers: list[asyncio.Task[None]] = []
        for worker in self.wrks:
            worker.terminate()  # type: ignore[no-untyped-call]
            workers.append(worker._task)  # type: ignore[arg-type]
        _, late = await asyncio.wait(workers, timeout=GRACE_S)
        if late:
            log.warning("requests_cut", extra={"grace_s": GRACE_S})
        self.wrks.clear()


def _room_for(max_connections: int) -> int:
    """How many connections this process may have open; its limit on open files is raised as far as need be.

    Connections beyond it would not wait their turn, as those beyond `max_connections` do: accepting them fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_connections + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return max_connections
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == needed:
        return max_connections
    fewer = max(allowed - OTHER_FILES, allowed // 2)
    log.warning("fewer_connections", extra={"wanted": max_connections, "allowed": fewer, "hint": _FILES_HINT})
    return fewer


_FILES_HINT = "LimitNOFILE= in the service's unit, or ulimit -Hn, above max_connections in coordinator.toml"


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"{host!r} is no address to listen on: {error}", hint="listen = '0.0.0.0:8443'") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise _cannot_bind(host, port, error) from error
    return listening


def _cannot_bind(host: str, port: int, error: OSError) -> SeptumError:
    if isinstance(error, PermissionError):
        return ConfigError(f"this user may not listen on port {port}", hint="take a port above 1023")
    if error.errno != errno.EADDRINUSE:
        return ConfigError(f"cannot listen on {host}:{port}: {error.strerror}", hint="ip address")
    owner = _owner_of(port)
    who = f" by process {owner}" if owner else ""
    return ConflictError(f"port {port} on {host} is in use{who}", hint=f"ss -ltnp 'sport = :{port}', or another port")


def _owner_of(port: int) -> str:
    """The process that listens on a port, as `pid (name)`; empty if it is not to be seen from here (Linux only)."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for folder in Path("/proc").glob("[0-9]*/fd") if inodes else ():
        with suppress(OSError):
            if any(os.readlink(link) in inodes for link in folder.iterdir()):
                return f"{folder.parent.name} ({(folder.parent / 'comm').read_text().strip()})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            lines = Path(table).read_text().splitlines()[1:]
            rows = (re.split(r"\s+", line.strip()) for line in lines)
            found |= {row[9] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    return found
