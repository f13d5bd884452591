"""How do the coordinator's JSON answers become values and errors?"""

from __future__ import annotations

from typing import TypeVar

from septum import errors
from septum.errors import MessageError, SeptumError
from septum.protocol.codec import from_json, loads

T = TypeVar("T")


def list_of(cls: type[T], body: object) -> tuple[T, ...]:
    """The values of an answer `{"items": [...]}`. Raises MessageError."""
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise MessageError("this answer has no list of items; is the URL that of a septum coordinator?")
    return tuple(from_json(cls, item) for item in items)


def error_from(status: int, body: bytes) -> SeptumError:
    """The error that an answer carries, as the class that was raised there.

    >>> error_from(404, b'{"error":{"code":"not_found","message":"no run r1","hint":""}}')
    NotFoundError('no run r1')
    """
    try:
        answer = loads(body)
        error = answer.get("error") if isinstance(answer, dict) else None
    except MessageError:
        error = None
    if not isinstance(error, dict):
        return SeptumError(f"the coordinator answered HTTP {status} without saying why")
    code, message, hint = (str(error.get(name, "")) for name in ("code", "message", "hint"))
    return _classes().get(code, SeptumError)(message, hint=hint)


def _classes() -> dict[str, type[SeptumError]]:
    members = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SeptumError)]
    return {member.code: member for member in members}
