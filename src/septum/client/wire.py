"""How do the coordinator's JSON answers become values and errors?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from septum.errors import ERROR_CLASSES, MessageError, SeptumError
from septum.protocol.codec import Json, from_json, loads
from septum.protocol.html import rows_html

T = TypeVar("T")
PAGE = 1000  # items; the most that one page has


class Ask(Protocol):
    """One request: the JSON of its answer, or the error that was answered."""

    def __call__(
        self, method: str, path: str, body: Json = None, *, params: Mapping[str, str | list[str]] | None = None
    ) -> Json:
        """Ask."""


class Rows(tuple[T, ...]):
    """Values of one list: a tuple like any other, and in a notebook a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return rows_html(self)


def list_of(cls: type[T], body: object) -> tuple[T, ...]:
    """The values of an answer `{"items": [...]}`. Raises MessageError."""
    return page_of(cls, body)[0]


def page_of(cls: type[T], body: object) -> tuple[tuple[T, ...], str]:
    """The values of a page, and where the next one begins; empty at the end. Raises MessageError."""
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or not isinstance(body, dict):
        raise MessageError("this answer has no list of items; is the URL that of a septum coordinator?")
    return Rows(from_json(cls, item) for item in items), str(body.get("next") or "")


def all_of(cls: type[T], ask: Ask, path: str, **params: str | list[str]) -> tuple[T, ...]:
    """Every page of a list."""
    found: list[T] = []
    given: dict[str, str | list[str]] = {"limit": str(PAGE), **{name: value for name, value in params.items() if value}}
    while True:
        items, following = page_of(cls, ask("GET", path, params=given))
        found += items
        if not following:
            return Rows(found)
        given["after"] = following


def error_from(status: int, body: bytes) -> SeptumError:
    """The error that an answer carries, as the class that was raised there.

    >>> error_from(404, b'{"code":"not_found","detail":"no run r1","hint":""}')
    NotFoundError('no run r1')
    """
    try:
        problem = loads(body)
    except MessageError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return SeptumError(f"the coordinator answered HTTP {status} without saying why")
    code, detail, hint = (str(problem.get(name, "")) for name in ("code", "detail", "hint"))
    return ERROR_CLASSES.get(code, SeptumError)(detail, hint=hint)
