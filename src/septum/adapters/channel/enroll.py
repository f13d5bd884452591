"""How a silo becomes known to a coordinator, and learns which certificate to trust from then on."""

from __future__ import annotations

import ssl
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.channel.http1 import Line, Origin, origin_of
from septum.adapters.channel.proxy import ProxySettings
from septum.adapters.identity.token import enrolment, read_token
from septum.adapters.tls import ca_digest, pinned_context
from septum.errors import AuthError, ProtocolError
from septum.protocol.codec import MAX_MESSAGE_BYTES, SEPTUM, decode, encode
from septum.protocol.messages import Enrolled

ANSWER_TIMEOUT_S = 30.0
MAX_CA_BYTES = 64 * 1024

_CA_PATH = "/silo/v1/ca"
_ENROLL_PATH = "/silo/v1/enroll"
_HEALTH_PATH = "/api/v1/health"  # needs neither token nor key


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an enrolled silo keeps.

    ca_pem  the coordinator's CA, to be pinned (`HttpsChannel`'s ca_file); None if it is publicly trusted
    """

    enrolled: Enrolled
    ca_pem: bytes | None = field(repr=False)


def enroll(
    url: str,
    token: str,
    private_key: Ed25519PrivateKey,
    *,
    extra_ca: Path | None = None,
    proxies: ProxySettings | None = None,
) -> Enrolment:
    """Show the token, prove the key, and learn the coordinator's CA. The token is worthless afterwards.

    The CA is fetched over a connection that nobody vouches for, and believed only if it has the digest in the token;
    the token itself then travels over a connection that this CA vouches for.

    Raises ConfigError for a malformed token or URL, AuthError if the CA is another one or the token is not accepted,
    ConnectionFailedError if the coordinator cannot be reached.
    """
    proxies = proxies or ProxySettings()
    invitation = read_token(token)
    message = enrolment(token, private_key)
    ca_pem = None if invitation.ca_digest is None else fetch_ca(url, invitation.ca_digest, proxies)
    origin = origin_of(url, pinned_context(ca_pem, extra_ca), proxies)
    answer = decode(Enrolled, _request(origin, "POST", _ENROLL_PATH, encode(message), MAX_MESSAGE_BYTES))
    enrolled = cast("Enrolled", answer)
    if enrolled.silo != message.silo:
        raise ProtocolError(f"{origin.authority} enrolled {enrolled.silo[:63]!r} instead of {message.silo!r}")
    return Enrolment(enrolled, ca_pem)


def reach(url: str, context: ssl.SSLContext, proxies: ProxySettings) -> None:
    """Ask whether the coordinator is there, with these certificates and this proxy. Raises ConnectionFailedError."""
    _request(origin_of(url, context, proxies), "GET", _HEALTH_PATH, b"", MAX_MESSAGE_BYTES)


def fetch_ca(url: str, expected: str, proxies: ProxySettings) -> bytes:
    """The coordinator's CA, which has to have the digest `expected`. Raises AuthError when it has another one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is pinned yet; what comes is compared with the token
    origin = origin_of(url, context, proxies)
    pem = _request(origin, "GET", _CA_PATH, b"", MAX_CA_BYTES)
    found = ca_digest(pem)
    if found != expected:
        raise AuthError(
            f"{origin.authority} shows a CA certificate with the digest {found}, but the token was made for "
            f"{expected}: this is another coordinator, or somebody in between pretends to be it",
            hint="check the URL with the coordinator's operator, and the digest over another channel; "
            "the token was not sent",
        )
    return pem


def _request(origin: Origin, method: str, path: str, body: bytes, limit: int) -> bytes:
    with closing(Line(origin, ANSWER_TIMEOUT_S)) as line:
        headers = {SEPTUM.name: str(SEPTUM.version), **({"Content-Type": "application/json"} if body else {})}
        line.send(method, path, headers, body, len(body))
        with closing(line.answer(method)) as answer:
            answer.check(f"{method} {path}")
            return answer.read(limit)
