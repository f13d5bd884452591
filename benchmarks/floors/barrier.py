"""How short can a durable round be here? One signed message of each silo over TLS, one commit, one answer to each.

Two programs that share nothing but the clients: one thread a silo and a SQLite transaction, and one thread for all with
a log file. No HTTP, no JSON, no model, no worker. The silos are processes of their own, as agents are.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import socket
import sqlite3
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from septum.adapters.tls import ensure_server_certificate

REPORT_BYTES = 2048  # about what a heart-disease report and its instruction have, without HTTP
ANSWER_BYTES = 1536
STATE_BYTES = 4096
KEY_BYTES, SIGNATURE_BYTES = 32, 64
HOST = "127.0.0.1"

Barrier = Callable[[Sequence[ssl.SSLSocket], int, Path], list[float]]


def floor_ms(silos: int, rounds: int) -> dict[str, list[float]]:
    """Every round's milliseconds, by program."""
    return {name: _run(program, silos, rounds) for name, program in PROGRAMS.items()}


def _run(program: Barrier, silos: int, rounds: int) -> list[float]:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="septum-floor-") as folder, socket.create_server((HOST, 0)) as listening:
        made = ensure_server_certificate(Path(folder) / "tls", ("127.0.0.1",))
        port = listening.getsockname()[1]
        clients = [
            context.Process(target=_silo, args=(port, str(made.ca_path), rounds), daemon=True) for _ in range(silos)
        ]
        for client in clients:
            client.start()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(made.cert_path, made.key_path)
        server.minimum_version = ssl.TLSVersion.TLSv1_3
        lines = [_accept(listening, server) for _ in range(silos)]
        try:
            return program(lines, rounds, Path(folder))
        finally:
            for line in lines:
                line.close()
            for client in clients:
                client.join()


def _accept(listening: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    line, _ = listening.accept()
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(line, server_side=True)


def _silo(port: int, ca_file: str, rounds: int) -> None:
    key, body = Ed25519PrivateKey.generate(), os.urandom(REPORT_BYTES)
    plain = socket.create_connection((HOST, port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname=HOST) as line:
        line.sendall(key.public_key().public_bytes_raw())
        for _ in range(rounds):
            line.sendall(key.sign(body) + body)
            _exactly(line, ANSWER_BYTES)


def _exactly(line: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = line.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the other side went away")
        data += chunk
    return data


def with_threads(lines: Sequence[ssl.SSLSocket], rounds: int, folder: Path) -> list[float]:
    """A thread a silo; the last one to arrive commits to SQLite (WAL, synchronous=FULL)."""
    database = sqlite3.connect(folder / "floor.sqlite", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE run (state BLOB)")
    database.execute("INSERT INTO run VALUES (?)", (b"",))
    state, answer, marks = os.urandom(STATE_BYTES), os.urandom(ANSWER_BYTES), [time.perf_counter()]

    def commit() -> None:
        database.execute("UPDATE run SET state = ?", (state,))
        marks.append(time.perf_counter())

    together = threading.Barrier(len(lines), commit)

    def serve(line: ssl.SSLSocket) -> None:
        key = Ed25519PublicKey.from_public_bytes(_exactly(line, KEY_BYTES))
        for _ in range(rounds):
            _verify(key, _exactly(line, SIGNATURE_BYTES + REPORT_BYTES))
            together.wait()
            line.sendall(answer)

    threads = [threading.Thread(target=serve, args=(line,), daemon=True) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    return _differences_ms(marks)


def with_a_selector(lines: Sequence[ssl.SSLSocket], rounds: int, folder: Path) -> list[float]:
    """One thread reads whoever is ready; the barrier appends to a log file and syncs its data."""
    keys = {line: Ed25519PublicKey.from_public_bytes(_exactly(line, KEY_BYTES)) for line in lines}
    state, answer, marks = os.urandom(STATE_BYTES), os.urandom(ANSWER_BYTES), [time.perf_counter()]
    log = os.open(folder / "floor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    waiting = selectors.DefaultSelector()
    for line in lines:
        line.setblocking(False)
        waiting.register(line, selectors.EVENT_READ)
    for _ in range(rounds):
        _gather(waiting, keys)
        os.write(log, state)
        os.fdatasync(log)
        marks.append(time.perf_counter())
        for line in lines:
            line.send(answer)  # far below a socket's buffer: it never blocks
    waiting.close()
    os.close(log)
    return _differences_ms(marks)


def _gather(waiting: selectors.BaseSelector, keys: Mapping[ssl.SSLSocket, Ed25519PublicKey]) -> None:
    """One verified report of each silo."""
    parts: dict[ssl.SSLSocket, bytes] = dict.fromkeys(keys, b"")
    missing = set(keys)
    while missing:
        for ready, _ in waiting.select():
            line = ready.fileobj
            assert isinstance(line, ssl.SSLSocket)
            try:
                parts[line] += line.recv(SIGNATURE_BYTES + REPORT_BYTES - len(parts[line]))
            except ssl.SSLWantReadError:
                continue
            if len(parts[line]) == SIGNATURE_BYTES + REPORT_BYTES:
                _verify(keys[line], parts[line])
                missing.discard(line)


def _verify(key: Ed25519PublicKey, message: bytes) -> None:
    key.verify(message[:SIGNATURE_BYTES], message[SIGNATURE_BYTES:])


def _differences_ms(marks: Sequence[float]) -> list[float]:
    """Between one commit and the next; the first waits for the clients to start, so it does not count."""
    return [1000 * (after - before) for before, after in pairwise(marks[1:])]


PROGRAMS: Mapping[str, Barrier] = {"threads and sqlite": with_threads, "selector and log file": with_a_selector}
