"""granian as the coordinator's server: one port, TLS 1.3 alone, exclusive, and it ends when it is told to."""

from __future__ import annotations

import asyncio
import http.client
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from septum.adapters.server.granian import OTHER_FILES, GranianServer
from septum.adapters.tls import client_context, ensure_server_certificate
from septum.errors import ConfigError, ConflictError

pytestmark = pytest.mark.served


async def echo(scope, receive, send):
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    text = f"{scope['method']} {scope['path']} ".encode() + bytes(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-scheme", scope["scheme"].encode())]})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return ensure_server_certificate(tmp_path_factory.mktemp("tls"), ["127.0.0.1", "localhost"])


def make(certificate, port=0, host="127.0.0.1"):
    paths = {"cert_path": certificate.cert_path, "key_path": certificate.key_path}
    return GranianServer(echo, host=host, port=port, max_connections=256, **paths)


@pytest.fixture
def server(certificate):
    made, up = make(certificate), threading.Event()
    loops = []

    async def main():
        loops.append(asyncio.get_running_loop())
        await made.serve(up.set)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert up.wait(10)
    yield made
    loops[0].call_soon_threadsafe(made.stop)
    thread.join(10)
    assert not thread.is_alive()


def ask(server, context, method="GET", path="/", body=None):
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_free_port_is_taken_and_requests_are_answered(server, certificate):
    assert server.port > 0
    context = client_context(certificate.ca_path)
    assert ask(server, context, "POST", "/a", b"x" * 100_000) == (200, b"POST /a " + b"x" * 100_000)


def test_an_older_tls_is_refused(server, certificate):
    context = client_context(certificate.ca_path)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        ask(server, context)


def test_plain_http_is_refused(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/")
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()


def test_a_port_in_use_is_refused_naming_port_and_process(server, certificate):
    with pytest.raises(ConflictError, match=f"port {server.port} on 127.0.0.1 is in use by process {os.getpid()}"):
        make(certificate, server.port)


def test_a_port_that_another_program_shares_is_refused(certificate):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConflictError):
            make(certificate, other.getsockname()[1])


def test_a_stopped_server_gives_its_port_back(certificate):
    first = make(certificate)
    up = asyncio.Event()

    async def main():
        serving = asyncio.create_task(first.serve(up.set))
        await up.wait()
        first.stop()
        await serving

    asyncio.run(main())
    make(certificate, first.port)._socket.close()


def test_an_address_that_is_not_of_this_machine_is_refused(certificate):
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        make(certificate, host="192.0.2.1")
    with pytest.raises(ConfigError, match="no address to listen on"):
        make(certificate, host="no such host")


def test_a_key_that_does_not_fit_is_refused_and_the_port_given_back(certificate, tmp_path):
    other = ensure_server_certificate(tmp_path, ["localhost"])
    with pytest.raises(ConfigError, match="cannot be used"):
        GranianServer(
            echo,
            host="127.0.0.1",
            port=0,
            cert_path=certificate.cert_path,
            key_path=other.key_path,
            max_connections=256,
        )


@pytest.fixture
def open_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_on_open_files_is_raised_to_what_its_connections_need(certificate, open_files):
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, open_files[1]))
    make(certificate)._socket.close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (256 + OTHER_FILES, open_files[1])


@pytest.mark.processes
def test_where_that_is_not_allowed_there_are_fewer_connections_and_the_log_says_so(certificate, tmp_path):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (400, 600));"
        "from septum.adapters.server.granian import _room_for; print(_room_for(4096), _room_for(64))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["300", "64"]
    assert "fewer_connections" in done.stderr
