"""How an error of the coordinator becomes bytes, and the same error again in the silo.

`{"error": {"code": ..., "message": ..., "hint": ...}}` with the error's HTTP status. An answer without such a body does
not come from septum: a proxy or gateway wrote it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from septum.errors import (
    ERROR_CLASSES,
    AuthError,
    ConnectionFailedError,
    ForbiddenError,
    MessageError,
    ProtocolError,
    SeptumError,
    TooLargeError,
)
from septum.protocol.codec import loads

MAX_TEXT_CHARS = 4_000  # of a message or a hint, as they end up in logs
MAX_ERROR_BYTES = 64 * 1024  # what is read of an error's body
RETRY_AFTER = "1"  # seconds, in every answer with one of these statuses: what hinders now is over soon
RETRY_STATUSES = (429, 503)

# What a status means that came without septum's body, from something between silo and coordinator.
_FOREIGN: Mapping[int, type[SeptumError]] = {
    401: AuthError,
    403: ForbiddenError,
    408: ConnectionFailedError,
    413: TooLargeError,
    429: ConnectionFailedError,
    502: ConnectionFailedError,
    503: ConnectionFailedError,
    504: ConnectionFailedError,
}


class RetryLaterError(ConnectionFailedError):
    """The other side is there but not now, and said when to come back."""

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


def error_body(error: SeptumError) -> bytes:
    """The body of the answer to a request that failed.

    >>> error_body(AuthError("who?"))
    b'{"error":{"code":"auth","hint":"","message":"who?"}}'
    """
    content = {"code": error.code, "message": error.message[:MAX_TEXT_CHARS], "hint": error.hint[:MAX_TEXT_CHARS]}
    return json.dumps({"error": content}, sort_keys=True, separators=(",", ":")).encode()


def error_of(status: int, body: bytes, *, asked: str = "", retry_after: str | None = None) -> SeptumError:
    """The error that an answer means.

    Args:
        status: the HTTP status, 300 or more.
        body: of the answer.
        asked: method and path, for the message of an error that is not septum's.
        retry_after: the value of that header, if there is one.

    >>> error_of(404, b'{"error":{"code":"not_found","message":"no run r1","hint":""}}')
    NotFoundError('no run r1')
    """
    error = _ours(body) or _foreign(status, asked)
    seconds = _seconds(retry_after)
    if isinstance(error, ConnectionFailedError) and seconds is not None:
        return RetryLaterError(error.message, hint=error.hint, retry_after_s=seconds)
    return error


def _ours(body: bytes) -> SeptumError | None:
    try:
        value = loads(body, MAX_ERROR_BYTES)
    except MessageError:
        return None
    content = value.get("error") if isinstance(value, dict) else None
    if not isinstance(content, dict):
        return None
    code, message, hint = content.get("code"), content.get("message"), content.get("hint", "")
    if not (isinstance(code, str) and isinstance(message, str) and isinstance(hint, str)):
        return None
    if code not in ERROR_CLASSES:
        return ProtocolError(
            f"the coordinator answered with an error that is not known here, {_clean(code, 40)!r}: {_clean(message)}",
            hint="septum --version on both sides; upgrade the older one",
        )
    return ERROR_CLASSES[code](_clean(message), hint=_clean(hint))


def _foreign(status: int, asked: str) -> SeptumError:
    cls = _FOREIGN.get(status, ProtocolError)
    return cls(
        f"{asked} was answered with HTTP status {status} by something that is not septum",
        hint="look at the proxy or gateway in front of the coordinator, and at the coordinator's URL",
    )


def _seconds(retry_after: str | None) -> float | None:
    """Delay-seconds alone (RFC 9110, section 10.2.3); a date would need the other side's clock."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _clean(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Printable, so that what the other side wrote cannot steer a terminal or forge a line of the log."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text[:limit])
