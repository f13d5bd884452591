"""What is in an invitation token, and how a silo enrols with it.

A token is `septum1_` and the base64url of: 4 bytes checksum, 32 bytes secret, 1 byte that is 1 if 32 bytes of the
coordinator's CA digest follow (0: its certificate is publicly trusted), and the silo's name. The checksum finds a token
that was cut or mistyped on its way; what protects it is the secret alone. The coordinator stores `token_hash`, never
the token: 256 random bits need no slow hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from septum.adapters.identity.keys import public_bytes
from septum.errors import AuthError, ConfigError
from septum.protocol.messages import Enroll, enrolment_proof
from septum.protocol.plan import check_silo_name

PREFIX = "septum1_"
SECRET_BYTES = 32
MAX_TOKEN_CHARS = 256  # the longest name makes 184

_CHECKSUM_BYTES = 4
_DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class InvitationToken:
    """What a token says.

    ca_digest  `sha256:` and 64 hex digits, or None when the coordinator's certificate is publicly trusted
    """

    silo: str
    secret: bytes = field(repr=False)
    ca_digest: str | None


def new_secret() -> bytes:
    """The secret of a new token."""
    return secrets.token_bytes(SECRET_BYTES)


def make_token(silo: str, secret: bytes, ca_digest: str | None) -> str:
    """The text that is handed to the silo's operator.

    >>> make_token("st-marys", bytes(32), None)
    'septum1_GIIN2wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHN0LW1hcnlz'
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes, not {len(secret)}")
    pin = b"\0" if ca_digest is None else b"\1" + bytes.fromhex(ca_digest.removeprefix(_DIGEST_PREFIX))
    if len(pin) not in (1, 1 + SECRET_BYTES):
        raise ValueError(f"{ca_digest!r} is not a CA's digest")
    body = secret + pin + check_silo_name(silo).encode()
    return PREFIX + base64.urlsafe_b64encode(_checksum(body) + body).decode().rstrip("=")


def read_token(text: str) -> InvitationToken:
    """What a token says. Raises ConfigError if it is malformed; the message never quotes it.

    >>> read_token(make_token("st-marys", bytes(32), None)).silo
    'st-marys'
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        raise _malformed(f"it does not begin with {PREFIX}")
    if len(text) > MAX_TOKEN_CHARS:
        raise _malformed(f"it has {len(text)} characters, at most {MAX_TOKEN_CHARS}")
    encoded = text.removeprefix(PREFIX)
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("it is not base64url") from None
    body = data[_CHECKSUM_BYTES:]
    if not body or data[:_CHECKSUM_BYTES] != _checksum(body):
        raise _malformed("its checksum is wrong, so a part was lost or changed on the way")
    secret, flag, rest = body[:SECRET_BYTES], body[SECRET_BYTES : SECRET_BYTES + 1], body[SECRET_BYTES + 1 :]
    if flag not in (b"\0", b"\1") or (flag == b"\1" and len(rest) < SECRET_BYTES):
        raise _malformed("its parts do not fit")
    pin, name = (rest[:32], rest[32:]) if flag == b"\1" else (b"", rest)
    return InvitationToken(
        check_silo_name(name.decode("ascii", "replace")), secret, f"{_DIGEST_PREFIX}{pin.hex()}" if pin else None
    )


def token_hash(secret: bytes) -> str:
    """Under what the coordinator keeps a token.

    >>> token_hash(bytes(32))[:15]
    'sha256:22a40356'
    """
    return _DIGEST_PREFIX + hashlib.sha256(b"septum-token-v1\0" + secret).hexdigest()


def enrolment(token: str, private_key: Ed25519PrivateKey) -> Enroll:
    """The message of a silo that enrols: its token, its public key, and the proof that it holds the private one."""
    token = token.strip()
    silo, key = read_token(token).silo, public_bytes(private_key)
    return Enroll(silo, token, key, private_key.sign(enrolment_proof(silo, token, key)))


def check_enrolment(message: Enroll) -> InvitationToken:
    """The token of an enrolling silo, its proof checked. Whether it is valid and unused is the caller's to check.

    Raises ConfigError for a malformed token, AuthError when name, key and proof do not belong together.
    """
    token = read_token(message.token)
    if token.silo != message.silo:
        raise AuthError(
            f"this token invites {token.silo!r}, not {message.silo[:63]!r}",
            hint=f"septum silo invite {message.silo[:63]}",
        )
    proof = enrolment_proof(message.silo, message.token, message.public_key)
    try:
        Ed25519PublicKey.from_public_bytes(message.public_key).verify(message.proof, proof)
    except (InvalidSignature, ValueError):
        raise AuthError(f"silo {message.silo!r} did not prove that it holds the key it brought") from None
    return token


def _malformed(reason: str) -> ConfigError:
    return ConfigError(
        f"this is not an invitation token: {reason}",
        hint="copy the whole token; the coordinator's operator makes a new one with: septum silo invite NAME",
    )


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"septum-token-checksum\0" + body).digest()[:_CHECKSUM_BYTES]
