"""How does a process that tracks keep to the hosts that a silo's policy names? Python's own audit events refuse others.

Names are looked up and connections made for the named hosts alone, at their ports; whatever library asks. It binds the
libraries that are used here, as they are: it is no sandbox for code that wants to get around it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Sequence

from septum.adapters.channel.elsewhere import host_of
from septum.errors import ForbiddenError

_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_ADDRESSED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class Gate:
    """The hosts of this process, from now on: an audit hook cannot be taken away again.

    setting  where they are named, for errors
    """

    def __init__(self, hosts: Sequence[str], setting: str) -> None:
        self._setting = setting
        self._rules = {host_of(host, setting) for host in hosts}
        self._names = {name for name, _ in self._rules}
        self._addresses: set[tuple[str, int]] = set()
        self.refused = ""  # the newest host that was, which libraries may tell in words of their own
        sys.addaudithook(self._heard)

    def error(self) -> ForbiddenError | None:
        """Why something failed, if it is that a host was refused; asked once."""
        refused, self.refused = self.refused, ""
        if not refused:
            return None
        return ForbiddenError(f"the tracker wants to reach {refused}, which {self._setting} does not name")

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in _LOOKUPS:
            self._look_up(arguments[0])
        elif event in _ADDRESSED:
            address = arguments[1]
            if isinstance(address, tuple) and len(address) >= 2:  # else a socket of this machine
                self._connect(str(address[0]).lower(), int(address[1]))

    def _look_up(self, name: object) -> None:
        host = (name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")).lower()
        if host and host not in self._names and not _is_address(host):
            self._refuse(host)

    def _connect(self, host: str, port: int) -> None:
        if (host, port) in self._rules or (host, port) in self._addresses:
            return
        for name, own_port in self._rules:  # an address may have changed since
            with contextlib.suppress(OSError):
                found = socket.getaddrinfo(name, own_port, type=socket.SOCK_STREAM)
                self._addresses |= {(str(one[4][0]).lower(), own_port) for one in found}
        if (host, port) not in self._addresses:
            self._refuse(f"{host}:{port}")

    def _refuse(self, host: str) -> None:
        self.refused = host
        raise PermissionError(f"{host} is not among the hosts that {self._setting} names")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
