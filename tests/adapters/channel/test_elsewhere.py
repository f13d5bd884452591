"""Blobs that a coordinator has elsewhere: fetched where the silo's own rule lets it go, and nothing is told there."""

import ssl

import pytest
from tests.adapters.channel.servers import MODEL, PLAN, SmallProxy, running
from tests.adapters.channel.test_downloads import cut_answer, names

from septum.adapters.channel.blob_files import part_of
from septum.adapters.channel.elsewhere import MAX_LOCATION_CHARS, host_of, place_of
from septum.adapters.channel.proxy import ProxySettings
from septum.adapters.channel.transfers import MIN_PROGRESS_BYTES
from septum.errors import ConfigError, ConnectionFailedError, DigestError, NotFoundError, ProtocolError
from septum.ports.channel import EgressError
from septum.protocol.messages import AppOffer, Join, blob_of
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.served

BLOB = digest_of(MODEL)  # 2 MiB


@pytest.fixture
def target(tmp_path):
    (tmp_path / "silo").mkdir()
    return tmp_path / "silo" / "model"


@pytest.fixture
def channel(connect, storage):
    """To a coordinator whose blobs may lie in the storage, as far as this silo is concerned."""
    return connect(egress_hosts=(storage.rule,), extra_ca=storage.certificate.ca_path)


def fetch(channel, target):
    channel.fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))


# --- what is followed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_model_is_fetched_from_a_host_that_the_policy_names(server, storage, channel, target, status):
    server.scripts.append(storage.redirect(status))
    fetch(channel, target)
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])
    assert [path for _, path, _ in storage.requests] == ["/bucket/model?signature=secret"]
    fetch(channel, target)  # where nothing is said of another host, the coordinator is asked, on the same line
    assert len(storage.requests) == 1
    assert len(server.connections) == 1


def test_the_coordinator_is_told_where_a_silo_would_go_and_nobody_else_is(server, storage, channel, connect, target):
    server.scripts.append(storage.redirect())
    fetch(channel, target)
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    told = [headers.get("Septum-Takes-From") for _, path, headers in server.requests if "blobs" in path]
    assert told == [storage.rule, None]
    assert ["Septum-Takes-From" in headers for *_, headers in storage.requests] == [False]


def test_a_package_is_fetched_there_too(server, storage, channel, target):
    offer = AppOffer("sha256:" + "0" * 64, "small", "1", blob_of(MODEL).without_bytes(), "")
    server.scripts.append(storage.redirect())
    channel.fetch_app(offer, target)
    assert target.read_bytes() == MODEL


def test_nothing_there_says_who_asks(server, storage, channel, target):
    server.scripts.append(storage.redirect())
    fetch(channel, target)
    ((method, _, headers),) = storage.requests
    assert method == "GET"
    assert {name.lower() for name in headers} == {"host", "user-agent", "accept-encoding"}
    asked = {name.lower() for name in server.asked("GET")[0]}
    assert {"signature", "signature-input", "septum-protocol"} <= asked  # which the coordinator does get


def test_a_download_that_is_cut_there_goes_on_there_from_where_it_stopped(server, storage, channel, target):
    for _ in range(2):
        server.scripts.append(storage.redirect())
    storage.scripts.append(cut_answer(MIN_PROGRESS_BYTES))
    fetch(channel, target)
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])
    ranges = [None, f"bytes={MIN_PROGRESS_BYTES}-"]
    assert [headers.get("Range") for _, _, headers in storage.requests] == ranges
    assert [headers.get("Range") for headers in server.asked("GET")] == ranges


def test_what_came_from_there_is_gone_on_with_here_and_the_reverse(server, storage, channel, target):
    part_of(target, BLOB).write_bytes(MODEL[:1000])
    server.scripts.append(storage.redirect())
    storage.range_bytes = 500_000
    fetch(channel, target)
    assert target.read_bytes() == MODEL
    assert storage.requests[0][2]["Range"] == "bytes=1000-"
    assert server.asked("GET")[1]["Range"] == "bytes=501000-"


def test_a_storage_that_knows_no_ranges_sends_it_whole(server, storage, channel, target):
    part_of(target, BLOB).write_bytes(MODEL[:1000])
    server.scripts.append(storage.redirect())
    storage.ranges = False
    fetch(channel, target)
    assert target.read_bytes() == MODEL


def test_other_bytes_there_are_refused_and_the_host_is_named(server, storage, channel, target):
    for _ in range(2):
        server.scripts.append(storage.redirect())
        storage.scripts.append(lambda handler: handler.reply(200, MODEL[:-1] + b"!"))
    with pytest.raises(DigestError, match=f"fetched from localhost:{storage.port}, came damaged twice"):
        fetch(channel, target)
    assert names(target) == []


def test_the_way_there_leads_through_the_proxy(connect, server, storage, target):
    # The coordinator is reached directly, for NO_PROXY names its port; the storage only through the proxy.
    with running(made := SmallProxy(storage.port)):
        proxies = ProxySettings(made.url, no_proxy=f"localhost:{server.port}")
        channel = connect(egress_hosts=("fl.example.org:9000",), extra_ca=storage.certificate.ca_path, proxies=proxies)
        server.scripts.append(storage.redirect(307, "https://fl.example.org:9000/bucket"))
        fetch(channel, target)
        storage.hang_up()
    assert target.read_bytes() == MODEL
    assert [head.split(" ")[:2] for head in made.heads] == [["CONNECT", "fl.example.org:9000"]]
    assert "signature" not in made.heads[0].lower()


def test_the_systems_authorities_vouch_for_it(connect, server, storage, target, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(storage.certificate.ca_path))
    server.scripts.append(storage.redirect())
    fetch(connect(egress_hosts=(storage.rule,)), target)
    assert target.read_bytes() == MODEL


# --- what is not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [(), ("blobs.example.org",), ("localhost",), ("localhost:1",), ("127.0.0.1",)])
def test_a_host_that_the_policy_does_not_name_is_never_dialled(connect, server, storage, target, rules):
    channel = connect(egress_hosts=rules, extra_ca=storage.certificate.ca_path)
    server.scripts.append(storage.redirect())
    with pytest.raises(
        EgressError, match=f"^policy.egress_hosts: .*localhost:{storage.port}, which its rules"
    ) as caught:
        fetch(channel, target)
    assert f'egress_hosts = ["localhost:{storage.port}"] under [policy]' in caught.value.hint
    assert "secret" not in str(caught.value) + caught.value.hint
    assert storage.connections == []
    assert names(target) == []


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/bucket/model",
        "//localhost:PORT/bucket",
        "http://localhost:PORT/bucket",
        "https://silo@localhost:PORT/bucket",
        "https://localhost:PORT@evil.example/bucket",
        "https://evil.example#@localhost:PORT/bucket",
        "https://localhost:PORT.evil.example/bucket",
        "https://evil.localhost:PORT/bucket",
        "https://localhost.:PORT/bucket",
        "https://localhost:PORT\\@evil.example/bucket",
        "https://localhost:PORT/bucket#part",
        "https://localhost:PORT/buck et",
        "https://localhost:PORT",
        "https://localhost:99999/bucket",
        "https://localhost:PORT/" + "x" * MAX_LOCATION_CHARS,
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_not_quite_the_host_of_the_rule_is_refused(server, storage, channel, target, location):
    server.scripts.append(lambda handler: handler.reply(307, b"", Location=location.replace("PORT", str(storage.port))))
    with pytest.raises(EgressError, match=r"^policy\.egress_hosts: "):
        fetch(channel, target)
    assert storage.connections == []
    assert names(target) == []


@pytest.mark.parametrize("status", [301, 302, 303, 304])
def test_another_kind_of_redirect_is_an_error(server, storage, channel, target, status):
    server.scripts.append(storage.redirect(status))
    with pytest.raises(ProtocolError, match=f"HTTP status {status}"):
        fetch(channel, target)
    assert storage.connections == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_second_hop_is_not_taken(server, storage, channel, target, status):
    server.scripts.append(storage.redirect())
    storage.scripts.append(storage.redirect(status, storage.location()))
    with pytest.raises(EgressError, match="one hop only"):
        fetch(channel, target)
    assert len(storage.requests) == 1
    assert names(target) == []


def test_uploads_and_messages_are_never_sent_elsewhere(server, storage, channel, tmp_path):
    path = tmp_path / "update"
    path.write_bytes(MODEL)
    for call in (
        lambda: channel.send_blob("r-1", BLOB, path),
        lambda: channel.exchange("r-1", Join(PLAN.digest)),
        lambda: channel.poll(()),
        channel.offers,
        channel.roster,
    ):
        server.scripts.append(storage.redirect())
        with pytest.raises(ProtocolError, match="HTTP status 307") as caught:
            call()
        assert not isinstance(caught.value, EgressError)
    assert storage.connections == []


def test_the_pinned_authority_of_the_coordinator_vouches_for_no_other_host(connect, server, storage, target):
    channel = connect(egress_hosts=(storage.rule,), extra_ca=None)
    server.scripts.append(storage.redirect())
    with pytest.raises(ConnectionFailedError, match="certificate is not accepted"):
        fetch(channel, target)
    server.scripts.append(lambda handler: handler.reply(307, b"", Location=server.url() + "/bucket"))
    ours = connect(egress_hosts=(f"localhost:{server.port}",))
    with pytest.raises(ConnectionFailedError, match="certificate is not accepted"):
        fetch(ours, target)


def test_a_certificate_for_another_name_is_refused(connect, server, storage, target):
    channel = connect(egress_hosts=(f"127.0.0.2:{storage.port}",), extra_ca=storage.certificate.ca_path)
    server.scripts.append(storage.redirect(307, storage.location("127.0.0.2")))
    with pytest.raises(ConnectionFailedError):
        fetch(channel, target)
    assert storage.requests == []


def test_tls_below_1_3_is_refused(server, storage, channel, target):
    storage.context.maximum_version = ssl.TLSVersion.TLSv1_2
    server.scripts.append(storage.redirect())
    with pytest.raises(ConnectionFailedError):
        fetch(channel, target)
    assert storage.requests == []


@pytest.mark.parametrize(
    ("status", "error"), [(403, ConnectionFailedError), (503, ConnectionFailedError), (404, NotFoundError)]
)
def test_a_refusal_there_is_not_taken_for_the_coordinators_word(server, storage, channel, target, status, error):
    body = b'{"error":{"code":"auth","message":"you are revoked","hint":""}}'
    server.scripts.append(storage.redirect())
    storage.scripts.append(lambda handler: handler.reply(status, body))
    with pytest.raises(
        error, match=f"localhost:{storage.port}, where the coordinator sent .* HTTP status {status}"
    ) as e:
        fetch(channel, target)
    assert "revoked" not in e.value.message
    fetch(channel, target)
    assert target.read_bytes() == MODEL


def test_closing_the_channel_ends_what_is_under_way_there(server, storage, channel, target):
    server.scripts.append(storage.redirect())

    def close_then_stall(handler):
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(MODEL)}\r\n\r\n".encode() + MODEL[:1000])
        channel.close()
        handler.rfile.read(1)

    storage.scripts.append(close_then_stall)
    with pytest.raises(ConnectionFailedError, match="was closed"):
        fetch(channel, target)


# --- what a rule may be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "*",
        "*.example.org",
        "https://blobs.example.org",
        "blobs.example.org/x",
        "h:0",
        "h:65536",
        "a b",
        "u@h",
        "::1",
    ],
)
def test_a_rule_that_is_no_host_is_refused(rule):
    with pytest.raises(ConfigError, match=r"egress_hosts has .*, which is no host"):
        host_of(rule)


def test_names_are_compared_without_case_and_a_missing_port_is_443():
    assert place_of("https://Blobs.Example.org/x", ["blobs.example.ORG:443"]).authority == "blobs.example.org"
    assert place_of("https://[FD00::1]:9000/x", ["[fd00::1]:9000"]).authority == "[fd00::1]:9000"
    with pytest.raises(EgressError):
        place_of("https://blobs.example.org:8443/x", ["blobs.example.org"])
