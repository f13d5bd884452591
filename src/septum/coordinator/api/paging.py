"""Which part of a list is asked for, and where does the next one begin? The same two parameters for every list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Response

from septum.coordinator.api.bodies import JSON_TYPE
from septum.errors import MessageError
from septum.protocol.codec import Json, dumps, loads, to_json

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_CURSOR_CHARS = 1000
MAX_SEARCH_CHARS = 200
MAX_DIGITS = 15  # a database's integers have 63 bits

T = TypeVar("T")
Place = tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class Paging:
    """At most `limit` items, those after the place `after`; empty: the first."""

    limit: int
    after: str


def _paging(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")] = DEFAULT_LIMIT,
    after: Annotated[
        str,
        Query(
            max_length=MAX_CURSOR_CHARS, description="Where to begin: `next` of the page before; empty for the first."
        ),
    ] = "",
) -> Paging:
    return Paging(limit, after)


Paged = Annotated[Paging, Depends(_paging)]


def matches(text: str, *fields: str) -> bool:
    """Whether a text that is searched for is in one of these; upper and lower case are the same.

    >>> matches("MARY", "st-marys", ""), matches("", "st-marys"), matches("x", "st-marys")
    (True, True, False)
    """
    return any(text.casefold() in field.casefold() for field in fields)


Q = Annotated[str, Query(max_length=MAX_SEARCH_CHARS, description="Only those with this text in their name or title.")]


def answer_page(items: Sequence[object | bytes], following: str | None, **more: Json) -> Response:
    """A page: `{"items": [...], "next": ...}`. Items that are bytes are JSON already; at the end nothing follows.

    `more`: what else the page says of the whole list.
    """
    parts = (one if isinstance(one, bytes) else dumps(to_json(one)) for one in items)
    also = b"".join(b"," + dumps(name) + b":" + dumps(value) for name, value in more.items())
    body = b'{"items":[' + b",".join(parts) + b'],"next":' + dumps(following) + also + b"}"
    return Response(body, media_type=JSON_TYPE)


def answer_part(views: Sequence[T], place: Callable[[T], Place], paging: Paging, **more: Json) -> Response:
    """The asked part of a list that is here whole. `place` orders it, and names one item alone; `more` as above."""
    ordered = sorted(views, key=place)
    if paging.after:
        after = _read(paging.after)
        try:
            ordered = [view for view in ordered if place(view) > after]
        except TypeError:  # of another list
            raise no_cursor(paging.after) from None
    page = ordered[: paging.limit]
    return answer_page(page, _cursor(place(page[-1])) if len(ordered) > len(page) else None, **more)


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(dumps(list[Json](place))).decode().rstrip("=")


def _read(text: str) -> Place:
    """The place that a cursor means. Raises MessageError."""
    try:
        found = loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, MessageError):
        found = None
    if not isinstance(found, list) or not all(type(one) in (str, int, float) for one in found):
        raise no_cursor(text)
    return tuple(one for one in found if isinstance(one, str | int | float))


def number_after(paging: Paging, first: int = 0) -> int:
    """The place in a list whose places are numbers; `first` where none is named. Raises MessageError."""
    if not paging.after:
        return first
    if not (paging.after.isascii() and paging.after.isdigit() and len(paging.after) <= MAX_DIGITS):
        raise no_cursor(paging.after)
    return int(paging.after)


def no_cursor(text: str) -> MessageError:
    """The error for a place that no list gave out."""
    return MessageError(f"after={text[:60]!r} is no place in this list", hint="`next` of the page before")
