"""A whole coordinator in a thread of this process, over TLS on loopback, and silos that talk to it in raw HTTP."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.support import work

from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.token import enrolment
from septum.adapters.tls import client_context
from septum.client import Access, Client, operator_access
from septum.coordinator.config import CoordinatorConfig
from septum.coordinator.root import Ready, run_coordinator
from septum.protocol.codec import decode, encode
from septum.protocol.messages import Await, End, Instruction, Join, Report, SiloMessage, Wait
from septum.protocol.plan import Plan

WIDE = 40_000  # 160 kB a payload: blobs
NARROW = 3  # inline
KEYS = (f"key-{n}" for n in itertools.count())
SEEDS = itertools.count()


class Running:
    """A coordinator that is up; `stop` takes it down."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.config = CoordinatorConfig(data_dir, **{"listen": "127.0.0.1:0", "hold_s": 2.5, **settings})
        self._ready: Ready | None = None
        self._error: BaseException | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coordinator")
        self._thread.start()
        assert self._up.wait(20)
        if self._error is not None:
            raise self._error
        assert self._ready is not None
        self.port = self._ready.port
        self.url = self._ready.url
        self.console_url = self._ready.console_url
        self.metrics_url = self._ready.metrics_url

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self._error = error
        self._up.set()

    async def _main(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await run_coordinator(self.config, self._stop, self._is_ready)

    def _is_ready(self, ready: Ready) -> None:
        self._ready = ready
        self._up.set()

    @property
    def access(self) -> Access:
        return operator_access(self.config.data_dir)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def connect(self, timeout_s: float = 15.0) -> http.client.HTTPSConnection:
        context = client_context(Path(self.access.ca_file))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=context)

    def ask(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        connection = self.connect()
        try:
            with suppress(OSError):  # it may have answered before it had read everything, and closed
                connection.request(method, path, body, dict(headers), encode_chunked="Transfer-Encoding" in headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def enrolled(self, name: str, organisation: str = "") -> Silo:
        key = Ed25519PrivateKey.generate()
        with Client(self.access) as client:
            token = client.invite(name, organisation).token
        answer = self.ask("POST", "/silo/v1/enroll", encode(enrolment(token, key)))
        assert answer.status == 200, answer.body
        return Silo(self, name, key)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def error(self) -> Mapping[str, str]:
        content = json.loads(self.body)
        if self.headers.get("content-type") == "application/problem+json":
            assert set(content) == {"type", "title", "status", "detail", "code", "hint"}
            assert content["status"] == self.status
            return {"code": content["code"], "message": content["detail"], "hint": content["hint"]}
        assert set(content) == {"error"}
        assert set(content["error"]) == {"code", "message", "hint"}
        return content["error"]


@dataclass(frozen=True, slots=True)
class Silo:
    """An enrolled silo, one request a connection."""

    coordinator: Running
    name: str
    key: Ed25519PrivateKey

    def post(self, path: str, body: bytes, **changed: str) -> Answer:
        return self.coordinator.ask("POST", path, body, {**self.signed("POST", path, body), **changed})

    def signed(self, method: str, path: str, body: bytes | None = None) -> Mapping[str, str]:
        return Ed25519Signer(self.name, self.key).headers(method, path, "" if body is None else content_digest(body))

    def put(self, path: str, body: bytes | Iterable[bytes], **more: str) -> Answer:
        return self.coordinator.ask("PUT", path, body, {**self.signed("PUT", path), **more})

    def get(self, path: str) -> Answer:
        return self.coordinator.ask("GET", path, None, self.signed("GET", path))

    def say(self, run: str, message: SiloMessage) -> Instruction:
        answer = self.post(f"/silo/v1/runs/{run}/exchange", encode(message))
        assert answer.status == 200, answer.body
        told = decode(Instruction, answer.body)
        assert isinstance(told, Instruction)
        return told

    def asked(self, run: str, message: SiloMessage) -> Instruction:
        """What it is told to do next, however long that takes."""
        told = self.say(run, message)
        while isinstance(told, Wait):
            told = self.say(run, Await())
        return told

    def report(self, run: str, told: Instruction, width: int) -> Instruction:
        made = work(told, self.name, width)
        assert made is not None
        report, data = made
        if report.payload.inline is None:
            answer = self.put(f"/silo/v1/runs/{run}/blobs/{report.payload.digest}", data)
            assert answer.status == 200, answer.body
        return self.asked(run, report)


def together(silos: Iterable[Silo], action: object) -> list[Instruction]:
    """What each silo is told when all act at one time."""
    assert callable(action)
    told: dict[str, Instruction] = {}
    threads = [threading.Thread(target=lambda one=silo: told.update({one.name: action(one)})) for silo in silos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [told[silo.name] for silo in silos]


def next_seed() -> int:
    return next(SEEDS)


def exchange_path(run: str) -> str:
    return f"/silo/v1/runs/{run}/exchange"


def blob_path(run: str, digest: str) -> str:
    return f"/silo/v1/runs/{run}/blobs/{digest}"


def start_round_one(
    silos: list[Silo], plan: Plan, key: str, width: int, project: str = ""
) -> tuple[str, list[Instruction]]:
    """A run whose silos have been asked for round 1."""
    with Client(silos[0].coordinator.access) as client:
        run = client.submit(plan, key=key, project=project).id
    prepare = together(silos, lambda silo: silo.asked(run, Join(plan.digest)))
    asked = {silo.name: told for silo, told in zip(silos, prepare, strict=True)}
    return run, together(silos, lambda silo: silo.report(run, asked[silo.name], width))


def finish(silos: list[Silo], run: str, told: list[Instruction], width: int) -> list[Instruction]:
    """The run to its end."""
    while not all(isinstance(one, End) for one in told):
        asked = {silo.name: one for silo, one in zip(silos, told, strict=True)}
        told = together(silos, lambda silo, asked=asked: silo.report(run, asked[silo.name], width))
    return told


def announced(silo: Silo, method: str, path: str, size_bytes: int, body: bytes | None = None) -> bytes:
    """The answer to a request that announces a body, and sends none of it."""
    head = "".join(f"{name}: {value}\r\n" for name, value in silo.signed(method, path, body).items())
    connection = silo.coordinator.connect()
    connection.connect()
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size_bytes}\r\n{head}\r\n"
    connection.sock.sendall(request.encode())
    said = connection.sock.recv(65536)
    while b"}" not in said and (more := connection.sock.recv(65536)):
        said += more
    connection.close()
    return said


def begun(silo: Silo, method: str, path: str, size_bytes: int, body: bytes | None) -> socket.socket:
    """A connection on which a request is signed and announced, and the first part of its body sent."""
    head = "".join(f"{name}: {value}\r\n" for name, value in silo.signed(method, path, body).items())
    connection = silo.coordinator.connect()
    connection.connect()
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size_bytes}\r\n{head}\r\n"
    connection.sock.sendall(request.encode())
    return connection.sock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


__all__ = [
    "Answer",
    "Report",
    "Running",
    "Silo",
    "announced",
    "begun",
    "finish",
    "free_port",
    "start_round_one",
    "together",
]
