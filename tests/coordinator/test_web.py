"""The console's files over the real server: what is sent, with which headers, and what never is."""

from __future__ import annotations

import gzip
import http.client
import re

import pytest
from tests.coordinator.running import Running
from tests.coordinator.visitors import PASSWORD, Visitor, person

from septum.coordinator.asgi import headers_of
from septum.coordinator.loopback import Loopback
from septum.coordinator.web import NOT_BUILT, Web

pytestmark = pytest.mark.served

PAGE = '<!doctype html><script type="module" nonce="__NONCE__" src="/assets/a-1.js"></script>'
SCRIPT = b"console.log(1);" * 200


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets" / "a-1.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "a-1.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / ".built-from").write_text("secret")
    return tmp_path


async def asked(app, path, method="GET", **headers):
    """Status, headers by name and body of what an app answers."""
    sent = []

    async def send(message):
        sent.append(message)

    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "method": method, "path": path, "headers": fields}, None, send)
    return sent[0]["status"], headers_of({"headers": sent[0]["headers"]}), b"".join(one["body"] for one in sent[1:])


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/runs/r-1/models", "/silos/st-marys"])
async def test_every_page_is_the_one_page_with_a_nonce_of_its_own(folder, path):
    web = Web(folder)
    status, headers, body = await asked(web, path)
    _, others, _ = await asked(web, path)
    nonce = re.search(rb'nonce="([^"]+)"', body).group(1).decode()
    assert status == 200
    assert f"'nonce-{nonce}'" in headers["content-security-policy"]
    assert headers["content-security-policy"] != others["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.anyio
async def test_the_policy_allows_no_inline_script_no_other_host_and_no_frame(folder):
    _, headers, _ = await asked(Web(folder), "/")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["font-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


@pytest.mark.anyio
async def test_a_hashed_file_is_kept_for_ever_and_sent_compressed_to_who_takes_that(folder):
    web = Web(folder)
    _, plain, body = await asked(web, "/assets/a-1.js")
    assert body == SCRIPT
    assert "immutable" in plain["cache-control"]
    assert "javascript" in plain["content-type"]
    _, packed, squeezed = await asked(web, "/assets/a-1.js", accept_encoding="br, gzip")
    assert (packed["content-encoding"], gzip.decompress(squeezed)) == ("gzip", SCRIPT)
    _, icon, _ = await asked(web, "/favicon.svg")
    assert icon["cache-control"] == "no-cache"
    status, head, nothing = await asked(web, "/assets/a-1.js", "HEAD")
    assert (status, head["content-length"], nothing) == (200, str(len(SCRIPT)), b"")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/assets/gone.js", "/.built-from", "/assets/../../secret.txt", "/assets/a-1.js.gz", "/x/y.map"]
)
async def test_what_was_not_built_is_not_there(folder, path):
    (folder.parent / "secret.txt").write_text("no")
    status, _, body = await asked(Web(folder), path)
    assert status == 404
    assert b"secret" not in body or path.encode() in body


@pytest.mark.anyio
async def test_pages_are_read_alone(folder):
    status, headers, _ = await asked(Web(folder), "/", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.anyio
async def test_without_a_build_the_page_says_how_to_make_one_and_one_that_comes_later_is_found(tmp_path):
    web = Web(tmp_path / "console")
    status, _, body = await asked(web, "/")
    assert (status, body) == (404, NOT_BUILT)
    assert b"make console" in body
    (tmp_path / "console").mkdir()
    (tmp_path / "console" / "index.html").write_text(PAGE)
    assert (await asked(web, "/runs"))[0] == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("127.0.0.1:7", "/", 200),
        ("localhost:7", "/api/v1/health", 200),
        ("evil.example.org:7", "/", 403),
        ("evil.example.org", "/api/v1/session", 403),
        ("127.0.0.1:8", "/", 403),
        ("", "/", 403),
        ("127.0.0.1:7", "/silo/v1/enroll", 404),
    ],
)
async def test_loopback_is_for_this_machine_by_its_own_name_and_not_for_silos(host, path, status):
    seen = []

    async def inner(scope, receive, send):
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert (await asked(Loopback(inner, lambda: 7), path, host=host))[0] == status
    assert [scope["septum.cookie"] for scope in seen] == (["septum-7"] if status == 200 else [])


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), console_port=0)
    yield running
    running.stop()


def local(coordinator, method, path, body=None, **headers):
    """One request over loopback, without TLS; its answer, and all cookies that it sets."""
    port = int(coordinator.console_url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get_all("set-cookie") or []
    finally:
        connection.close()


def test_a_link_signs_one_browser_in_once(coordinator):
    ada = person(coordinator, "ada", "viewer")
    code = ada.told("POST", "/session/link")["code"]
    body = b'{"code":"%s"}' % code.encode()
    assert Visitor(coordinator).ask("POST", "/session/enter", body).status == 403  # another site's form
    opened = Visitor(coordinator).ask("POST", "/session/enter", body, x_septum_csrf="1")
    assert opened.status == 201
    cookie = opened.headers["set-cookie"]
    assert cookie.startswith("__Host-septum=")
    assert "Secure" in cookie
    assert b"septum_s_" not in opened.body
    used = Visitor(coordinator).ask("POST", "/session/enter", body, x_septum_csrf="1")
    assert (used.status, used.error["code"]) == (401, "auth")


def test_over_loopback_the_cookie_has_the_port_in_its_name_and_is_as_safe_as_it_can_be(coordinator):
    eve = person(coordinator, "eve", "viewer")
    body = b'{"code":"%s"}' % eve.told("POST", "/session/link")["code"].encode()
    status, cookies = local(coordinator, "POST", "/api/v1/session/enter", body, x_septum_csrf="1")
    assert status == 201
    name, _, rest = cookies[0].partition("=")
    assert name == f"septum-{coordinator.console_url.rpartition(':')[2]}"
    assert "HttpOnly" in rest
    assert "SameSite=strict" in rest
    assert "Secure" not in rest
    kept = f"{name}={rest.partition(';')[0]}"
    assert local(coordinator, "GET", "/api/v1/session", cookie=kept)[0] == 200
    assert local(coordinator, "POST", "/api/v1/session/link", cookie=kept)[0] == 403  # no CSRF token
    over_tls = Visitor(coordinator, headers={"cookie": kept}).ask("GET", "/session")
    assert over_tls.status == 401
    assert local(coordinator, "GET", "/", host="evil.example.org")[0] == 403


@pytest.mark.parametrize("how", ["signs out", "is suspended", "changes the password"])
def test_a_link_is_void_once_its_session_has_ended(coordinator, how):
    name = how.split()[0]
    somebody = person(coordinator, name, "viewer")
    body = b'{"code":"%s"}' % somebody.told("POST", "/session/link")["code"].encode()
    if how == "signs out":
        somebody.told("DELETE", "/session")
    elif how == "is suspended":
        Visitor(coordinator, coordinator.access.token).told("POST", f"/people/{name}/suspend")
    else:
        change = {"password": PASSWORD, "new_password": "another long password"}
        somebody.told("PUT", "/account/password", change)
    assert Visitor(coordinator).ask("POST", "/session/enter", body, x_septum_csrf="1").status == 401


def test_a_token_makes_no_link(coordinator):
    bob = person(coordinator, "bob", "viewer")
    token = bob.told("POST", "/tokens", {"title": "for a program", "days": 1, "rights": []})["token"]
    assert Visitor(coordinator, token).ask("POST", "/session/link").status == 403
    assert Visitor(coordinator, coordinator.access.token).ask("POST", "/session/link").status == 403
