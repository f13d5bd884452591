"""Where else may a blob come from? From the hosts that the silo's policy names, and from no other.

A coordinator with object storage behind it answers the download of a blob with 307 or 308 (RFC 9110, section 15.4.8).
Where that leads is the coordinator's word alone, so a silo goes there only if its own rules name the host, and takes
nothing along: no signature, no name, one hop. What comes is checked by its digest like any other blob.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from septum.adapters.channel.http1 import Answer
from septum.errors import ConfigError, ConnectionFailedError, NotFoundError
from septum.ports.channel import EgressError

TAKES_FROM = "Septum-Takes-From"  # in a request for a blob: the hosts from which this silo takes it as well
MOVED = frozenset({307, 308})  # the method stays what it is; the older codes leave that open
MAX_LOCATION_CHARS = 8192  # presigned addresses with session tokens have some 2,000
_AGAIN = frozenset({403, 408, 429, 500, 502, 503, 504})  # 403: an address that was given for a while, and is too old
_HOST = r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
_RULE = re.compile(_HOST)
_LOCATION = re.compile(rf"https://{_HOST}(/[!-\"$-~]*)")  # printable ASCII; no user, no fragment


@dataclass(frozen=True, slots=True)
class Place:
    """An address on another host. `path` with its query; what is in it may be a secret of the coordinator's."""

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """`host` or `host:port`, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def host_of(rule: str, setting: str = "[policy]: egress_hosts") -> tuple[str, int]:
    """Host and port of a rule, `HOST` or `HOST:PORT`. Raises ConfigError: names are exact, there are no wildcards.

    >>> host_of("blobs.example.org"), host_of("[fd00::1]:9000")
    (('blobs.example.org', 443), ('fd00::1', 9000))
    """
    match = _RULE.fullmatch(rule)
    if match is None or not 0 < int(match[2] or 443) < 65_536:
        raise ConfigError(
            f"{setting} has {rule[:80]!r}, which is no host",
            hint="a name or an address, with a port where it is not 443: blobs.example.org:9000",
        )
    return match[1].strip("[]").lower(), int(match[2] or 443)


def place_of(location: str, hosts: Iterable[str]) -> Place:
    """Where a coordinator sends the silo, if `hosts`, its own rules, name it. Raises EgressError.

    >>> place_of("https://blobs.example.org/b/1?key=x", ["blobs.example.org"]).path
    '/b/1?key=x'
    """
    match = _LOCATION.fullmatch(location) if len(location) <= MAX_LOCATION_CHARS else None
    if match is None:
        raise EgressError("the coordinator sends this silo to what is no address of another host over HTTPS")
    host, port = match[1].strip("[]").lower(), int(match[2] or 443)
    place = Place(host, port, match[3])
    if (host, port) not in {host_of(rule) for rule in hosts}:
        raise EgressError(
            f"the coordinator sends this silo to {place.authority}, which its rules do not name",
            hint=f'egress_hosts = ["{place.authority}"] under [policy] in silo.toml, if blobs may come from there',
        )
    return place


def check(answer: Answer, place: Place) -> None:
    """Raise what an answer of another host means, if it is no blob. Its body is not read: it is nobody's word."""
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise EgressError(f"{place.authority} sends this silo on, and it takes one hop only")
    what = f"{place.authority}, where the coordinator sent this silo, answered with HTTP status {status}"
    if status in _AGAIN:
        raise ConnectionFailedError(what)
    raise NotFoundError(what, hint="look at the storage in front of the coordinator")
