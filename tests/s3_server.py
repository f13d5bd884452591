"""An S3 for tests: moto's server in a process of its own, and a front that makes it slow, broken or wrong. No mocks.

Everything is on loopback. The front is a real HTTP server: it passes requests on, unless the test says otherwise, and
compares the checksum of what is stored with its bytes, as S3 does and moto does not.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Self

import pytest
from tests.adapters.tracking.services import CREDENTIALS, REGION, moto_server

from septum.adapters.blobs.s3_bucket import Bucket, S3Place
from septum.adapters.tls import ServerCertificate

ALONE = {**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
ALONE["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
BUCKET = "septum-blobs"
KEYS_A_PAGE = 5  # of a listing: what needs more pages gets them


@dataclass(slots=True)
class S3:
    """A server that runs, at `url`, with one bucket; each test has a prefix of its own."""

    url: str
    _numbers: Iterator[int] = field(default_factory=count)

    def place(self, url: str = "") -> S3Place:
        """A new, empty place. `url`: of a front."""
        return S3Place(BUCKET, f"test-{next(self._numbers)}", url or self.url, REGION)


@contextmanager
def running() -> Iterator[S3]:
    """A server of one's own, until the end of the block."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="septum-s3-") as folder:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(KEYS_A_PAGE))
        with moto_server(Path(folder)) as url:
            _make_bucket(url)
            yield S3(url)


def _make_bucket(url: str) -> None:
    with credentials():
        bucket = Bucket(S3Place(BUCKET, endpoint=url, region=REGION))
        bucket._client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        bucket.close()


@contextmanager
def credentials() -> Iterator[None]:
    """Credentials that nobody else has, and no file of anybody's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name, value in ALONE.items():
            patch.setenv(name, value)
        yield


@contextmanager
def opened(place: S3Place) -> Iterator[Bucket]:
    """A bucket, with credentials."""
    with credentials():
        bucket = Bucket(place)
        try:
            yield bucket
        finally:
            bucket.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came to the front."""

    number: int
    method: str
    target: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is answered with an error."""

    status: int
    code: str = "InternalError"


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection breaks: at once, or after so many bytes of the answer's body."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Spoilt:
    """It comes with other bytes than were sent."""


Meddling = Callable[[Asked], "Refused | Dropped | Spoilt | None"]


class Front:
    """A server in front of an S3. `meddle` may be replaced at any time; what it raises nobody hears."""

    def __init__(
        self, behind: str, meddle: Meddling = lambda _: None, certificate: ServerCertificate | None = None
    ) -> None:
        self.behind = behind.removeprefix("http://")
        self.meddle = meddle
        self.asked: list[Asked] = []
        self._numbers = count()
        self._busy = 0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert_path, certificate.key_path)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settle(self) -> None:
        """Wait until nothing is on its way, also of clients that have gone."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._busy, timeout=30)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._changed:
            self._busy += 1
        try:
            self._answer(handler)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        asked = Asked(next(self._numbers), handler.command, handler.path, body)
        self.asked.append(Asked(asked.number, asked.method, asked.target))
        meddling = self.meddle(asked)
        if isinstance(meddling, Refused):
            _refuse(handler, meddling)
            return
        if meddling == Dropped():
            handler.close_connection = True
            return
        body = body[:-1] + bytes([body[-1] ^ 1]) if isinstance(meddling, Spoilt) else body
        told = handler.headers.get("x-amz-checksum-sha256")
        if told and told != base64.b64encode(hashlib.sha256(body).digest()).decode():
            _refuse(handler, Refused(400, "BadDigest"))
            return
        self._pass_on(handler, body, meddling.after if isinstance(meddling, Dropped) else None)

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes, cut_after: int | None) -> None:
        line = http.client.HTTPConnection(self.behind, timeout=60)
        try:
            line.request(handler.command, handler.path, body, dict(handler.headers))
            answer = line.getresponse()
            data = answer.read()
        finally:
            line.close()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                handler.send_header(name, value)
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else str(len(data))
        handler.send_header("Content-Length", length or "0")
        handler.end_headers()
        handler.wfile.write(data[:cut_after])
        handler.close_connection = handler.close_connection or cut_after is not None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                with suppress(OSError):  # the client has gone
                    front.answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler


def _refuse(handler: BaseHTTPRequestHandler, refused: Refused) -> None:
    body = f"<Error><Code>{refused.code}</Code><Message>as the test wants</Message></Error>".encode()
    handler.send_response(refused.status)
    handler.send_header("Content-Type", "application/xml")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
