"""How a silo's requests are signed, and how the coordinator checks them: a narrow profile of RFC 9421.

One signature under the label `septum`, ed25519, with `created`, `nonce`, `keyid` (the silo's name), `alg` and
`tag="septum"`. What it covers depends on the method alone:

    POST      "@method" "@path" "content-digest"    the body is JSON; RFC 9530 binds it, SHA-256
    GET, PUT  "@method" "@path"                     the path names the bytes by their BLAKE3 digest, which the
                                                    receiver checks while they pass; a SHA-256 beside it would read
                                                    every file twice and add nothing

No request has a query: "@path" (RFC 9421, section 2.2.6) does not cover it, so `verify` refuses one. The parser takes
exactly the structured fields (RFC 8941) that this profile needs. Anything else in them is an error, never a guess.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from septum.errors import AuthError, ConnectionFailedError, DigestError
from septum.protocol.plan import SILO_NAME, check_silo_name

WINDOW_S = 60  # how far `created` may be from the coordinator's clock, before or after
MAX_NONCES = 50_000  # of one silo in one generation of the cache: 400 requests a second for two minutes; 5 MB
MAX_FIELD_CHARS = 1024  # ours has 200; what is longer is refused before it is parsed

_LABEL = "septum"
_COMPONENTS = {
    "POST": ("@method", "@path", "content-digest"),
    "PUT": ("@method", "@path"),
    "GET": ("@method", "@path"),
}
_PARAMETERS = ("created", "nonce", "keyid", "alg", "tag")
_INPUT = re.compile(rf'{_LABEL}=(\(("[a-z@-]+"(?: "[a-z@-]+")*)\)((?:;[a-z]+=(?:[0-9]{{1,12}}|"[!#-\[\]-~]*"))*))')
_PARAMETER = re.compile(r';([a-z]+)=([0-9]+|"[^"]*")')
_SIGNATURE = re.compile(rf"{_LABEL}=:([A-Za-z0-9+/]{{86}}==):")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def content_digest(body: bytes) -> str:
    """The value of the Content-Digest field (RFC 9530) of a body.

    >>> content_digest(b"")
    'sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:'
    """
    return _digest_field(hashlib.sha256(body).digest())


class ContentDigest:
    """Checks a body against its Content-Digest while it arrives."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._hash = hashlib.sha256()

    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._hash.update(chunk)

    def finish(self) -> None:
        """The body is complete. Raises DigestError if it is not the one that was signed."""
        found = _digest_field(self._hash.digest())
        if found != self._expected:
            raise DigestError(f"the body has the content-digest {found}, but {self._expected} was signed")


class Ed25519Signer:
    """A RequestSigner with a private key at hand. The key is in no repr."""

    def __init__(self, silo: str, private_key: Ed25519PrivateKey, now: Callable[[], float] = time.time) -> None:
        self._silo = check_silo_name(silo)
        self._key = private_key
        self._now = now

    def __repr__(self) -> str:
        return f"Ed25519Signer({self._silo!r})"

    @property
    def silo(self) -> str:
        """The name that the signature speaks for."""
        return self._silo

    def headers(self, method: str, path: str, content_digest: str) -> Mapping[str, str]:
        """The headers to add. `content_digest` is that of a POST's body; empty for GET and PUT."""
        names = _components(method)
        if bool(content_digest) != ("content-digest" in names):
            raise ValueError(
                f"a {method} is signed {'with' if 'content-digest' in names else 'without'} content-digest"
            )
        components = " ".join(f'"{name}"' for name in names)
        parameters = (
            f'({components});created={int(self._now())};nonce="{secrets.token_urlsafe(16)}"'
            f';keyid="{self._silo}";alg="ed25519";tag="{_LABEL}"'
        )
        base = signature_base(names, _values(method, path, content_digest), parameters)
        signature = base64.b64encode(self._key.sign(base)).decode()
        headers = {"Content-Digest": content_digest} if content_digest else {}
        return {**headers, "Signature-Input": f"{_LABEL}={parameters}", "Signature": f"{_LABEL}=:{signature}:"}


@dataclass(frozen=True, slots=True)
class Verified:
    """Who sent a request.

    content_digest  what its body must have (see ContentDigest); empty for GET and PUT
    """

    silo: str
    nonce: str
    content_digest: str


def verify(
    headers: Mapping[str, str], method: str, path: str, lookup: Callable[[str], bytes | None], now: float
) -> Verified:
    """Who signed this request. Raises AuthError with the exact reason.

    The nonce is the caller's to check (`NonceCache`), and so is the body (`ContentDigest`).

    Args:
        headers: by lower-case name; lines of one name joined with ", ", as RFC 9110 has it.
        method: in upper case.
        path: as it stood on the request line, with the query if there was one.
        lookup: the raw public key (32 bytes) of a silo, or None if there is no such silo (any more).
        now: the coordinator's clock, Unix seconds.
    """
    parameters, values = _parse_input(_field(headers, "signature-input"), method)
    signature = _parse(_SIGNATURE, _field(headers, "signature"), "signature")
    digest = ""
    if "content-digest" in _components(method):
        digest = _field(headers, "content-digest")
        _parse(_DIGEST, digest, "content-digest")
    if "?" in path:
        raise AuthError(f"{method} {path[:200]}: a query is not covered by the signature, so none is accepted")
    silo = values["keyid"]
    public_key = lookup(silo) if SILO_NAME.fullmatch(silo) else None
    if public_key is None:
        raise AuthError(
            f"no silo {silo[:63]!r} is known here, or it was revoked",
            hint="ask the coordinator's operator, whom septum silo list tells",
        )
    _check_created(silo, int(values["created"]), now)
    base = signature_base(_components(method), _values(method, path, digest), parameters)
    try:
        _public_key(public_key).verify(signature, base)
    except InvalidSignature:
        raise AuthError(
            f"silo {silo!r}: the signature of {method} {path[:200]} does not hold for its registered key",
            hint="if the silo lost its key, revoke it and enrol it again: septum silo invite",
        ) from None
    return Verified(silo, values["nonce"], digest)


def signature_base(names: tuple[str, ...], values: Mapping[str, str], parameters: str) -> bytes:
    r"""The bytes that are signed (RFC 9421, section 2.5).

    >>> signature_base(("@method",), {"@method": "GET"}, '("@method");created=1')
    b'"@method": GET\n"@signature-params": ("@method");created=1'
    """
    lines = [f'"{name}": {values[name]}' for name in names]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def _components(method: str) -> tuple[str, ...]:
    try:
        return _COMPONENTS[method]
    except KeyError:
        raise AuthError(f"a {method[:20]!r} request cannot be signed, only {', '.join(_COMPONENTS)}") from None


def _values(method: str, path: str, digest: str) -> Mapping[str, str]:
    return {"@method": method, "@path": path, "content-digest": digest}


def _field(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise AuthError(f"this request has no {name} header: only enrolled silos may ask", hint="septum silo enroll")
    if len(value) > MAX_FIELD_CHARS:
        raise AuthError(f"the {name} header has {len(value)} characters, at most {MAX_FIELD_CHARS}")
    return value


def _parse_input(field_value: str, method: str) -> tuple[str, dict[str, str]]:
    """The @signature-params line as it was sent, and the parameters in it by name."""
    match = _INPUT.fullmatch(field_value)
    if match is None:
        raise AuthError(f"malformed signature-input: {_show(field_value)}")
    line, components, parameters = match.groups()
    expected = " ".join(f'"{name}"' for name in _components(method))
    if components != expected:
        raise AuthError(f"the signature of a {method} must cover ({expected}), not ({_show(components)})")
    pairs: list[tuple[str, str]] = _PARAMETER.findall(parameters)
    values = dict(pairs)
    if len(pairs) != len(values) or sorted(values) != sorted(_PARAMETERS):
        raise AuthError(f"malformed signature-input: needs {', '.join(_PARAMETERS)}, each once: {_show(field_value)}")
    for name, value in pairs:
        if value.startswith('"') == (name == "created"):
            raise AuthError(f"malformed signature-input: {name}={_show(value)}")
    values = {name: value.strip('"') for name, value in pairs}
    if values["tag"] != _LABEL:
        raise AuthError(
            f"the signature's tag is {_show(values['tag'])}, not '{_LABEL}': it was made for something else"
        )
    if values["alg"] != "ed25519":
        raise AuthError(f"the signature's alg is {_show(values['alg'])}, not 'ed25519'")
    if not 16 <= len(values["nonce"]) <= 64:
        raise AuthError(f"malformed signature-input: a nonce of {len(values['nonce'])} characters, needs 16 to 64")
    return line, values


def _parse(pattern: re.Pattern[str], value: str, name: str) -> bytes:
    match = pattern.fullmatch(value)
    if match is None:
        raise AuthError(f"malformed {name}: {_show(value)}")
    try:
        return base64.b64decode(match[1], validate=True)
    except binascii.Error:
        raise AuthError(f"malformed {name}: {_show(value)}") from None


def _show(value: str) -> str:
    return repr(value if len(value) <= 160 else f"{value[:157]}...")


def _check_created(silo: str, created: int, now: float) -> None:
    offset_s = created - now
    if abs(offset_s) > WINDOW_S:
        side = "ahead of" if offset_s > 0 else "behind"
        raise AuthError(
            f"silo {silo!r}: this request was signed {abs(offset_s):.0f} s {side} the coordinator's clock, "
            f"more than the {WINDOW_S} s allowed",
            hint="set both clocks by NTP: timedatectl set-ntp true",
        )


@lru_cache(maxsize=4096)
def _public_key(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


def _digest_field(digest: bytes) -> str:
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


@dataclass(slots=True)
class _Seen:
    """The nonces of one silo, in two generations: the present one and the one before."""

    since: float
    current: set[str] = field(default_factory=set)
    previous: set[str] = field(default_factory=set)


class NonceCache:
    """Which nonces each silo used lately, so that a request counts once.

    A nonce is remembered for at least as long as its request could be accepted: twice the window, as a clock may be
    ahead. The cache may be lost at a restart: every handler is idempotent, so a replay is answered and changes nothing.
    Only verified requests belong here, so that nobody fills another silo's share. May be used from several threads.
    """

    def __init__(self, window_s: float = WINDOW_S, limit: int = MAX_NONCES) -> None:
        self._generation_s = 2 * window_s
        self._limit = limit
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def use(self, silo: str, nonce: str, now: float) -> None:
        """Note a nonce of a verified request. Raises AuthError if it is a replay.

        Args:
            silo: whose.
            nonce: from `Verified`.
            now: any clock that does not go back, in seconds.
        """
        with self._lock:
            seen = self._seen.setdefault(silo, _Seen(now))
            if now - seen.since >= self._generation_s:
                seen.previous, seen.current, seen.since = seen.current, set(), now
            if nonce in seen.current or nonce in seen.previous:
                raise AuthError(f"silo {silo!r}: this request was received before (nonce {nonce})")
            if len(seen.current) >= self._limit:
                raise ConnectionFailedError(
                    f"silo {silo!r} sent more than {self._limit} requests within {self._generation_s:.0f} s"
                )
            seen.current.add(nonce)
