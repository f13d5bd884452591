"""A small coordinator that keeps the silos' contract, served over real TLS sockets, and a real forward proxy."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import socketserver
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

from septum.adapters.channel.wire_errors import error_body
from septum.adapters.identity.http_signatures import ContentDigest, NonceCache, verify
from septum.adapters.identity.token import check_enrolment, token_hash
from septum.adapters.tls import ensure_server_certificate
from septum.errors import AuthError, ConflictError, DigestError, NotFoundError, ProtocolError, SeptumError, WorkerError
from septum.ports.blobs import OpenBlob
from septum.protocol.codec import TO_COORDINATOR, decode, encode
from septum.protocol.deploying import DeploymentOrders, Told
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.log_lines import LogBatch
from septum.protocol.messages import (
    Await,
    End,
    Enroll,
    Enrolled,
    Instruction,
    Invitation,
    Join,
    Leave,
    Outcome,
    Poll,
    PollAnswer,
    Prepare,
    Report,
    SiloMessage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Plan, digest_of
from septum.protocol.sources import source_of
from septum.protocol.system import SystemReport

NAMES = ("localhost", "127.0.0.1", "fl.example.org")
PLAN = Plan("trial", AppRef("heart-disease", "1", "sha256:" + "0" * 64), {"lr": 0.1}, ("hungary", "st-marys"), rounds=2)
MODEL = bytes(range(256)) * 8192  # 2 MiB
BLOB_PATH = re.compile(r"/silo/v1/runs/([^/]+)/blobs/([^/]+)")
UPLOAD_PATH = re.compile(r"/silo/v1/runs/([^/]+)/uploads/([^/]+)")
LOGS_PATH = re.compile(r"/silo/v1/runs/([^/]+)/logs")
EXCHANGE_PATH = re.compile(r"/silo/v1/runs/([^/]+)/exchange")


class SmallCoordinator:
    """Knows one run, r-1. A silo that says Await there is held until it is released or the run ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.received: list[tuple[str, str, object]] = []
        self.holding = threading.Semaphore(0)  # one permit for each request that began to be held
        self._change = threading.Condition()
        self._releases: dict[str, int] = {}
        self._over = False
        (directory / digest_of(MODEL)).write_bytes(MODEL)

    def poll(self, silo: str, message: Poll) -> PollAnswer:
        self.received.append((silo, "", message))
        return self._hold(silo, Wait()) if "r-1" in message.serving else Invitation("r-1", PLAN)

    def exchange(self, silo: str, run: str, message: SiloMessage) -> Instruction:
        self.received.append((silo, run, message))
        self._check(silo, run)
        match message:
            case Join(plan_digest) if plan_digest != PLAN.digest:
                raise ProtocolError(f"silo {silo!r} would run another plan", hint=f"septum run show {run}")
            case Join():
                return Prepare(attempt=1, initial=True)
            case Report():
                return Train(round=1, attempt=1, model=blob_of(MODEL))
            case Leave("break"):
                raise WorkerError("something broke", details="what the wire does not carry")
            case Await():
                return self._hold(silo, End(Outcome.STOPPED, "by an operator"))
        return Wait()

    def put_blob(self, silo: str, run: str, digest: str, path: Path) -> None:
        self._check(silo, run)
        data = path.read_bytes()
        if digest_of(data) != digest:
            raise DigestError(f"blob {digest}: other bytes came")
        shutil.copy(path, self.directory / digest)

    @contextmanager
    def blob(self, silo: str, run: str, digest: str) -> Iterator[OpenBlob]:
        self._check(silo, run)
        if not (self.directory / digest).exists():
            raise NotFoundError(f"no blob {digest} in run {run}")
        yield OpenBlob(source_of((self.directory / digest).read_bytes()))

    def release(self, silo: str) -> None:
        with self._change:
            self._releases[silo] = self._releases.get(silo, 0) + 1
            self._change.notify_all()

    def end(self) -> None:
        with self._change:
            self._over = True
            self._change.notify_all()

    def _check(self, silo: str, run: str) -> None:
        if silo not in PLAN.silos or run != "r-1":
            raise NotFoundError(f"no run {run} for {silo}", hint="septum run list")

    def _hold(self, silo: str, answer: Instruction | PollAnswer) -> Instruction | PollAnswer:
        with self._change:
            before = self._releases.get(silo, 0)
            self.holding.release()
            self._change.wait_for(lambda: self._over or self._releases.get(silo, 0) > before)
            return answer if self._over else Wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: SmallServer

    def handle_one_request(self) -> None:
        with suppress(OSError, ValueError):
            super().handle_one_request()
            return
        self.close_connection = True

    def do_POST(self) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        if self.command == "PUT" and self.server.cuts:
            self.take_and_hang_up(self.server.cuts.popleft())
            return
        if self.server.scripts:
            self.server.scripts.popleft()(self)
            return
        self.status, self.fields = 200, dict[str, str]()
        try:
            body = self._answer()
            self.reply(self.status, body, **self.fields)
        except SeptumError as error:
            self.reply(error.http_status, error_body(error))

    do_GET = do_PUT = do_POST

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Send these bytes and hang up."""
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _answer(self) -> bytes:
        if self.path == "/silo/v1/ca":
            return self.server.ca_pem
        if self.path == "/silo/v1/enroll":
            return self._enroll()
        verified = verify(
            {name.lower(): value for name, value in self.headers.items()},
            self.command,
            self.path,
            self.server.silos.get,
            time.time(),
        )
        self.server.nonces.use(verified.silo, verified.nonce, time.monotonic())
        body = self.body()
        if verified.content_digest:
            digest = ContentDigest(verified.content_digest)
            digest.update(body)
            digest.finish()
        return self._dispatch(verified.silo, body)

    def _dispatch(self, silo: str, body: bytes) -> bytes:
        service = self.server.service
        if blob := BLOB_PATH.fullmatch(self.path):
            if self.command == "GET" and self.server.blobs_at:
                self.status, self.fields = 307, {"Location": self.server.blobs_at}
                return b""
            if self.command == "GET":
                with service.blob(silo, *blob.groups()) as opened:
                    return self._range_of(b"".join(opened.chunks()))
            part = service.directory / f"part-{threading.get_ident()}"
            part.write_bytes(self._with_what_came_before(blob[2], body))
            service.put_blob(silo, *blob.groups(), part)
            return b""
        if upload := UPLOAD_PATH.fullmatch(self.path):
            whole = service.directory / upload[2]
            size = whole.stat().st_size if whole.exists() else len(self.server.came.get(upload[2], b""))
            self.fields = {"Upload_Offset": str(size), "Upload_Complete": "?1" if whole.exists() else "?0"}
            return b"{}"
        if exchange := EXCHANGE_PATH.fullmatch(self.path):
            return encode(
                service.exchange(silo, exchange[1], cast("SiloMessage", decode(SiloMessage, body, TO_COORDINATOR)))
            )
        if self.path.startswith("/silo/v1/roster"):
            return self.server.roster
        if self.path == "/silo/v1/account":
            decode(SiloDescription | Standing | Told, body, TO_COORDINATOR)
            return b"{}"
        if self.path == "/silo/v1/deployments":
            return encode(DeploymentOrders(()))
        if self.path == "/silo/v1/system":
            self.server.loads.append(cast("SystemReport", decode(SystemReport, body, TO_COORDINATOR)))
            return b"{}"
        if logs := LOGS_PATH.fullmatch(self.path):
            self.server.logs.append((logs[1], cast("LogBatch", decode(LogBatch, body, TO_COORDINATOR))))
            return b"{}"
        assert self.path == "/silo/v1/poll"
        return encode(service.poll(silo, cast("Poll", decode(Poll, body, TO_COORDINATOR))))

    def _range_of(self, data: bytes) -> bytes:
        field = self.headers.get("Range")
        if field is None or not self.server.ranges:
            return data
        start = int(field.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            raise NotFoundError(f"there is no byte {start}")
        piece = data[start : start + self.server.range_bytes]
        self.status = 206
        self.fields = {"Content_Range": f"bytes {start}-{start + len(piece) - 1}/{len(data)}"}
        return piece

    def _with_what_came_before(self, digest: str, body: bytes) -> bytes:
        before = self.server.came.pop(digest, b"")
        if (field := self.headers.get("Content-Range")) is None:
            return body
        place, size = field.removeprefix("bytes ").split("/")
        start = int(size) if place == "*" else int(place.split("-")[0])
        if start != len(before):
            self.server.came[digest] = before
            raise ConflictError(f"{len(before)} bytes are here, not {start}")
        return before + body

    def take_and_hang_up(self, size: int) -> None:
        """Read so much of an upload's body, keep it, and break the connection."""
        digest = self.path.rpartition("/")[2]
        start = len(self.server.came.get(digest, b"")) if "Content-Range" in self.headers else 0
        self.server.came[digest] = self.server.came.get(digest, b"")[:start] + self.rfile.read(size)
        self.raw(b"")

    def _enroll(self) -> bytes:
        message = cast("Enroll", decode(Enroll, self.body(), TO_COORDINATOR))
        token = check_enrolment(message)
        if token_hash(token.secret) not in self.server.invited:
            raise AuthError("this token is not valid, or was used before", hint="septum silo invite")
        self.server.invited.remove(token_hash(token.secret))
        self.server.silos[message.silo] = message.public_key
        return encode(Enrolled(message.silo, "fl.example.org"))


class SmallServer(ThreadingHTTPServer):
    """Serves a SmallCoordinator over TLS on a free port of the loopback interface.

    `scripts` are what the next requests meet instead of the coordinator.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, service: SmallCoordinator, directory: Path, handler: type[BaseHTTPRequestHandler] = _Handler
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.service = service
        self.certificate = ensure_server_certificate(directory, NAMES)
        self.ca_pem = self.certificate.ca_path.read_bytes()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate.cert_path, self.certificate.key_path)
        self.scripts: deque[Callable[[_Handler], None]] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.silos: dict[str, bytes] = {}
        self.invited: set[str] = set()
        self.nonces = NonceCache()
        self.came: dict[str, bytes] = {}  # of uploads that were cut
        self.logs: list[tuple[str, LogBatch]] = []  # what was told of each run
        self.loads: list[SystemReport] = []
        self.cuts: deque[int] = deque()  # after how many bytes the next uploads are cut
        self.ranges = True  # whether it knows them
        self.range_bytes = 2**30  # in one answer
        self.connections: list[ssl.SSLSocket] = []
        self.roster = b""  # what it passes on as the newest one, whichever is asked for
        self.blobs_at = ""  # where blobs are, if not here

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}"

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        try:
            wrapped = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        with wrapped:
            self.connections.append(wrapped)
            with suppress(OSError):
                super().finish_request(wrapped, client_address)

    def asked(self, method: str, what: str = "blobs") -> list[dict[str, str]]:
        """The headers of the requests of this kind."""
        return [headers for sent, path, headers in self.requests if sent == method and f"/{what}/" in path]

    def hang_up(self) -> None:
        """Close every connection, as an idle timeout or a restart does."""
        for connection in self.connections:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _StorageHandler(_Handler):
    """Object storage: whoever has the address gets the model, or a range of it."""

    def _answer(self) -> bytes:
        assert isinstance(self.server, Storage)
        return self._range_of(self.server.content)


class Storage(SmallServer):
    """Another host, with an authority of its own, in front of which no coordinator stands."""

    def __init__(self, service: SmallCoordinator, directory: Path) -> None:
        super().__init__(service, directory, _StorageHandler)
        self.content = MODEL

    @property
    def rule(self) -> str:
        return f"localhost:{self.port}"

    def location(self, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}/bucket/model?signature=secret"

    def redirect(self, status: int = 307, location: str | None = None) -> Callable[[_Handler], None]:
        """What a coordinator answers that has its blobs here."""

        def moved(handler: _Handler) -> None:
            handler.body()
            handler.reply(status, b"moved", Location=self.location() if location is None else location)

        return moved


class _ProxyHandler(socketserver.StreamRequestHandler):
    server: SmallProxy

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n") and (line := self.rfile.readline()):
            head += line
        self.server.heads.append(head.decode())
        if self.server.credentials:
            wanted = base64.b64encode(self.server.credentials.encode())
            if b"Proxy-Authorization: Basic " + wanted not in head:
                self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
        with socket.create_connection(("127.0.0.1", self.server.target_port)) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, self.connection))
            back.start()
            _pump(self.connection, upstream)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class SmallProxy(socketserver.ThreadingTCPServer):
    """Tunnels every CONNECT to one port of the loopback interface, whatever host it names."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.target_port = target_port
        self.credentials = ""
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
