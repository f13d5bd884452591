"""Thousands of connections at one time: who holds them open hinders nobody, and who lost them all comes back."""

import resource
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import pytest
from tests.e2e.processes import resident_mb
from tests.e2e.runs import APP, FILES, OPEN, Journal, a_plan, client_of, port_of, undisturbed
from tests.faults.lone import Lone

from septum.adapters.tls import client_context
from septum.cli.federation import COORDINATOR, Federation
from septum.cli.shipped import example
from septum.client import Client
from septum.protocol import facts
from septum.testing.crowd import Crowd, CrowdView, enrol_crowd

pytestmark = pytest.mark.faults

IDLE = 10_000
SLOW = 300
SILOS = 1_000
OUR_FILES = 1_000  # what a process has open beside these connections
SLICES = 3
ROUNDS = 100


@pytest.fixture(autouse=True)
def files() -> Iterator[int]:
    """As many open files as the system allows, for this process and those that it starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1] if before[1] != resource.RLIM_INFINITY else 1_000_000
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- idle and slow connections ---------------------------------------------------------------------------------------


def connections(count: int, port: int, ca_file: Path) -> list[ssl.SSLSocket]:
    """So many, through their handshake, from some threads at one time."""
    context = client_context(ca_file)

    def one(_: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(one, range(count)))


@contextmanager
def crowded(count: int, port: int, ca_file: Path) -> Iterator[list[ssl.SSLSocket]]:
    """Connections that ask nothing, and some that ask at one byte a second."""
    idle = connections(count, port, ca_file)
    slow = connections(SLOW, port, ca_file)
    over = threading.Event()
    dripping = threading.Thread(target=drip, args=(slow, over))
    dripping.start()
    try:
        yield idle
    finally:
        over.set()
        dripping.join()
        for connection in (*idle, *slow):
            connection.close()


def drip(slow: Sequence[ssl.SSLSocket], over: threading.Event) -> None:
    rest = b"POST /silo/v1/poll HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000
    for byte in rest:
        for connection in slow:
            with suppress(OSError):  # the coordinator may hang up on it
                connection.send(bytes([byte]))
        if over.wait(1.0):
            return


def slowest_round_s(federation: Federation, expected: str, key: str) -> float:
    """The time that 99 of 100 rounds keep below, in a run that ends at the expected model."""
    with client_of(federation) as client:
        run = client.submit(a_plan(ROUNDS), key=key)
        journal = Journal(client, run)
        journal.until(facts.RunEnded)
        assert client.run(run.id).model == expected
    made = [entry.at for entry in journal.seen if isinstance(entry.fact, facts.ModelMade)]
    return quantiles([after - before for before, after in pairwise(made)], n=100)[98]


def test_ten_thousand_idle_and_some_slow_connections_leave_a_federation_its_pace(tmp_path: Path, files: int):
    count = min(IDLE, files - OUR_FILES)
    (tmp_path / COORDINATOR).mkdir(mode=0o700)
    (tmp_path / COORDINATOR / "coordinator.toml").write_text("max_connections = 16384\n")
    with Federation(tmp_path, example("heart_disease"), APP.app.name, FILES, policy=OPEN) as federation:
        federation.start()
        pid, ca_file = federation.pid(COORDINATOR), federation.operator_dir / "tls" / "ca.crt"
        expected = undisturbed(a_plan(ROUNDS))
        calm = [slowest_round_s(federation, expected, f"calm {number}") for number in range(SLICES)]
        before_mb = resident_mb(pid)
        with crowded(count, port_of(federation), ca_file):
            grown_mb = resident_mb(pid) - before_mb
            busy = [slowest_round_s(federation, expected, f"busy {number}") for number in range(SLICES)]
            assert len(sockets_of(pid)) > count  # they were there all the time
    # The quietest of each, for others use this machine too; 20 ms are two turns of its scheduler.
    assert min(busy) < 2 * min(calm) + 0.02, (calm, busy)
    assert grown_mb < 64.0 + 0.03 * count


def sockets_of(pid: int) -> list[str]:
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            links.append(str(link.readlink()))
    return [link for link in links if link.startswith("socket:")]


# --- everybody at once -----------------------------------------------------------------------------------------------


def all_held(view: CrowdView) -> bool:
    return view.held == SILOS and len(view.back_s) == SILOS


def test_a_thousand_silos_are_back_within_a_minute_of_a_kill_and_of_a_restart(tmp_path: Path):
    lone = Lone(tmp_path)
    signers = enrol_crowd(lone.data_dir, SILOS)
    lone.start()
    try:
        with Crowd(lone.port, lone.ca_file, signers) as crowd:
            crowd.wait_until(all_held, 60)
            for end in (lone.kill, lone.stop):
                crowd.mark()
                end()
                lone.start()
                view = crowd.wait_until(all_held, 60)
                assert set(view.answered) <= {200, 429, 503}, view.answered
                assert view.unexcused == 0
                assert resident_mb(lone.pid) < 1024
                with Client(lone.access) as client:
                    assert client.health().silos_online == SILOS
            assert view.answered.get(503, 0) > 0  # it let go of what it held before it ended
    finally:
        lone.stop()
