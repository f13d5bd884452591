import base64
import dataclasses
import datetime
import time
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.identity.http_signatures import (
    WINDOW_S,
    ContentDigest,
    Ed25519Signer,
    NonceCache,
    content_digest,
    signature_base,
    verify,
)
from septum.adapters.identity.keys import public_bytes
from septum.errors import AuthError, ConnectionFailedError, DigestError

NOW = 1_760_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_bytes(KEY)
PATH = "/silo/v1/runs/r-1/exchange"
BLOB = "/silo/v1/runs/r-1/blobs/blake3:" + "ab" * 32
BODY = b'{"kind":"await"}'


def signed(method="POST", path=PATH, body=BODY, now=NOW, silo="st-marys") -> dict[str, str]:
    signer = Ed25519Signer(silo, KEY, lambda: now)
    made = signer.headers(method, path, content_digest(body) if method == "POST" else "")
    return {name.lower(): value for name, value in made.items()}


def lookup(silo: str) -> bytes | None:
    return {"st-marys": PUBLIC}.get(silo)


def check(headers: Mapping[str, str], method="POST", path=PATH, now=NOW):
    return verify(headers, method, path, lookup, now)


def changed(headers: Mapping[str, str], name: str, old: str, new: str) -> dict[str, str]:
    assert old in headers[name]
    return {**headers, name: headers[name].replace(old, new, 1)}


@dataclasses.dataclass
class Request:
    """The message interface of the http-message-signatures library."""

    method: str
    url: str
    headers: dict[str, str]


KEYS = MappingKeyResolver(public_keys={"st-marys": KEY.public_key()}, private_keys={"st-marys": KEY})


# --- interoperability ---


def test_the_rfc_9421_b_2_6_vector_holds():
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="))
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode("n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU="))
    values = {
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "@method": "POST",
        "@path": "/foo",
        "@authority": "example.com",
        "content-type": "application/json",
        "content-length": "18",
    }
    parameters = (
        '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473'
        ';keyid="test-key-ed25519"'
    )
    base = signature_base(tuple(values), values, parameters)
    expected = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    public.verify(base64.b64decode(expected), base)
    assert base64.b64encode(private.sign(base)).decode() == expected


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("PUT", BLOB), ("GET", BLOB)])
def test_another_implementation_verifies_what_we_sign(method, path):
    signer = Ed25519Signer("st-marys", KEY, time.time)
    headers = dict(signer.headers(method, path, content_digest(BODY) if method == "POST" else ""))
    verifier = HTTPMessageVerifier(signature_algorithm=ED25519, key_resolver=KEYS)
    result = verifier.verify(
        Request(method, f"https://fl.example.org{path}", headers),
        expect_tag="septum",
        max_age=datetime.timedelta(seconds=60),
        require_components=("@method", "@path") + (("content-digest",) if method == "POST" else ()),
        body=BODY if method == "POST" else None,
    )
    assert result[0].parameters["keyid"] == "st-marys"


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("PUT", BLOB), ("GET", BLOB)])
def test_we_verify_what_another_implementation_signs(method, path):
    headers = {"Content-Digest": content_digest(BODY)} if method == "POST" else {}
    request = Request(method, f"https://fl.example.org{path}", headers)
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=KEYS).sign(
        request,
        key_id="st-marys",
        created=datetime.datetime.fromtimestamp(NOW, datetime.UTC),
        nonce="0123456789abcdef",
        label="septum",
        tag="septum",
        use_existing_digest=method == "POST",
        covered_component_ids=("@method", "@path") + (("content-digest",) if method == "POST" else ()),
    )
    verified = check({name.lower(): value for name, value in request.headers.items()}, method, path)
    assert (verified.silo, verified.nonce) == ("st-marys", "0123456789abcdef")


# --- what is accepted ---


def test_a_signed_request_names_its_silo_and_the_digest_of_its_body():
    verified = check(signed())
    assert verified.silo == "st-marys"
    assert verified.content_digest == content_digest(BODY)


def test_every_signature_has_a_nonce_of_its_own():
    assert len({check(signed()).nonce for _ in range(50)}) == 50


@pytest.mark.parametrize("offset_s", [-WINDOW_S, WINDOW_S])
def test_a_clock_may_be_off_by_the_window(offset_s):
    assert check(signed(now=NOW + offset_s)).silo == "st-marys"


# --- what is refused, and why ---


@pytest.mark.parametrize(
    ("offset_s", "words"), [(-90, "90 s behind the coordinator's clock"), (3600, "3600 s ahead of")]
)
def test_a_clock_that_is_further_off_is_told_by_how_much(offset_s, words):
    with pytest.raises(AuthError, match=words) as caught:
        check(signed(now=NOW + offset_s))
    assert "NTP" in caught.value.hint


@pytest.mark.parametrize("name", ["signature-input", "signature", "content-digest"])
def test_a_missing_header_is_named(name):
    headers = {key: value for key, value in signed().items() if key != name}
    with pytest.raises(AuthError, match=f"no {name} header"):
        check(headers)


def test_an_unknown_silo_is_named():
    with pytest.raises(AuthError, match="no silo 'elsewhere' is known here"):
        check(signed(silo="elsewhere"))


def test_a_key_id_that_is_no_silo_name_is_never_looked_up():
    headers = changed(signed(), "signature-input", 'keyid="st-marys"', 'keyid="../etc/passwd"')

    def fail(silo: str) -> bytes | None:
        raise AssertionError(silo)

    with pytest.raises(AuthError, match="no silo"):
        verify(headers, "POST", PATH, fail, NOW)


def test_another_silos_key_does_not_pass():
    with pytest.raises(AuthError, match="does not hold for its registered key"):
        verify(signed(), "POST", PATH, lambda _: bytes(range(32)), NOW)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('tag="septum"', 'tag="other"', "tag is 'other'"),
        ('alg="ed25519"', 'alg="hmac-sha256"', "alg is 'hmac-sha256'"),
        (' "content-digest")', ")", "must cover"),
        ('"@method" "@path"', '"@path" "@method"', "must cover"),
        ('"@method"', '"@method";req', "malformed"),
        (';alg="ed25519"', "", "needs created, nonce, keyid, alg, tag"),
        (';alg="ed25519"', ';alg="ed25519";alg="ed25519"', "each once"),
        (';alg="ed25519"', ';alg="ed25519";expires=1', "each once"),
        (f"created={int(NOW)}", f'created="{int(NOW)}"', "malformed"),
        (f"created={int(NOW)}", "created=-1", "malformed"),
        (f"created={int(NOW)}", "created=1e9", "malformed"),
        ("septum=", "sig1=", "malformed"),
        ("septum=", "septum=septum=", "malformed"),
        ('tag="septum"', 'tag="septum", x=("@method")', "malformed"),
        ('tag="septum"', 'tag="septum" ', "malformed"),
        ('tag="septum"', 'tag="sep\ntum"', "malformed"),
        ('tag="septum"', 'tag="sep\\"tum"', "malformed"),
    ],
)
def test_another_signature_input_is_refused_with_the_reason(old, new, words):
    with pytest.raises(AuthError, match=words):
        check(changed(signed(), "signature-input", old, new))


@pytest.mark.parametrize(
    "value", ["", "septum=::", "septum=:AAAA:", "sig=:" + "A" * 86 + "==:", "septum=:" + "é" * 88 + ":"]
)
def test_a_malformed_signature_is_refused(value):
    with pytest.raises(AuthError, match="malformed signature"):
        check({**signed(), "signature": value})


@pytest.mark.parametrize(
    "value", ["", "sha-512=:AAAA:", "sha-256=:AAAA:", content_digest(b"") + ", " + content_digest(b"")]
)
def test_a_malformed_content_digest_is_refused(value):
    with pytest.raises(AuthError, match="malformed content-digest"):
        check({**signed(), "content-digest": value})


def test_a_huge_header_is_refused_before_it_is_parsed():
    with pytest.raises(AuthError, match="1000000 characters, at most 1024"):
        check({**signed(), "signature-input": "x" * 1_000_000})


@pytest.mark.parametrize("length", [15, 65])
def test_a_nonce_of_another_length_is_refused(length):
    headers = signed()
    nonce = check(headers).nonce
    with pytest.raises(AuthError, match=f"nonce of {length} characters"):
        check(changed(headers, "signature-input", nonce, "n" * length))


def test_a_query_is_refused_because_nothing_signs_it():
    path = f"{PATH}?admin=1"
    with pytest.raises(AuthError, match="a query is not covered"):
        check(signed(path=path), path=path)


def test_a_post_cannot_be_passed_off_as_a_request_without_a_body():
    with pytest.raises(AuthError, match="must cover"):
        check(signed("PUT", BLOB), "POST", BLOB)


@pytest.mark.parametrize("method", ["DELETE", "post", ""])
def test_another_method_cannot_be_signed(method):
    with pytest.raises(AuthError, match="cannot be signed"):
        check(signed(), method)


@given(st.sampled_from(["method", "path", "content-digest", "signature-input", "signature"]), st.data())
def test_changing_any_byte_breaks_it(part, data):
    headers = signed()
    request = {"method": "POST", "path": PATH, **headers}
    text = request[part]
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda char: char != text[position]))
    request[part] = text[:position] + other + text[position + 1 :]
    with pytest.raises(AuthError):
        check({name: request[name] for name in headers}, request["method"], request["path"])


@given(st.text(max_size=300), st.text(max_size=120), st.text(max_size=80))
def test_no_header_makes_it_fail_in_another_way(signature_input, signature, digest):
    with pytest.raises(AuthError):
        check({"signature-input": signature_input, "signature": signature, "content-digest": digest})


# --- the body ---


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_a_body_that_arrives_in_pieces_has_the_digest_of_the_whole(pieces):
    digest = ContentDigest(content_digest(b"".join(pieces)))
    for piece in pieces:
        digest.update(piece)
    digest.finish()


def test_another_body_than_the_signed_one_is_found():
    digest = ContentDigest(content_digest(BODY))
    digest.update(BODY + b" ")
    with pytest.raises(DigestError, match="was signed"):
        digest.finish()


def test_a_post_is_never_signed_without_its_body():
    signer = Ed25519Signer("st-marys", KEY)
    with pytest.raises(ValueError, match="with content-digest"):
        signer.headers("POST", PATH, "")
    with pytest.raises(ValueError, match="without content-digest"):
        signer.headers("GET", BLOB, content_digest(b""))


def test_the_private_key_is_in_no_repr():
    assert repr(Ed25519Signer("st-marys", KEY)) == "Ed25519Signer('st-marys')"


# --- replays ---


def test_a_nonce_counts_once_for_each_silo():
    cache = NonceCache()
    cache.use("a", "n1", 0.0)
    cache.use("b", "n1", 0.0)
    cache.use("a", "n2", 0.0)
    with pytest.raises(AuthError, match="received before") as caught:
        cache.use("a", "n1", 1.0)
    assert caught.value.http_status == 401


@given(st.lists(st.floats(0.0, 100.0), max_size=20), st.floats(0.0, 119.9))
def test_a_nonce_is_remembered_as_long_as_its_request_could_be_accepted(gaps, age_s):
    cache, now = NonceCache(), 0.0
    for index, gap in enumerate(gaps):  # any traffic before, so that the generations turn over anywhere
        now += gap
        cache.use("a", f"other-{index}", now)
    cache.use("a", "the one", now)
    for step in range(1, 6):
        cache.use("a", f"later-{step}", now + age_s * step / 6)
    with pytest.raises(AuthError, match="received before"):
        cache.use("a", "the one", now + age_s)


def test_nonces_are_forgotten_in_the_end():
    cache = NonceCache(window_s=60, limit=10)
    for second in range(0, 3600, 30):
        for index in range(2):
            cache.use("a", f"{second}-{index}", float(second))
    cache.use("a", "0-0", 3600.0)


def test_a_silo_that_floods_is_asked_to_come_back_later_and_harms_no_other():
    cache = NonceCache(limit=3)
    for index in range(3):
        cache.use("a", str(index), 0.0)
    with pytest.raises(ConnectionFailedError, match="more than 3 requests within 120 s"):
        cache.use("a", "3", 1.0)
    cache.use("b", "3", 1.0)
    cache.use("a", "3", 121.0)
