"""A coordinator process without agents, and silos that speak to it in raw HTTP (see tests/coordinator/running.py)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.running import Answer, Silo

from septum.adapters.identity.token import enrolment
from septum.adapters.tls import client_context
from septum.cli.process import Process
from septum.client import Access, Client, operator_access
from septum.protocol.codec import encode

START_S = 60.0


class Lone:
    """The coordinator in `folder`; it can be killed and started again on its port."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.data_dir = folder / "coordinator"
        self.log = folder / "coordinator.log"
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        (self.data_dir / "coordinator.toml").write_text(settings)
        self.port = 0

    def start(self) -> None:
        where = ["--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self.port}"]
        self._process = Process(["coordinator", "start", "--json", *where], self.log)
        self._process.wait_for_event("ready", START_S)
        self.pid = self._process.pid
        if not self.port:
            said = (json.loads(line) for line in self.log.read_text().splitlines() if '"event": "ready"' in line)
            self.port = next(said)["port"]

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        self._process.stop()

    @property
    def ca_file(self) -> Path:
        return self.data_dir / "tls" / "ca.crt"

    @property
    def access(self) -> Access:
        return operator_access(self.data_dir)

    def ask(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        context = client_context(self.ca_file)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def enrolled(self, name: str) -> Silo:
        key = Ed25519PrivateKey.generate()
        with Client(self.access) as client:
            token = client.invite(name).token
        answer = self.ask("POST", "/silo/v1/enroll", encode(enrolment(token, key)))
        assert answer.status == 200, answer.body
        return Silo(self, name, key)


@contextmanager
def lone_coordinator(folder: Path, settings: str = "") -> Iterator[Lone]:
    lone = Lone(folder, settings)
    lone.start()
    try:
        yield lone
    finally:
        lone.stop()
