"""A process that tracks for a silo reaches the hosts that its policy names; no other name is even looked up."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

PROGRAM = """
import socket, sys
from septum.adapters.tracking.hosts import Gate
gate = Gate(sys.argv[1].split(), "[policy]: tracking_hosts")
def tried(job):
    try:
        job()
        return "went"
    except PermissionError as error:
        return str(error)
    except OSError as error:
        return type(error).__name__
port = int(sys.argv[2])
print(tried(lambda: socket.create_connection(("127.0.0.1", port), 5)))
print(tried(lambda: socket.create_connection(("127.0.0.1", port + 1), 5)))
print(tried(lambda: socket.create_connection(("localhost", port), 5)))
print(tried(lambda: socket.getaddrinfo("mlflow.example.org", 443)))
print(tried(lambda: socket.gethostbyname("mlflow.example.org")))
print(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53))))
print(gate.error().message)
print(gate.error())
"""


@pytest.mark.parametrize(("named", "localhost"), [("127.0.0.1:{}", False), ("127.0.0.1:{} localhost:{}", True)])
def test_what_is_not_named_is_not_reached(named, localhost):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-c", PROGRAM, named.format(port, port), str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, other_port, by_name, looked_up, old, datagram, told, again = done.stdout.splitlines()
    assert first == "went"
    assert other_port == f"127.0.0.1:{port + 1} is not among the hosts that [policy]: tracking_hosts names"
    assert (by_name == "went") == localhost
    assert looked_up == old == "mlflow.example.org is not among the hosts that [policy]: tracking_hosts names"
    assert datagram.startswith("127.0.0.1:53 is not")
    assert told == "the tracker wants to reach 127.0.0.1:53, which [policy]: tracking_hosts does not name"
    assert again == "None"
