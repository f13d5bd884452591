"""One HTTP/1.1 request at a time over TLS: what the silo's round path needs of HTTP, from the standard library.

A `Line` is a kept-alive connection. It sends head and body of a message in one write (one TLS record), and reads the
answer with `http.client`. Everything that can go wrong on the way is a ConnectionFailedError.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from urllib.parse import urlsplit

import septum
from septum.adapters.channel.blob_files import BUFFER_BYTES
from septum.adapters.channel.proxy import Proxy, ProxySettings
from septum.adapters.channel.wire_errors import MAX_ERROR_BYTES, error_of
from septum.errors import ConfigError, ConnectionFailedError, ProtocolError, TooLargeError

CONNECT_TIMEOUT_S = 10.0  # name, TCP, proxy and TLS, each step

_USER_AGENT = f"septum/{septum.__version__}"


class StaleLineError(ConnectionFailedError):
    """The connection broke before the first byte of the answer: if it had been used before, a new one may do.

    `held_s`: for how long the request had been there when it broke. `kept`: whether it had been used before.
    """

    def __init__(self, message: str, *, hint: str = "", held_s: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.held_s = held_s
        self.kept = False


@dataclass(frozen=True, slots=True)
class Request:
    """What to send.

    headers     besides those that every request has
    body        opens it, anew for each attempt
    size_bytes  of the body
    digest      the value of Content-Digest; empty for GET and PUT
    repeat      whether to send all of it once more when a kept connection turns out to be dead
    held_s      how much longer than others it may be held
    may_move    whether the answer may be that it is elsewhere
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], bytes | Iterable[bytes]] = bytes
    size_bytes: int = 0
    digest: str = ""
    repeat: bool = True
    held_s: float = 0.0
    may_move: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a coordinator, or a host that has blobs, is, and how to get there."""

    host: str
    port: int
    context: ssl.SSLContext = field(repr=False)
    proxy: Proxy | None = None

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def origin_of(url: str, context: ssl.SSLContext, proxies: ProxySettings) -> Origin:
    """The origin that a coordinator's URL names. Raises ConfigError unless it is `https://host[:port]`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the coordinator's URL cannot be used: {error}") from error
    extras = parts.username or parts.password or parts.query or parts.fragment or parts.path not in ("", "/")
    if parts.scheme != "https" or not host or not (host.isascii() and host.isprintable()) or " " in host or extras:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ConfigError(
            f"{shown!r} is not a coordinator's URL: expected https://host or https://host:port",
            hint="septum silo enroll --url https://fl.example.org --token TOKEN",
        )
    return Origin(host, port or 443, context, proxies.proxy_for(host, port or 443))


class Line:
    """One connection to an origin, opened at once. Used by one thread at a time; `abort` may come from another."""

    def __init__(self, origin: Origin, answer_timeout_s: float) -> None:
        self._origin = origin
        self._last: Answer | None = None
        self._broken: StaleLineError | None = None
        self._sent_at = 0.0
        self._answer_timeout_s = answer_timeout_s
        self._socket = _connect(origin)
        self._socket.settimeout(answer_timeout_s)

    @property
    def ready(self) -> bool:
        """Whether it has answered, to the end, and is good for another request."""
        return self._last is not None and self._last.complete and self._broken is None

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | Iterable[bytes], size: int
    ) -> None:
        """Send a request. If the other side hangs up meanwhile, `answer` says so: it may have answered before that.

        Args:
            method: GET, POST or PUT.
            path: starts with a slash and needs no escaping.
            headers: besides Host, Content-Length and the like.
            body: all of it, or in pieces.
            size: of the body, in bytes.
        """
        self._last = None  # until this one is answered, the connection is good for nothing else
        self._sent_at = time.monotonic()
        self._socket.settimeout(self._answer_timeout_s)
        fields = {"Host": self._origin.authority, "User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
        if method != "GET":
            fields["Content-Length"] = str(size)
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        head = "\r\n".join(lines).encode("ascii")
        for piece in (head + body,) if isinstance(body, bytes) else chain((head,), body):
            try:
                self._socket.sendall(piece)
            except TimeoutError as error:
                raise ConnectionFailedError(
                    f"{self._origin.authority} does not take what is sent: timed out"
                ) from error
            except OSError as error:
                self._broken = StaleLineError(f"{self._origin.authority} broke the connection: {_reason(error)}")
                return

    def answer(self, method: str, timeout_s: float | None = None) -> Answer:
        """Wait for the answer to the request that was sent; `timeout_s` is the longest silence, if another than usual.

        Raises ConnectionFailedError, StaleLineError among them.
        """
        self._socket.settimeout(timeout_s or self._answer_timeout_s)
        response = http.client.HTTPResponse(self._socket, method=method)
        try:
            self._wait(response)
            response.begin()
        except (OSError, http.client.HTTPException) as error:
            response.close()
            raise ConnectionFailedError(f"no answer from {self._origin.authority}: {_reason(error)}") from error
        except StaleLineError:
            response.close()
            raise
        self._last = Answer(response, self._origin.authority)
        return self._last

    def _wait(self, response: http.client.HTTPResponse) -> None:
        """Return when the first byte of the answer is there."""
        try:
            begun = response.fp.peek(1)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._broken or self._stale(f"broke the connection: {_reason(error)}") from error
        if not begun:
            raise self._broken or self._stale("closed the connection without an answer")

    def _stale(self, what: str) -> StaleLineError:
        return StaleLineError(f"{self._origin.authority} {what}", held_s=time.monotonic() - self._sent_at)

    def abort(self) -> None:
        """Wake whoever waits on this connection; it finds it broken."""
        with suppress(OSError):  # it may be gone already
            # SSLSocket.shutdown would also take the TLS state from under the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up."""
        self._socket.close()


class Answer:
    """The answer to one request: status and headers are there, the body is still to be read."""

    def __init__(self, response: http.client.HTTPResponse, authority: str) -> None:
        self._response = response
        self._authority = authority
        self._size = response.length
        self._got = 0
        self._cut = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    def header(self, name: str) -> str:
        """The value of a header; empty if it is not there."""
        return self._response.getheader(name, "")

    @property
    def complete(self) -> bool:
        """Whether the body was read to its end, and the connection stays open."""
        return self._response.isclosed() and not self._cut and not self._response.will_close

    def read_into(self, buffer: memoryview) -> int:
        """The next bytes of the body; 0 at its end. Raises ConnectionFailedError if it was cut."""
        if self._size is None and not self._response.chunked:
            raise ProtocolError(f"{self._authority} answered without Content-Length: a cut could not be noticed")
        try:
            count = self._response.readinto(buffer)
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailedError(f"{self._authority} broke off in its answer: {_reason(error)}") from error
        self._got += count
        if count == 0 and self._size is not None and self._got < self._size:
            raise ConnectionFailedError(
                f"{self._authority} broke off in its answer, after {self._got} of {self._size} bytes"
            )
        return count

    def read(self, limit: int) -> bytes:
        """All of the body. Raises TooLargeError over `limit` bytes, before they are held."""
        if self._size is not None and self._size > limit:
            raise TooLargeError(f"{self._authority} answers with {self._size} bytes, at most {limit} are accepted")
        body, buffer = bytearray(), memoryview(bytearray(min(BUFFER_BYTES, limit + 1)))
        while count := self.read_into(buffer):
            body += buffer[:count]
            if len(body) > limit:
                raise TooLargeError(f"{self._authority} answers with more than the {limit} bytes that are accepted")
        return bytes(body)

    def check(self, asked: str) -> None:
        """Raise the error that the answer means, if it means one. `asked` is method and path, for its message."""
        if self.status < 300:
            return
        try:
            body = self.read(MAX_ERROR_BYTES)
        except TooLargeError:
            body = b""
        raise error_of(self.status, body, asked=asked, retry_after=self._response.getheader("Retry-After"))

    def close(self) -> None:
        """Forget the rest of the body. If there is any, the connection is good for nothing else."""
        self._cut = self._cut or not self._response.isclosed()
        self._response.close()


def _connect(origin: Origin) -> ssl.SSLSocket:
    proxy, authority = origin.proxy, origin.authority
    first = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
    plain = http.client.HTTPConnection(*first, timeout=CONNECT_TIMEOUT_S)
    if proxy:
        headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        plain.set_tunnel(origin.host, origin.port, headers)
    via = f" through the proxy {proxy.host}:{proxy.port}" if proxy else ""
    try:
        plain.connect()  # sets TCP_NODELAY, and opens the tunnel
    except (OSError, http.client.HTTPException) as error:
        plain.close()
        raise ConnectionFailedError(
            f"cannot reach {authority}{via}: {_reason(error)}", hint=_route_hint(error)
        ) from error
    try:
        return origin.context.wrap_socket(plain.sock, server_hostname=origin.host)
    except (OSError, ValueError) as error:
        plain.close()
        raise ConnectionFailedError(f"no TLS with {authority}{via}: {_reason(error)}", hint=_tls_hint(error)) from error


def _route_hint(error: Exception) -> str:
    if "407" in str(error):
        return "the proxy wants credentials: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    if isinstance(error, socket.gaierror):
        return "check the host name; where only a proxy may go out, set HTTPS_PROXY"
    return "check that the coordinator runs and that HTTPS_PROXY and NO_PROXY fit this network: septum doctor --dir DIR"


def _tls_hint(error: Exception) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "the coordinator needs TLS 1.3; check that the port is the coordinator's"
    if error.verify_code in (9, 10):  # not yet valid, expired
        return "check this machine's clock; restart the coordinator, which renews its certificate"
    if error.verify_code in (62, 64):  # host name, address
        return "use a name that is in the certificate, or start the coordinator with this one as well"
    return (
        "its authority is neither pinned nor known to this machine: of a proxy that inspects TLS, or an authority of "
        "one's own, name the CA: septum silo enroll --extra-ca FILE, or ca_file under [network] in silo.toml; to a "
        "coordinator that was set up anew, enrol again"
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:300]
