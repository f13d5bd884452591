"""Signing in by an identity provider: a real one on loopback, and what a hostile one does not get."""

from __future__ import annotations

import base64
import hmac
import json
import time
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.coordinator.oidc_provider import CLIENT, SECRET, OidcProvider
from tests.coordinator.running import Answer, Running
from tests.coordinator.visitors import Visitor, invited, operator

from septum.coordinator import provider as asking
from septum.coordinator.config import load_config
from septum.errors import ConfigError
from septum.protocol.rights import Role

pytestmark = pytest.mark.served

SETTINGS = """
[oidc]
issuer = "{issuer}"
client_id = "septum"
client_secret_file = "oidc-secret"
ca_file = "{ca_file}"
[oidc.groups]
researchers = ["researcher"]
admins = ["viewer", "silo-admin@default"]
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    found = OidcProvider(tmp_path_factory.mktemp("provider"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("coordinator")
    (folder / "oidc-secret").write_text(SECRET)
    (folder / "coordinator.toml").write_text(SETTINGS.format(issuer=provider.issuer, ca_file=provider.ca_file))
    running = Running(folder, oidc=load_config(folder).oidc)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def honest(provider, request):
    """Another subject for each test, who is in no group."""
    provider.lie, provider.sign, provider.denied = (lambda claims: claims), provider._sign, False
    provider.agreed.clear()
    name = request.node.name.replace("[", "-").strip("]")[-40:].lower().replace("_", "-")
    provider.person = {"sub": f"s-{request.node.name}", "preferred_username": name, "groups": []}


def begun(coordinator, invitation=None):
    """Where a browser is sent, and its cookie."""
    answer = Visitor(coordinator).ask("POST", "/oidc/begin", invitation, x_septum_csrf="1")
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["url"], cookie_of(answer, "__Host-septum-oidc")


def cookie_of(answer, name):
    # One field for each cookie: `Answer.headers` has the last, so the name says which one is meant.
    for field, value in answer.headers.items():
        if field.lower() == "set-cookie" and name in SimpleCookie(value):
            return f"{name}={SimpleCookie(value)[name].value}"
    return ""


def came_back(coordinator, provider, invitation=None):
    url, cookie = begun(coordinator, invitation)
    return Visitor(coordinator, headers={"cookie": cookie}).ask("GET", f"/oidc/callback?{provider.visit(url)}")


def session_of(coordinator, answer):
    assert answer.status == 303, answer.body
    assert {name.lower(): value for name, value in answer.headers.items()}["location"] == "/"
    return Visitor(coordinator, headers={"cookie": answer.session})


@pytest.fixture
def ask(coordinator, monkeypatch):
    """The coordinator's answers with all their cookies: `http.client` joins none."""
    original = Running.ask

    def ask_with_cookies(self, *arguments, **more):
        connection = self.connect()
        method, path, *rest = arguments
        body, headers = [*rest, None, None][:2]
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        cookies = response.headers.get_all("set-cookie") or []
        answer = WithCookies(response.status, response.read(), dict(response.getheaders()))
        answer.cookies = cookies
        connection.close()
        return answer

    monkeypatch.setattr(Running, "ask", ask_with_cookies)
    yield
    monkeypatch.setattr(Running, "ask", original)


class WithCookies:
    def __init__(self, status, body, headers):
        self.status, self.body, self.headers, self.cookies = status, body, headers, []

    @property
    def error(self):
        return Answer(self.status, self.body, self.headers).error

    @property
    def session(self):
        for text in self.cookies:
            for morsel in SimpleCookie(text).values():
                if morsel.key == "__Host-septum" and morsel.value:
                    assert (morsel["samesite"], morsel["httponly"], morsel["secure"]) == ("strict", True, True)
                    return f"{morsel.key}={morsel.value}"
        raise AssertionError("no session")


@pytest.mark.usefixtures("ask")
def test_somebody_of_a_group_comes_in_uninvited_with_its_roles(coordinator, provider):
    provider.person = {"sub": "grace", "preferred_username": "Grace Hopper", "name": "G. H.", "groups": ["researchers"]}
    who = session_of(coordinator, came_back(coordinator, provider)).told("GET", "/session")
    assert (who["name"], who["full_name"], who["via"]) == ("grace.hopper", "G. H.", "session")
    assert [grant["role"] for grant in who["grants"]] == ["researcher"]
    provider.person["groups"] = ["admins", "others"]
    who = session_of(coordinator, came_back(coordinator, provider)).told("GET", "/session")
    assert [grant["role"] for grant in who["grants"]] == ["silo-admin", "viewer"]
    provider.person["groups"] = []
    assert session_of(coordinator, came_back(coordinator, provider)).told("GET", "/session")["grants"] == []


@pytest.mark.usefixtures("ask")
def test_roles_that_were_given_here_stay_whatever_the_groups_are(coordinator, provider):
    provider.person = {"sub": "hedy", "preferred_username": "hedy", "groups": ["researchers"]}
    session_of(coordinator, came_back(coordinator, provider))
    auditor = {"role": "auditor", "scope": {"over": "federation", "name": ""}}
    operator(coordinator).told("PUT", "/people/hedy/grants", {"grants": [auditor]})
    who = session_of(coordinator, came_back(coordinator, provider)).told("GET", "/session")
    assert [grant["role"] for grant in who["grants"]] == ["auditor", "researcher"]


@pytest.mark.usefixtures("ask")
def test_somebody_whom_nobody_invited_is_nobody(coordinator, provider):
    answer = came_back(coordinator, provider)
    assert (answer.status, answer.error["code"]) == (403, "forbidden")


@pytest.mark.usefixtures("ask")
def test_an_invited_person_is_known_by_the_provider_from_then_on(coordinator, provider):
    once = invited(operator(coordinator), "invited-one", "viewer")
    wrong = came_back(coordinator, provider, {"name": "invited-one", "password": "wrong"})
    assert wrong.status == 401
    session = session_of(coordinator, came_back(coordinator, provider, {"name": "invited-one", "password": once}))
    assert session.told("GET", "/session")["name"] == "invited-one"
    again = session_of(coordinator, came_back(coordinator, provider))
    assert again.told("GET", "/session")["name"] == "invited-one"
    provider.person["sub"] = "somebody-else"
    assert came_back(coordinator, provider, {"name": "invited-one", "password": once}).status == 401  # used


@pytest.mark.usefixtures("ask")
def test_a_name_at_the_provider_takes_over_nobody_here(coordinator, provider):
    provider.person |= {"preferred_username": "admin", "groups": ["researchers"]}
    answer = came_back(coordinator, provider)
    assert (answer.status, answer.error["code"]) == (409, "conflict")


@pytest.mark.usefixtures("ask")
def test_a_suspended_person_does_not_come_in(coordinator, provider):
    provider.person |= {"preferred_username": "sus", "groups": ["researchers"]}
    session = session_of(coordinator, came_back(coordinator, provider))
    operator(coordinator).told("POST", "/people/sus/suspend")
    assert session.ask("GET", "/session").status == 401
    assert came_back(coordinator, provider).status == 403


@pytest.mark.usefixtures("ask")
def test_a_sign_in_ends_in_the_browser_where_it_began_and_once(coordinator, provider):
    provider.person |= {"preferred_username": "twice", "groups": ["researchers"]}
    url, cookie = begun(coordinator)
    query = provider.visit(url)
    assert Visitor(coordinator).ask("GET", f"/oidc/callback?{query}").status == 401  # an attacker's link
    url, cookie = begun(coordinator)
    query = provider.visit(url)
    session_of(coordinator, Visitor(coordinator, headers={"cookie": cookie}).ask("GET", f"/oidc/callback?{query}"))
    again = Visitor(coordinator, headers={"cookie": cookie}).ask("GET", f"/oidc/callback?{query}")
    assert again.status == 401


def test_what_did_not_begin_here_does_not_come_back(coordinator):
    for query in ("", "state=x", "code=x", "state=x&code=y", "error=access_denied&state=x"):
        assert Visitor(coordinator).ask("GET", f"/oidc/callback?{query}").status == 401
    assert Visitor(coordinator).ask("POST", "/oidc/begin").status == 403  # another site's form


def wrong(**changed):
    return lambda claims: {name: value for name, value in {**claims, **changed}.items() if value is not None}


LIES = {
    "another issuer": wrong(iss="https://elsewhere"),
    "another audience": wrong(aud="another"),
    "an audience of two for another": wrong(aud=[CLIENT, "another"], azp="another"),
    "an audience of two for nobody": wrong(aud=[CLIENT, "another"]),
    "expired": wrong(exp=int(time.time()) - 3600, iat=int(time.time()) - 7200),
    "of tomorrow": wrong(iat=int(time.time()) + 86_400),
    "for ever": wrong(exp=None),
    "another nonce": wrong(nonce="another"),
    "no nonce": wrong(nonce=None),
    "nobody": wrong(sub=None),
    "an empty name": wrong(sub=""),
}


@pytest.mark.usefixtures("ask")
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_id_token_that_does_not_hold_lets_nobody_in(coordinator, provider, lie):
    provider.person |= {"groups": ["researchers"]}
    provider.lie = lie
    answer = came_back(coordinator, provider)
    assert (answer.status, answer.error["code"]) == (401, "auth")


def by_hmac(claims, key, kid):
    """The attack that made JWT famous, which PyJWT refuses to mount: the public key as the key of an HMAC."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()) for one in ({"alg": "HS256", "kid": kid}, claims)]
    signed = b".".join(part.rstrip(b"=") for part in parts)
    made = base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")
    return b".".join([signed, made]).decode()


def forged(how):
    def sign(provider):
        other = OidcProvider.new_key
        real = provider.key, provider.kid
        other(provider)
        stranger, (provider.key, provider.kid) = provider.key, real
        public = provider.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {
            "none": lambda claims: jwt.encode(claims, None, "none", headers={"kid": provider.kid}),
            "stranger": lambda claims: jwt.encode(claims, stranger, "RS256", headers={"kid": provider.kid}),
            "unknown": lambda claims: jwt.encode(claims, stranger, "RS256", headers={"kid": "unknown"}),
            "hmac": lambda claims: by_hmac(claims, public, provider.kid),
            "secret": lambda claims: jwt.encode(claims, SECRET * 2, "HS256", headers={"kid": provider.kid}),
            "text": lambda _: "not.a.token",
            "long": lambda _: "x" * 40_000,
        }[how]

    return sign


@pytest.mark.usefixtures("ask")
@pytest.mark.parametrize("how", ["none", "stranger", "unknown", "hmac", "secret", "text", "long"])
def test_a_forged_signature_lets_nobody_in(coordinator, provider, how):
    provider.person |= {"groups": ["researchers"]}
    provider.sign = forged(how)(provider)
    answer = came_back(coordinator, provider)
    assert (answer.status, answer.error["code"]) == (401, "auth")


@pytest.mark.usefixtures("ask")
def test_a_provider_may_change_its_key(coordinator, provider, monkeypatch):
    provider.person |= {"preferred_username": "rotated", "groups": ["researchers"]}
    session_of(coordinator, came_back(coordinator, provider))
    monkeypatch.setattr(asking, "KEYS_AT_MOST_EVERY_S", 0.0)
    provider.new_key()
    session_of(coordinator, came_back(coordinator, provider))


def test_the_command_line_comes_in_by_any_browser(coordinator, provider):
    provider.person |= {"preferred_username": "device", "groups": ["researchers"]}
    device = Visitor(coordinator).told("POST", "/oidc/device")
    assert (device["code"], urlsplit(device["uri"]).path) == ("WDJB-MJHT", "/device")
    question = {"handle": device["handle"]}
    waiting = Visitor(coordinator).ask("POST", "/oidc/device/session", question)
    assert (waiting.status, json.loads(waiting.body)) == (200, {"wait_s": pytest.approx(0.05)})
    provider.agreed.set()
    while "wait_s" in (session := Visitor(coordinator).told("POST", "/oidc/device/session", question)):
        pass
    assert Visitor(coordinator, session["token"]).told("GET", "/session")["name"] == "device"
    assert Visitor(coordinator).ask("POST", "/oidc/device/session", question).status == 401
    secrets = [form for _, path, form in provider.asked if path == "/token" and "client_secret" in form]
    assert secrets == []  # it went as HTTP Basic, and never to the command line


def test_somebody_who_says_no_does_not_come_in(coordinator, provider):
    device = Visitor(coordinator).told("POST", "/oidc/device")
    provider.denied = True
    refused = Visitor(coordinator).ask("POST", "/oidc/device/session", {"handle": device["handle"]})
    assert (refused.status, refused.error["code"]) == (401, "auth")
    assert "access_denied" in refused.error["message"]


def test_a_coordinator_without_a_provider_says_so(tmp_path):
    running = Running(tmp_path)
    try:
        assert Visitor(running).told("GET", "/oidc") == {"issuer": ""}
        assert Visitor(running).ask("POST", "/oidc/device").status == 404
    finally:
        running.stop()


def test_a_provider_that_is_away_is_said_to_be(tmp_path, provider):
    (tmp_path / "coordinator.toml").write_text('[oidc]\nissuer = "https://127.0.0.1:9"\nclient_id = "septum"\n')
    running = Running(tmp_path, oidc=load_config(tmp_path).oidc)
    try:
        answer = Visitor(running).ask("POST", "/oidc/device")
        assert (answer.status, answer.error["code"]) == (503, "connection")
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('client_id = "a"', "oidc.issuer is missing"),
        ('issuer = "http://a"\nclient_id = "a"', "does not begin with https://"),
        ('issuer = "https://a"\nclient_id = ""', "client_id is empty"),
        ('issuer = "https://a"\nclient_id = "a"\nclient_secret = "x"', "did you mean 'client_secret_file'?"),
        ('issuer = "https://a"\nclient_id = "a"\nscopes = ["profile"]', "has no 'openid'"),
        ('issuer = "https://a"\nclient_id = "a"\ngroups = ["x"]', "oidc.groups is a table"),
        ('issuer = "https://a"\nclient_id = "a"\n[oidc.groups]\nx = ["owner"]', "no role 'owner'"),
        ('issuer = "https://a"\nclient_id = "a"\n[oidc.groups]\nx = "viewer"', "is a list of texts"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, table, problem):
    (tmp_path / "coordinator.toml").write_text(f"[oidc]\n{table}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path)
    assert problem in refused.value.message


def test_settings_are_read_with_their_roles(tmp_path):
    (tmp_path / "coordinator.toml").write_text(SETTINGS.format(issuer="https://a", ca_file="ca.pem"))
    found = load_config(tmp_path).oidc
    assert found.client_secret_file == str(tmp_path / "oidc-secret")
    assert found.groups["researchers"][0].role is Role.RESEARCHER
