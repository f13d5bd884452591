import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.adapters.channel.servers import MODEL, PLAN, SmallCoordinator, SmallServer, running

from septum.adapters.channel import http1, https
from septum.adapters.channel.https import HttpsChannel
from septum.adapters.channel.proxy import ProxySettings
from septum.adapters.channel.wire_errors import RetryLaterError, error_body
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.tls import ensure_server_certificate
from septum.errors import (
    ERROR_CLASSES,
    AuthError,
    ConfigError,
    ConnectionFailedError,
    MessageError,
    ProtocolError,
    SeptumError,
    TooLargeError,
    VersionError,
)
from septum.protocol.codec import decode
from septum.protocol.messages import Await, End, Invitation, Join, Leave, Outcome, Prepare, Wait
from septum.protocol.plan import digest_of
from septum.protocol.versions import Wire

pytestmark = pytest.mark.served

LEAVE = Leave("bye")
BLOB = digest_of(MODEL)


def cut_after(data: bytes):
    return lambda handler: handler.raw(data)


# --- connections ---


def test_one_connection_carries_many_requests(connect, server):
    channel = connect()
    for _ in range(20):
        channel.exchange("r-1", LEAVE)
    assert len(server.requests) == 20
    assert len(server.connections) == 1


def test_an_error_answer_keeps_the_connection(connect, server):
    channel = connect()
    for _ in range(5):
        with pytest.raises(ProtocolError):
            channel.exchange("r-1", Join("blake3:" + "0" * 64))
    assert len(server.connections) == 1


def test_small_messages_are_not_delayed(connect):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    (line,) = channel._idle
    assert line._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_kept_connection_that_went_stale_is_replaced_at_once(connect, server):
    channel = connect()
    assert channel.exchange("r-1", LEAVE) == Wait()
    server.hang_up()
    assert channel.exchange("r-1", LEAVE) == Wait()
    assert len(server.connections) == 2


def test_a_stale_connection_is_replaced_for_blobs_too(connect, server, service, tmp_path):
    channel = connect()
    (tmp_path / "payload").write_bytes(b"y" * 3_000_000)
    channel.exchange("r-1", LEAVE)
    server.hang_up()
    channel.send_blob("r-1", digest_of(b"y" * 3_000_000), tmp_path / "payload")
    server.hang_up()
    channel.fetch_blob("r-1", BLOB, tmp_path / "model", size_bytes=len(MODEL))
    assert (tmp_path / "model").read_bytes() == MODEL


def test_a_request_is_sent_again_once_not_for_ever(connect, server):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    server.scripts.extend([cut_after(b""), cut_after(b""), cut_after(b"")])
    with pytest.raises(ConnectionFailedError, match="closed the connection"):
        channel.exchange("r-1", LEAVE)
    assert len(server.requests) == 3  # the first, the stale one and its repetition


def test_a_new_connection_that_breaks_is_not_tried_again_here(connect, server):
    server.scripts.append(cut_after(b""))
    with pytest.raises(ConnectionFailedError, match="closed the connection"):
        connect().exchange("r-1", LEAVE)
    assert len(server.requests) == 1


def test_a_repeated_request_is_signed_anew(connect, server):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    server.scripts.append(cut_after(b""))
    assert channel.exchange("r-1", LEAVE) == Wait()
    assert len({headers["Signature-Input"] for _, _, headers in server.requests}) == 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"H", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke off|no answer|without Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke off in its answer, after 1 of 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no answer"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, "no answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, "no answer"),
    ],
)
def test_an_answer_that_breaks_off_or_is_no_http_is_not_repeated(connect, server, answer, words):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    server.scripts.append(cut_after(answer))
    with pytest.raises((ConnectionFailedError, ProtocolError), match=words):
        channel.exchange("r-1", LEAVE)
    assert len(server.requests) == 2
    assert channel.exchange("r-1", LEAVE) == Wait()


def test_an_answer_without_a_length_is_refused_since_a_cut_would_not_show(connect, server):
    server.scripts.append(cut_after(b"HTTP/1.1 200 OK\r\n\r\n{}"))
    with pytest.raises(ProtocolError, match="without Content-Length"):
        connect().exchange("r-1", LEAVE)


def test_a_chunked_answer_is_read(connect, server):
    body = b'{"kind":"wait","septum-protocol":1}'
    server.scripts.append(
        lambda handler: handler.raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
            + b"0\r\n\r\n"
        )
    )
    assert connect().exchange("r-1", LEAVE) == Wait()


def test_a_silent_coordinator_is_given_up(connect, server, service):
    channel = connect(answer_timeout_s=0.2)
    channel.exchange("r-1", LEAVE)
    with pytest.raises(ConnectionFailedError, match="timed out"):
        channel.exchange("r-1", Await())
    assert len(server.requests) == 2  # silence is no stale connection
    service.end()
    assert channel.exchange("r-1", Await()) == End(Outcome.STOPPED, "by an operator")


def test_nobody_listening_is_a_connection_error_with_a_hint(connect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionFailedError, match=r"cannot reach 127.0.0.1:.*refused") as caught:
        connect(url).poll([])
    assert "septum doctor" in caught.value.hint


def test_an_unknown_host_is_a_connection_error(connect):
    with pytest.raises(ConnectionFailedError, match=r"cannot reach coordinator.invalid"):
        connect("https://coordinator.invalid").poll([])


def test_a_server_that_never_finishes_the_handshake_is_given_up(connect, monkeypatch):
    monkeypatch.setattr(http1, "CONNECT_TIMEOUT_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ConnectionFailedError, match=r"no TLS with .*timed out"),
    ):
        connect(f"https://127.0.0.1:{silent.getsockname()[1]}").poll([])


def test_closing_wakes_a_call_that_is_held(connect, service):
    channel = connect()
    with ThreadPoolExecutor() as pool:
        held = pool.submit(channel.exchange, "r-1", Await())
        assert service.holding.acquire(timeout=5)
        started = time.monotonic()
        channel.close()
        with pytest.raises(ConnectionFailedError, match="was closed"):
            held.result(5)
        assert time.monotonic() - started < 5  # it would have been held for 20 s and more


def test_closing_leaves_no_connection_open(connect, server, service):
    channel = connect()
    barrier = threading.Barrier(4)

    def talk(_: int) -> None:
        barrier.wait(5)
        channel.exchange("r-1", LEAVE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(talk, range(4)))
    channel.close()
    deadline = time.monotonic() + 5
    while any(connection.fileno() >= 0 for connection in server.connections) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert [connection.fileno() for connection in server.connections] == [-1] * len(server.connections)


def test_closing_during_the_last_moment_of_a_call_keeps_no_connection(connect, monkeypatch):
    channel = connect()

    def close_then_decode(*arguments):
        channel.close()
        return decode(*arguments)

    monkeypatch.setattr(https, "decode", close_then_decode)
    assert channel.exchange("r-1", LEAVE) == Wait()
    assert channel._idle == []


# --- who is at the other end ---


def test_a_coordinator_of_another_ca_is_refused(connect, tmp_path):
    other = ensure_server_certificate(tmp_path / "other", ["localhost"])
    with pytest.raises(ConnectionFailedError, match="certificate is not accepted") as caught:
        connect(ca_file=other.ca_path).poll([])
    assert "--extra-ca FILE" in caught.value.hint


def test_without_a_pin_a_private_ca_is_refused(connect, server):
    with pytest.raises(ConnectionFailedError, match="certificate is not accepted"):
        connect(ca_file=None).poll([])
    assert connect(ca_file=None, extra_ca=server.certificate.ca_path).poll([]) == Invitation("r-1", PLAN)


def test_a_certificate_for_another_name_is_refused(connect, server, tmp_path):
    certificate = ensure_server_certificate(tmp_path / "data", ["localhost"])
    server.context.load_cert_chain(certificate.cert_path, certificate.key_path)
    with pytest.raises(ConnectionFailedError, match=r"not accepted .*not valid for '127.0.0.1'") as caught:
        connect(server.url("127.0.0.1"), ca_file=certificate.ca_path).poll([])
    assert "a name that is in the certificate" in caught.value.hint
    assert connect(server.url("localhost"), ca_file=certificate.ca_path).poll([]) == Invitation("r-1", PLAN)


def test_tls_1_2_is_refused(connect, server):
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ConnectionFailedError, match="no TLS with") as caught:
        connect().poll([])
    assert "TLS 1.3" in caught.value.hint


def test_no_request_is_sent_to_a_coordinator_that_is_not_trusted(connect, server, tmp_path):
    other = ensure_server_certificate(tmp_path / "other", ["localhost"])
    with pytest.raises(ConnectionFailedError):
        connect(ca_file=other.ca_path).poll([])
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8443",
        "localhost:8443",
        "https://",
        "https://user:secret@localhost",
        "https://localhost/api",
        "https://localhost?x=1",
        "https://localhost:99999",
        "https://[::1",
        "https://ä.example.org",
        "https://a b",
    ],
)
def test_what_is_no_https_origin_is_refused_without_quoting_a_password(connect, url):
    with pytest.raises(ConfigError, match="URL") as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_the_coordinator_knows_who_asks(connect, service):
    connect().poll([])
    assert service.received[0][0] == "st-marys"


def test_an_unknown_silo_is_not_accepted(server):
    channel = HttpsChannel(
        server.url(), Ed25519Signer("nobody", Ed25519PrivateKey.generate()), ca_file=server.certificate.ca_path
    )
    with pytest.raises(AuthError, match="no silo 'nobody' is known here"):
        channel.poll([])
    channel.close()


# --- what the other side may answer ---


@pytest.mark.parametrize("code", sorted(ERROR_CLASSES))
def test_every_error_of_the_tree_comes_back_as_itself(connect, server, code):
    sent = ERROR_CLASSES[code]("what happened", hint="what to do")
    server.scripts.append(lambda handler: handler.reply(sent.http_status, error_body(sent)))
    with pytest.raises(SeptumError) as caught:
        connect().poll([])
    assert type(caught.value) is type(sent)
    assert (caught.value.message, caught.value.hint) == ("what happened", "what to do")


def test_retry_after_comes_with_the_error(connect, server):
    server.scripts.append(lambda handler: handler.reply(503, b"<html>", Retry_After="7"))
    with pytest.raises(RetryLaterError, match="503") as caught:
        connect().poll([])
    assert caught.value.retry_after_s == 7.0


def test_an_answer_over_the_limit_is_refused_before_it_is_held(connect, server):
    server.scripts.append(cut_after(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"))
    with pytest.raises(TooLargeError, match="99999999999 bytes, at most 262144"):
        connect().poll([])
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b" " * 32768 + b"\r\n") * 20
    server.scripts.append(cut_after(endless))
    with pytest.raises(TooLargeError, match="more than the 262144 bytes"):
        connect().poll([])


def test_an_answer_that_is_not_read_to_its_end_spoils_no_later_request(connect, server):
    server.scripts.append(lambda handler: handler.reply(200, b" " * 300_000))
    channel = connect()
    with pytest.raises(TooLargeError):
        channel.exchange("r-1", LEAVE)
    assert channel.exchange("r-1", LEAVE) == Wait()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"kind":"wait"}', b'{"kind":"train","septum-protocol":1}'])
def test_an_answer_that_is_no_message_is_an_error(connect, server, body):
    server.scripts.append(lambda handler: handler.reply(200, body))
    with pytest.raises(MessageError):
        connect().poll([])


def test_a_redirect_is_not_followed(connect, server):
    server.scripts.append(lambda handler: handler.reply(302, b"", Location="https://evil.example.org/"))
    with pytest.raises(ProtocolError, match="302"):
        connect().poll([])


@pytest.mark.parametrize("run", ["", "../api", "a/b", "r 1", "r-1\r\nX: y", "r?x", "é", "x" * 200])
def test_a_run_id_cannot_leave_its_place_in_the_path(connect, server, run, tmp_path):
    channel = connect()
    (tmp_path / "payload").write_bytes(b"")
    for call in (
        lambda: channel.exchange(run, LEAVE),
        lambda: channel.send_blob(run, BLOB, tmp_path / "payload"),
        lambda: channel.fetch_blob(run, BLOB, tmp_path / "model", size_bytes=1),
        lambda: channel.send_blob("r-1", f"../{run}", tmp_path / "payload"),
    ):
        with pytest.raises(MessageError):
            call()
    assert server.requests == []


# --- proxies ---


def test_a_proxy_carries_the_requests_and_resolves_the_name(connect, server, proxy, service):
    proxy.credentials = "silo:s3cret p@ss"
    url = f"https://fl.example.org:{server.port}"
    settings = ProxySettings(proxy.url.replace("//", "//silo:s3cret%20p%40ss@"))
    channel = connect(url, proxies=settings)
    assert channel.poll([]) == Invitation("r-1", PLAN)
    assert channel.exchange("r-1", Join(PLAN.digest)) == Prepare(1, True)
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(f"CONNECT fl.example.org:{server.port} HTTP/1.")
    assert "Signature" not in proxy.heads[0]


def test_a_proxy_that_wants_credentials_says_so(connect, server, proxy, caplog):
    proxy.credentials = "silo:right"
    channel = connect(proxies=ProxySettings(proxy.url.replace("//", "//silo:wr0ng@")))
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectionFailedError, match="407") as caught:
        channel.poll([])
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in caught.value.hint
    for text in (str(caught.value), caught.value.hint, caplog.text, repr(channel), repr(channel._origin)):
        assert "wr0ng" not in text
        assert "c2lsbzp3cjBuZw" not in text


def test_no_proxy_goes_directly(connect, server, proxy):
    channel = connect(proxies=ProxySettings(proxy.url, "example.com,localhost"))
    assert channel.poll([]) == Invitation("r-1", PLAN)
    assert proxy.heads == []


def test_a_proxy_that_is_away_is_named(connect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionFailedError, match=f"through the proxy 127.0.0.1:{port}"):
        connect(proxies=ProxySettings(f"http://127.0.0.1:{port}")).poll([])


def test_a_proxy_cannot_pretend_to_be_the_coordinator(connect, server, proxy, tmp_path):
    (tmp_path / "impostor").mkdir()
    impostor = SmallServer(SmallCoordinator(tmp_path / "impostor"), tmp_path / "impostor" / "data")
    with running(impostor):
        proxy.target_port = impostor.port
        with pytest.raises(ConnectionFailedError, match="certificate is not accepted"):
            connect(proxies=ProxySettings(proxy.url)).poll([])
    assert impostor.requests == []


# --- weight ---


@pytest.mark.processes
def test_the_channel_brings_neither_numpy_nor_a_web_framework_nor_httpx():
    code = (
        "import sys, septum.adapters.channel.https, septum.adapters.channel.enroll, septum.adapters.channel.backoff\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "cryptography" in loaded
    assert not {"numpy", "httpx", "fastapi", "starlette", "granian", "sqlalchemy", "torch", "asyncio"} & set(loaded)


# --- versions ---


def test_every_request_carries_the_version_of_the_protocol(connect, server, tmp_path):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    path = tmp_path / "payload"
    path.write_bytes(b"payload")
    channel.send_blob("r-1", digest_of(b"payload"), path)
    channel.fetch_blob("r-1", digest_of(b"payload"), tmp_path / "back", size_bytes=7)
    assert {method for method, _, _ in server.requests} >= {"POST", "PUT", "GET"}
    for _, _, headers in server.requests:
        assert headers["septum-protocol"] == "1"


def test_a_coordinator_of_another_version_is_named_with_who_is_to_upgrade(connect):
    channel = connect(wire=Wire("septum-protocol", 2, advice="upgrade {older}"))
    with pytest.raises(VersionError, match="septum-protocol") as refused:
        channel.exchange("r-1", LEAVE)
    assert refused.value.message == "the silo speaks septum-protocol 2, the coordinator 1 only"
    assert refused.value.hint == (
        "upgrade the coordinator: pip install --upgrade septum; coordinators are upgraded first, silos when they like"
    )
