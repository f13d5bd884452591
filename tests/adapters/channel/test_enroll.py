import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.adapters.channel.servers import PLAN

from septum.adapters.channel.enroll import enroll
from septum.adapters.channel.https import HttpsChannel
from septum.adapters.channel.proxy import ProxySettings
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.token import make_token, new_secret, token_hash
from septum.adapters.tls import ensure_server_certificate
from septum.errors import AuthError, ConfigError, ConnectionFailedError, ProtocolError, TooLargeError
from septum.protocol.codec import encode
from septum.protocol.messages import Enrolled, Invitation

pytestmark = pytest.mark.served

KEY = Ed25519PrivateKey.generate()


def invite(server, silo="hungary", ca_digest=""):
    secret = new_secret()
    server.invited.add(token_hash(secret))
    return make_token(silo, secret, server.certificate.digest if ca_digest == "" else ca_digest)


def asked(server):
    return [(method, path) for method, path, _ in server.requests]


def test_a_silo_enrols_and_is_known_from_then_on(server, tmp_path):
    result = enroll(server.url(), invite(server), KEY)
    assert result.enrolled == Enrolled("hungary", "fl.example.org")
    assert result.ca_pem == server.ca_pem
    assert asked(server) == [("GET", "/silo/v1/ca"), ("POST", "/silo/v1/enroll")]
    (tmp_path / "ca.crt").write_bytes(result.ca_pem)
    channel = HttpsChannel(server.url(), Ed25519Signer("hungary", KEY), ca_file=tmp_path / "ca.crt")
    assert channel.poll([]) == Invitation("r-1", PLAN)
    channel.close()


def test_a_token_works_once(server):
    token = invite(server)
    enroll(server.url(), token, KEY)
    with pytest.raises(AuthError, match="used before"):
        enroll(server.url(), token, KEY)


def test_another_ca_than_the_tokens_is_refused_before_the_token_is_sent(server):
    token = invite(server, ca_digest="sha256:" + "0f" * 32)
    with pytest.raises(AuthError, match="another coordinator, or somebody in between") as caught:
        enroll(server.url(), token, KEY)
    assert server.certificate.digest in caught.value.message
    assert asked(server) == [("GET", "/silo/v1/ca")]
    assert token not in caught.value.message + caught.value.hint


def test_an_impostor_that_shows_the_right_ca_does_not_get_the_token(server, tmp_path):
    """Anybody can copy the public CA certificate; the connection itself must be vouched for by it."""
    impostor = ensure_server_certificate(tmp_path / "impostor", ["localhost"])
    server.context.load_cert_chain(impostor.cert_path, impostor.key_path)
    with pytest.raises(ConnectionFailedError, match="certificate is not accepted"):
        enroll(server.url(), invite(server), KEY)
    assert asked(server) == [("GET", "/silo/v1/ca")]


def test_a_public_certificate_is_verified_by_the_systems_authorities_alone(server):
    token = invite(server, ca_digest=None)
    with pytest.raises(ConnectionFailedError, match="certificate is not accepted"):
        enroll(server.url(), token, KEY)
    assert asked(server) == []
    result = enroll(server.url(), token, KEY, extra_ca=server.certificate.ca_path)
    assert result.ca_pem is None


def test_enrolment_goes_through_the_proxy(server, proxy):
    result = enroll(f"https://fl.example.org:{server.port}", invite(server), KEY, proxies=ProxySettings(proxy.url))
    assert result.enrolled.silo == "hungary"
    assert len(proxy.heads) == 2


@pytest.mark.parametrize("answer", [b"", b"no certificate", b"x" * 70_000])
def test_what_is_no_certificate_is_refused(server, answer):
    server.scripts.append(lambda handler: handler.reply(200, answer))
    with pytest.raises((ConfigError, TooLargeError), match=r"one certificate|at most 65536"):
        enroll(server.url(), invite(server), KEY)
    assert len(server.requests) == 1


def test_an_answer_for_another_silo_is_refused(server):
    server.scripts.append(lambda handler: handler.reply(200, server.ca_pem))
    server.scripts.append(lambda handler: handler.reply(200, encode(Enrolled("cleveland", "fl.example.org"))))
    with pytest.raises(ProtocolError, match="enrolled 'cleveland' instead of 'hungary'"):
        enroll(server.url(), invite(server), KEY)


@pytest.mark.parametrize("token", ["", "septum1_nonsense"])
def test_a_malformed_token_is_found_before_anything_is_sent(server, token):
    with pytest.raises(ConfigError, match="not an invitation token"):
        enroll(server.url(), token, KEY)
    assert server.requests == []
