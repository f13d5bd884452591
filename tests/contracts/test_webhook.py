"""The webhook keeps the contract of trackers, and a receiver can tell who sent what."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from septum.adapters.tls import ensure_server_certificate
from septum.adapters.tracking.webhook import make_webhook, signature
from septum.errors import ConfigError, ConnectionFailedError
from septum.ports.tracker import Listener, TrackerSettings
from septum.protocol.feed import Change, FeedEntry, Kind
from septum.testing.contracts.tracker import STORY, TrackerContract

pytestmark = pytest.mark.served

SECRET = bytes(range(32))
ALL = "started, measured, ended"


class Receiver:
    """An HTTP server that keeps what is posted to it, and answers with `status`."""

    def __init__(self, wrap=lambda plain: plain):
        self.got, self.status = [], 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = wrap(self._server.socket)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def webhook(directory, receiver, **values):
    secret = directory / "webhook.secret"
    secret.write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
    secret.chmod(0o600)
    given = {"url": f"http://127.0.0.1:{receiver.port}/hook", **values}
    return make_webhook(TrackerSettings(directory, given))


def told(body):
    message = json.loads(body)
    data = message["data"]
    kind = message["type"].removeprefix("run.")
    return (f"{kind} {data['round']}" if "round" in data else kind), data["run"]


class TestWebhook(TrackerContract):
    @pytest.fixture(autouse=True)
    def _server(self, receiver):
        self.receiver = receiver

    def make(self, directory):
        return webhook(directory, self.receiver, on=ALL)

    def recorded(self, directory):
        assert (directory / "webhook.secret").exists()
        return [told(body) for _, body in self.receiver.got]


def test_the_signature_is_that_of_the_standards_own_example():
    """Standard Webhooks 1.0, the test vector of its reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_check_the_sender_the_bytes_and_the_time_and_knows_a_repeat(tmp_path, receiver):
    tracker = webhook(tmp_path, receiver, on=ALL)
    for one in (*STORY, STORY[3]):
        tracker.tell(one)
    tracker.close()
    names = []
    for headers, body in receiver.got:
        name, at = headers["webhook-id"], headers["webhook-timestamp"]
        assert headers["webhook-signature"] == signature(SECRET, name, at, body)
        assert headers["webhook-signature"] != signature(bytes(32), name, at, body)
        names.append(name)
    assert len(set(names)) == len(STORY)
    assert names[-1] == names[3]


def test_only_the_end_is_told_unless_more_is_asked_for(tmp_path, receiver):
    tracker = webhook(tmp_path, receiver)
    for one in STORY:
        tracker.tell(one)
    tracker.close()
    assert [told(body) for _, body in receiver.got] == [("ended", "r-2"), ("ended", "r-1")]
    failed = json.loads(receiver.got[0][1])
    assert (failed["type"], failed["timestamp"]) == ("run.ended", "1970-01-01T00:00:14.000Z")
    assert (failed["data"]["outcome"], failed["data"]["reason"]) == ("failed", "too few silos joined")


@pytest.mark.parametrize("status", [300, 302, 400, 429, 500, 503])
def test_an_answer_that_is_no_success_is_told_again(tmp_path, receiver, status):
    tracker = webhook(tmp_path, receiver)
    receiver.status = status
    with pytest.raises(ConnectionFailedError, match=str(status)):
        tracker.tell(STORY[4])
    receiver.status = 200
    tracker.tell(STORY[4])
    tracker.close()
    assert len(receiver.got) == 2


def test_a_receiver_that_is_gone_for_good_is_left_alone_and_one_that_is_down_is_not(tmp_path, receiver):
    tracker = webhook(tmp_path, receiver)
    receiver.status = 410
    tracker.tell(STORY[4])
    receiver.close()
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1"):
        tracker.tell(STORY[5])
    tracker.close()


def test_over_tls_the_receivers_certificate_has_to_be_trusted(tmp_path):
    made = ensure_server_certificate(tmp_path / "tls", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert_path, made.key_path)
    receiver = Receiver(lambda plain: context.wrap_socket(plain, server_side=True))
    url = f"https://127.0.0.1:{receiver.port}/"
    stranger = webhook(tmp_path, receiver, url=url)
    with pytest.raises(ConnectionFailedError, match="certificate"):
        stranger.tell(STORY[4])
    trusting = webhook(tmp_path, receiver, url=url, ca_file=str(made.ca_path))
    trusting.tell(STORY[4])
    for tracker in (stranger, trusting):
        tracker.close()
    receiver.close()
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ulr": "x"}, "did you mean 'url'"),
        ({"url": ""}, "an https:// address is needed"),
        ({"url": "http://example.org/"}, "an https:// address is needed"),
        ({"url": 3}, "url is 3"),
        ({"on": "ends"}, "did you mean 'ended'"),
        ({"on": " ,"}, "on is empty"),
        ({"ca_file": "none.pem"}, "none.pem is not there"),
        ({"secret_file": "none"}, "cannot be read"),
        ({"secret_file": "open"}, "others may read"),
        ({"secret_file": "short"}, "does not hold whsec_"),
        ({"secret_file": "plain"}, "does not hold whsec_"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path, receiver, values, message):
    long = base64.b64encode(SECRET).decode()
    texts = {"open": f"whsec_{long}", "short": "whsec_c2hvcnQ=", "plain": long}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o600)
    with pytest.raises(ConfigError) as refused:
        webhook(tmp_path, receiver, **values)
    assert message in refused.value.message
    assert "whsec_c2" not in refused.value.message


def test_a_silo_that_goes_and_a_low_budget_are_posted_if_that_is_asked_for(tmp_path, receiver):
    tracker = webhook(tmp_path, receiver, on="ended, silo.offline, silo.budget_low")
    assert isinstance(tracker, Listener)
    assert tracker.kinds == {Kind.SILO_OFFLINE, Kind.SILO_BUDGET_LOW}
    gone = FeedEntry(7, 12.5, Change(Kind.SILO_OFFLINE, silo="basel", organisation="st-marys"))
    low = FeedEntry(8, 13.0, Change(Kind.SILO_BUDGET_LOW, silo="basel", reason="heart"))
    for entry in (gone, low, gone):
        tracker.change(entry)
    tracker.close()
    first, second, repeated = (json.loads(body) for _, body in receiver.got)
    assert (first["type"], first["timestamp"]) == ("silo.offline", "1970-01-01T00:00:12.500Z")
    assert first["data"] == {
        "seq": 7,
        "at": 12.5,
        "kind": "silo.offline",
        "silo": "basel",
        "organisation": "st-marys",
    }
    assert second["data"]["reason"] == "heart"
    names = [headers["webhook-id"] for headers, _ in receiver.got]
    assert (repeated, names[2]) == (first, names[0])
    assert names[1] != names[0]


def test_a_kind_of_change_that_is_not_there_is_refused(tmp_path, receiver):
    with pytest.raises(ConfigError, match=r"did you mean 'silo.offline'"):
        webhook(tmp_path, receiver, on="silo.offlin")
