"""What data does an app need? The columns in its manifest: one row is one patient, each value a number.

This is what a steward reads, and what a silo's data are held against before any training (`[data.columns]` of
septum.toml). Reading it imports neither the app nor numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from septum.errors import ConfigError, did_you_mean

MAX_COLUMNS = 4096
MAX_CODES = 4096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)


class Role(Enum):
    """What a column is to the app."""

    FEATURE = "feature"
    TARGET = "target"


class Kind(Enum):
    """What a column's values are. All travel as float64; a code is a number too."""

    NUMBER = "number"
    INTEGER = "integer"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Column:
    """One column that the app reads.

    unit              of its numbers, such as mg/dl; empty for none
    minimum, maximum  what its numbers may be, bounds included; None for any
    codes             what its codes may be, with their meanings (empty when none is given)
    missing           cells equal to one of these (text or number) are missing values, as empty ones always are
    about             what it is, for people
    """

    role: Role = Role.FEATURE
    kind: Kind = Kind.NUMBER
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    codes: Mapping[float, str] = field(default_factory=dict)
    missing: tuple[str | float, ...] = ()
    about: str = ""

    def allows(self, value: float) -> bool:
        """Whether a value that is not missing may be in the column.

        >>> Column(minimum=50.0).allows(49.0), Column(kind=Kind.CODE, codes={1.0: "male"}).allows(1.0)
        (False, True)
        """
        if self.kind is Kind.CODE:
            return value in self.codes
        if self.kind is Kind.INTEGER and value != math.floor(value):
            return False
        low = -math.inf if self.minimum is None else self.minimum
        return low <= value <= (math.inf if self.maximum is None else self.maximum)

    def words(self) -> str:
        """What its values are, for people.

        >>> Column(unit="mg/dl", minimum=50.0, maximum=700.0).words()
        'a number in mg/dl from 50 to 700'
        >>> Column(kind=Kind.CODE, codes={0.0: "female", 1.0: "male"}).words()
        'one of 0 (female), 1 (male)'
        """
        if self.kind is Kind.CODE:
            codes = [f"{code:g} ({means})" if means else f"{code:g}" for code, means in self.codes.items()]
            return f"one of {', '.join(codes)}"
        text = "a number" if self.kind is Kind.NUMBER else "a whole number"
        if self.unit:
            text += f" in {self.unit}"
        if self.minimum is not None:
            text += f" from {self.minimum:g}"
        return text + (f" to {self.maximum:g}" if self.maximum is not None else "")


def read_columns(path: str, data: Mapping[str, object]) -> dict[str, Column]:
    """The columns under `[data]` of the manifest `path`, in the order of the file. Raises ConfigError."""
    known_keys(f"{path}, [data]", data, ("columns", "missing"))
    everywhere = _markers(f"{path}, [data]", data.get("missing", []))
    raw = data.get("columns", {})
    if not isinstance(raw, dict) or len(raw) > MAX_COLUMNS:
        raise ConfigError(f"{path}, [data]: columns has to be a table of at most {MAX_COLUMNS} columns")
    columns = {name: _column(f"{path}, [data.columns], {name}", name, raw[name], everywhere) for name in raw}
    targets = [name for name, column in columns.items() if column.role is Role.TARGET]
    if len(targets) != 1:
        raise ConfigError(
            f"{path}, [data.columns]: one column must have the role target, {len(targets)} have",
            hint='write: outcome = { role = "target" }',
        )
    return columns


def known_keys(where: str, table: Mapping[str, object], known: Sequence[str]) -> None:
    """Raise ConfigError for a key that is not known."""
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; {did_you_mean(key, known)}")


def _column(where: str, name: str, fields: object, everywhere: tuple[str | float, ...]) -> Column:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a column's name has letters, digits and _ . - only, at most 100")
    if not isinstance(fields, dict):
        raise ConfigError(f"{where}: it is {fields!r}, a table is needed", hint=f"write: {name} = {{}}")
    known_keys(where, fields, ("role", "type", "unit", "min", "max", "codes", "missing", "about"))
    codes = _codes(where, fields.get("codes", []))
    kind = _one_of(where, "type", fields.get("type", "code" if codes else "number"), Kind)
    column = Column(
        role=_one_of(where, "role", fields.get("role", "feature"), Role),
        kind=kind,
        unit=_text(where, "unit", fields),
        minimum=_number(where, "min", fields),
        maximum=_number(where, "max", fields),
        codes=codes,
        missing=everywhere + _markers(where, fields.get("missing", [])),
        about=_text(where, "about", fields),
    )
    bounded = column.minimum is not None or column.maximum is not None
    if (kind is Kind.CODE) != bool(codes) or (kind is Kind.CODE and (bounded or column.unit)):
        raise ConfigError(
            f"{where}: a column of codes has `codes` and neither unit, min nor max; others have no `codes`",
            hint=f"write: {name} = {{ codes = [0, 1] }}",
        )
    if column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
        raise ConfigError(f"{where}: min is {column.minimum:g}, above max, which is {column.maximum:g}")
    return column


_E = TypeVar("_E", bound=Enum)


def _one_of(where: str, key: str, value: object, kind: type[_E]) -> _E:
    known = [str(one.value) for one in kind]
    if value not in known:
        raise ConfigError(f"{where}: {key} is {value!r}; {did_you_mean(str(value), known)}")
    return kind(value)


def _text(where: str, key: str, fields: Mapping[str, object]) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str) or len(value) > 500 or not value.isprintable():
        raise ConfigError(f"{where}: {key} is {str(value)[:80]!r}, a text of one line is needed")
    return value


def _number(where: str, key: str, fields: Mapping[str, object]) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    return _finite(f"{where}: {key}", value)


def _finite(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ConfigError(f"{what} is {value!r}, a finite number is needed")
    return float(value)


def _codes(where: str, value: object) -> dict[float, str]:
    """A list of numbers, or a table from number to meaning."""
    if isinstance(value, list):
        pairs = [(_finite(f"{where}: a code", code), "") for code in value]
    elif isinstance(value, dict):
        pairs = [(_code(where, code), _text(where, code, value)) for code in value]
    else:
        raise ConfigError(f"{where}: codes is {value!r}", hint='write: codes = [0, 1] or { 0 = "no", 1 = "yes" }')
    codes = dict(pairs)
    if len(codes) != len(pairs) or len(codes) > MAX_CODES:
        raise ConfigError(f"{where}: a code is there twice, or there are more than {MAX_CODES}")
    return codes


def _code(where: str, key: str) -> float:
    try:
        return _finite(f"{where}: a code", float(key))
    except ValueError:
        raise ConfigError(
            f"{where}: the code {key!r} is no number", hint='write: codes = { 0 = "no", 1 = "yes" }'
        ) from None


def _markers(where: str, value: object) -> tuple[str | float, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: missing is {value!r}, a list is needed")
    markers: list[str | float] = []
    for marker in value:
        if isinstance(marker, bool) or not isinstance(marker, (str, int, float)):
            raise ConfigError(f"{where}: missing holds {marker!r}, texts and numbers are possible")
        markers.append(marker if isinstance(marker, str) else _finite(f"{where}: missing", marker))
    return tuple(markers)
