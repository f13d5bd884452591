"""How fast can models go out and come back over TLS here? Raw sockets, with septum's digests and files or without.

Each silo is a process with one TLS 1.3 connection. In a round it takes `size_bytes` from a file of the server's and
then sends as many back, in buffers of 1 MiB. Rounds of two kinds take turns. RAW: what comes is forgotten. KEPT:
receivers digest (BLAKE3) what comes and write it to a new file without fsync, and silos digest what they send, for they
must name it. Two arrangements of the server: a thread a connection in one process, as a service has it, and a process a
connection, which no interpreter lock holds back.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import TypeAlias

from blake3 import blake3

from septum.adapters.tls import ensure_server_certificate

BUFFER_BYTES = 1 << 20
HOST = "127.0.0.1"
ARRANGEMENTS: Mapping[str, bool] = {"thread a connection": False, "process a connection": True}
RAW, KEPT = "raw_tls", "floor"
KINDS = (RAW, KEPT)
Speeds: TypeAlias = dict[str, dict[str, list[float]]]
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """What to move: `silos` connections, so many bytes each way on each, `rounds` times of each kind."""

    silos: int
    size_bytes: int
    rounds: int
    folder: str


def measure(found: Speeds, silos: int, size_bytes: int, rounds: int) -> None:
    """Add each round's GB/s (10^9 bytes, both directions together) to `found`, by kind and arrangement."""
    for name, processes in ARRANGEMENTS.items():
        with tempfile.TemporaryDirectory(prefix="septum-floor-") as folder:
            for kind, gb_per_s in _run(Transfer(silos, size_bytes, rounds, folder), processes=processes):
                found.setdefault(kind, {}).setdefault(name, []).append(gb_per_s)


def best(found: Mapping[str, list[float]]) -> tuple[str, float]:
    """The faster arrangement, by its median."""
    name = max(found, key=lambda one: median(found[one]))
    return name, median(found[name])


def _run(what: Transfer, *, processes: bool) -> list[tuple[str, float]]:
    context = multiprocessing.get_context("spawn")
    model = Path(what.folder) / "model"
    with model.open("wb") as file:
        for start in range(0, what.size_bytes, BUFFER_BYTES):
            file.write(os.urandom(min(BUFFER_BYTES, what.size_bytes - start)))
    made = ensure_server_certificate(Path(what.folder) / "tls", (HOST,))
    together = context.Barrier(what.silos + 1)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((HOST, 0), backlog=what.silos))
        servers, each = (what.silos, 1) if processes else (1, what.silos)
        for _ in range(servers):
            _start(stack, context, _server, listening, str(made.cert_path), str(made.key_path), each, what)
        for _ in range(what.silos):
            _start(stack, context, _silo, listening.getsockname()[1], str(made.ca_path), together, what)
        together.wait(_START_S)  # everybody is connected
        return [(kind, _timed(together, what)) for _ in range(what.rounds) for kind in KINDS]


def _start(stack: ExitStack, context: SpawnContext, target: Callable[..., None], *given: object) -> None:
    process = context.Process(target=target, args=given, daemon=True)
    process.start()
    stack.callback(process.join)


def _timed(together: Barrier, what: Transfer) -> float:
    began = time.perf_counter()
    together.wait()
    together.wait()
    return 2 * what.silos * what.size_bytes / (time.perf_counter() - began) / 1e9


def _server(listening: socket.socket, cert: str, key: str, count: int, what: Transfer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3

    def serve(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as line:
            for kind in what.rounds * KINDS:
                _send(line, Path(what.folder) / "model", digest=False)
                _receive(line, Path(what.folder) / f"spool-{threading.get_native_id()}", what.size_bytes, kind)
                line.sendall(b"!")

    threads = [threading.Thread(target=serve, args=(listening.accept()[0],)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _silo(port: int, ca_file: str, together: Barrier, what: Transfer) -> None:
    mine = Path(what.folder) / f"silo-{os.getpid()}"
    source = Path(what.folder) / "model"
    context = ssl.create_default_context(cafile=ca_file)
    with context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=HOST) as line:
        together.wait(_START_S)
        for kind in what.rounds * KINDS:
            together.wait()
            _receive(line, mine, what.size_bytes, kind)
            _send(line, source, digest=kind == KEPT)
            line.recv(1)
            together.wait()


def _send(line: ssl.SSLSocket, path: Path, *, digest: bool) -> None:
    hasher, buffer = blake3(), memoryview(bytearray(BUFFER_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            if digest:
                hasher.update(buffer[:count])
            line.sendall(buffer[:count])


def _receive(line: ssl.SSLSocket, path: Path, size_bytes: int, kind: str) -> None:
    if kind == RAW:
        for _ in _pieces(line, size_bytes):
            pass
        return
    hasher = blake3()
    path.unlink(missing_ok=True)
    with path.open("xb", buffering=0) as file:
        for piece in _pieces(line, size_bytes):
            hasher.update(piece)
            file.write(piece)
    hasher.digest()


def _pieces(line: ssl.SSLSocket, size: int) -> Iterator[memoryview]:
    """What comes, in full buffers: a TLS record alone has 16 KiB."""
    buffer, left = memoryview(bytearray(BUFFER_BYTES)), size
    while left:
        wanted, filled = min(left, BUFFER_BYTES), 0
        while filled < wanted:
            count = line.recv_into(buffer[filled:wanted])
            if not count:
                raise ConnectionError("the other side went away")
            filled += count
        yield buffer[:wanted]
        left -= wanted
