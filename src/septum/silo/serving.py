"""How does a program on this machine ask for predictions? `POST /predict` over loopback, with a token from a file.

    GET  /health    which model answers
    POST /predict   {"rows": [{COLUMN: VALUE, ...}, ...]} -> {"model": {...}, "predictions": [0.25, ...]}

Only loopback addresses are listened on: whoever wants predictions elsewhere puts something in front that has a
certificate and knows its users. Bodies are bounded and have to come in time; one request at a time is scored, by the
app's process, which stays warm. A newly deployed model answers the next request.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

from septum.adapters.files import replace_file
from septum.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    DataError,
    MessageError,
    NotFoundError,
    SeptumError,
    StorageError,
    TooLargeError,
    WorkerError,
)
from septum.protocol.codec import Json, dumps, loads
from septum.sdk.cells import Cell
from septum.silo.deployed import Held
from septum.silo.score_input import plans_of, rows_of_batch
from septum.silo.score_output import about_json
from septum.silo.scorer import Scorer, Scoring, probabilities

MAX_BODY_BYTES = 4 * 2**20
MAX_ROWS = 10_000
MAX_CONNECTIONS = 32  # each is a thread
READ_S = 10.0  # for a request's head and body
TOKEN_NAME = "predict.token"  # noqa: S105  a file's name


def token_in(silo_dir: Path) -> str:
    """The token that requests show; made, with mode 0600, where there is none. Raises StorageError."""
    path = silo_dir / TOKEN_NAME
    try:
        if not path.exists():
            replace_file(path, secrets.token_urlsafe(32).encode(), durable=True)
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} can be read by others", hint=f"chmod 600 {path}, or rm it: a new one is made")
        token = path.read_text().strip()
    except OSError as error:
        raise StorageError(f"{path} cannot be used: {error.strerror}", hint=f"ls -ld {silo_dir}") from error
    if len(token) < 32:
        raise ConfigError(f"{path} holds no token", hint=f"rm {path}; a new one is made")
    return token


def check_loopback(host: str) -> str:
    """`host`, if it is an address of this machine alone. Raises ConfigError.

    >>> check_loopback("127.0.0.1")
    '127.0.0.1'
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(f"--host {host!r} is no address", hint="127.0.0.1 or ::1") from None
    if not address.is_loopback:
        raise ConfigError(
            f"--host {host} can be reached from other machines, and predictions leave no silo that way",
            hint="127.0.0.1; put a proxy with a certificate and users of its own in front",
        )
    return host


class Desk:
    """Answers requests with the model in use, one at a time."""

    def __init__(self, scoring: Scoring, name: str, unix: Callable[[], float] = time.time) -> None:
        self._scoring = scoring
        self._name = name
        self._unix = unix
        self._lock = threading.Lock()
        self._scorer: Scorer | None = None

    def about(self) -> Held:
        """Which model answers."""
        return self._scoring.active(self._name)

    def predict(self, body: Json) -> dict[str, Json]:
        """The answer to a request's JSON. Raises MessageError, DataError, TooLargeError, and as `Scoring.open`."""
        rows = _rows(body)
        with self._lock:
            scorer = self._current()
            dataset, columns = scorer.app.dataset, scorer.app.columns
            sources = list(dict.fromkeys(plan.source for plan in plans_of(dataset, columns)))
            table = rows_of_batch(_batch(rows, sources), dataset, columns, "the request")
            found = probabilities(scorer.logits(table))
            about = about_json(scorer.held, len(rows), self._unix())
        return {"model": about, "predictions": [float(value) for value in found]}

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._scorer is not None:
                self._scorer.close()
                self._scorer = None

    def _current(self) -> Scorer:
        """The model in use; another one is opened when another was deployed."""
        held = self._scoring.active(self._name)
        if self._scorer is not None and self._scorer.held.order == held.order:
            return self._scorer
        if self._scorer is not None:
            self._scorer.close()
            self._scorer = None
        self._scorer = self._scoring.open(self._name)
        return self._scorer


def _rows(body: Json) -> list[Mapping[str, Json]]:
    if not isinstance(body, dict) or set(body) != {"rows"}:
        raise MessageError('a request is {"rows": [{COLUMN: VALUE, ...}, ...]}')
    rows = body["rows"]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise MessageError("rows is a list of objects, of one at least")
    if len(rows) > MAX_ROWS:
        raise TooLargeError(f"{len(rows)} rows in one request, at most {MAX_ROWS}")
    return cast("list[Mapping[str, Json]]", rows)


def _batch(rows: list[Mapping[str, Json]], sources: list[str]) -> dict[str, list[Cell]]:
    """The rows by column. A column that a row lacks is an error; null says that nothing is known."""
    found: dict[str, list[Cell]] = {name: [] for name in sources}
    for number, row in enumerate(rows, 1):
        for name in sources:
            if name not in row:
                raise DataError(f"row {number}: no column {name!r}", hint="null says that nothing is known")
            value = row[name]
            if isinstance(value, bool) or not (value is None or isinstance(value, int | float | str)):
                raise DataError(f"row {number}, column {name!r}: a number, a text or null is needed")
            found[name].append(float(value) if isinstance(value, int) else value)
    return found


class PredictionServer:
    """The endpoint. `serve` until `stop`, from another thread."""

    def __init__(self, desk: Desk, token: str, host: str, port: int) -> None:
        check_loopback(host)
        self._desk = desk
        try:
            self._server = _Server((host, port), desk, token, socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise ConflictError(
                f"{host} port {port} cannot be used: {error.strerror}", hint="--port 0 takes any"
            ) from error
        self.port = int(self._server.server_address[1])

    def serve(self) -> None:
        """Answer requests until `stop`."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()
            self._desk.close()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], desk: Desk, token: str, family: socket.AddressFamily) -> None:
        self.address_family = family
        self.desk = desk
        self.token = token
        self.slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "septum"
    sys_version = ""
    timeout = READ_S  # of each read
    server: _Server

    def handle(self) -> None:
        """One connection; one too many is closed unanswered."""
        if not self.server.slots.acquire(blocking=False):
            return
        try:
            super().handle()
        finally:
            self.server.slots.release()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: an access log would say when patients were asked about."""

    def do_GET(self) -> None:
        self._answer(self._health)

    def do_POST(self) -> None:
        self._answer(self._predict)

    def _answer(self, work: Callable[[], Json]) -> None:
        try:
            self._check_token()
            self._send(200, work())
        except (TimeoutError, ConnectionError):
            self.close_connection = True
        except WorkerError as error:
            self._fail(error, 422)  # its words are of this machine's own app, and stay on it
        except SeptumError as error:
            self._fail(error, error.http_status)

    def _fail(self, error: SeptumError, status: int) -> None:
        self.close_connection = True  # there may be a body that nobody has read
        self._send(status, {"error": {"code": error.code, "message": error.message, "hint": error.hint}})

    def _check_token(self) -> None:
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        wanted = self.server.token.encode()
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted):
            raise AuthError(
                "this needs the token of this silo", hint=f"Authorization: Bearer ...; it is in {TOKEN_NAME}"
            )

    def _health(self) -> Json:
        if self.path != "/health":
            raise NotFoundError(f"there is no GET {self.path[:80]}", hint="POST /predict")
        return {"status": "ok", "model": about_json(self.server.desk.about(), 0, time.time())}

    def _predict(self) -> Json:
        if self.path != "/predict":
            raise NotFoundError(f"there is no POST {self.path[:80]}", hint="POST /predict")
        return self.server.desk.predict(loads(self._body(), MAX_BODY_BYTES))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 12):
            raise MessageError("a request says how long it is: Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise TooLargeError(f"a body of {length} bytes, at most {MAX_BODY_BYTES}")
        deadline, body = time.monotonic() + READ_S, bytearray()
        while len(body) < int(length):
            if time.monotonic() > deadline:  # a byte now and then would hold the thread
                raise TimeoutError
            chunk = self.rfile.read1(min(65536, int(length) - len(body)))
            if not chunk:
                raise ConnectionResetError
            body += chunk
        return bytes(body)

    def _send(self, status: int, body: Json) -> None:
        data = dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
