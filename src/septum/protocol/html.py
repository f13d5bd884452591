"""How does a value look in a notebook? As a table in plain HTML: no script, no style of others, every text escaped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from html import escape

MAX_ROWS = 200  # what a notebook shows of a list
MAX_CHARS = 60  # of one cell


def rows_html(items: Sequence[object]) -> str:
    """A table of values of one class, a row each: of their fields those that fit in a cell.

    >>> rows_html([])
    '<p>none</p>'
    """
    if not items:
        return "<p>none</p>"
    cells = [dict(_cells(one)) for one in items[:MAX_ROWS]]
    columns = list(dict.fromkeys(name for one in cells for name in one))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{one.get(name, '')}</td>" for name in columns) + "</tr>" for one in cells)
    more = f"<p>and {len(items) - MAX_ROWS} more</p>" if len(items) > MAX_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def value_html(value: object) -> str:
    """A table of one value, a row for each of its fields."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{text}</td></tr>" for name, text in _cells(value))
    return f"<table><tbody>{rows}</tbody></table>"


def _cells(value: object, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Names and escaped texts: of plain fields, and of those of a small value inside, such as metrics."""
    if not dataclasses.is_dataclass(value):
        return
    for field in dataclasses.fields(value):
        if not field.repr:  # a secret
            continue
        inner, name = getattr(value, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(inner) and not prefix:
            yield from _cells(inner, f"{name}.")
        elif inner not in (None, "", ()) and not isinstance(inner, bytes):
            yield name, _text(field.name, inner)


def _text(name: str, value: object) -> str:
    """A value as escaped text.

    >>> _text("created_at", 0.5), _text("name", "<b>")
    ('1970-01-01 00:00:00', '&lt;b&gt;')
    """
    if isinstance(value, float) and (name == "at" or name.endswith("_at")) and 0 < value < 1e11:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return _short(", ".join(f"{key}={_plain(one)}" for key, one in value.items()))
    if isinstance(value, tuple):
        return _short(", ".join(_plain(one) for one in value))
    return _short(_plain(value))


def _plain(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    named = getattr(value, "name", None)
    return named if isinstance(named, str) else str(value)


def _short(text: str) -> str:
    return escape(text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…")
