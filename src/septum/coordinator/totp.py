"""What is the second factor? A code that changes every 30 s (TOTP, RFC 6238), and codes for when it is lost."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from septum.errors import MessageError

SECRET_BYTES = 20  # RFC 4226, section 4, R6
STEP_S = 30
DIGITS = 6
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10  # 80 bits: cannot be guessed, so needs no slow hash


def new_secret() -> bytes:
    """The secret of a new second factor."""
    return secrets.token_bytes(SECRET_BYTES)


def uri_of(secret: bytes, name: str, issuer: str) -> str:
    """For an authenticator program, mostly as a QR code."""
    return _totp(secret).get_provisioning_uri(name, issuer)


def code_at(secret: bytes, unix: float) -> str:
    """The code at this moment.

    >>> code_at(b"12345678901234567890", 59)  # RFC 6238, appendix B, its last six digits
    '287082'
    """
    return _totp(secret).generate(int(unix)).decode()


def step_of(secret: bytes, code: str, unix: float, last_step: int) -> int:
    """The time step whose code this is, among the one before, now, and the next; 0 if it is none after `last_step`.

    >>> step_of(b"12345678901234567890", "287082", 80, 0), step_of(b"12345678901234567890", "287082", 80, 1)
    (1, 0)
    """
    now = int(unix) // STEP_S
    for step in (now - 1, now, now + 1):  # RFC 6238, section 5.2: a delay, and clocks that are off
        if step > last_step:
            try:
                _totp(secret).verify(code.encode(), step * STEP_S)
            except InvalidToken:
                continue
            return step
    return 0


def new_recovery_codes() -> tuple[str, ...]:
    """Codes to be printed and put away."""
    return tuple(_grouped(to_base32(secrets.token_bytes(_RECOVERY_BYTES))) for _ in range(RECOVERY_CODES))


def recovery_hash(code: str) -> bytes:
    """Under what a recovery code is kept. Small letters, spaces and hyphens make no difference."""
    plain = "".join(char for char in code.upper() if char.isalnum())
    return hashlib.sha256(b"septum-recovery-v1\0" + plain.encode()).digest()


def to_base32(secret: bytes) -> str:
    """As authenticator programs take it."""
    return base64.b32encode(secret).decode().rstrip("=")


def from_base32(text: str) -> bytes:
    """The secret again. Raises MessageError, without quoting it."""
    try:
        secret = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise MessageError("this is no secret of a second factor", hint="ask for one: POST /account/totp")
    return secret


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_S)  # noqa: S303 - what authenticator programs know; HMAC needs no more


def _grouped(text: str) -> str:
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4)).lower()
