"""What has a silo's column to become the app's? The steward's mapping held against the contract, before any row.

Reading it imports no numpy: the silo's agent holds these values, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

from septum.errors import ConfigError, did_you_mean
from septum.sdk.contract import Column, Kind
from septum.sdk.units import SAME, Conversion, conversion, substance_of

MAX_DECIMALS = 12
# What float() takes beyond this (nan, inf, 1_000, other scripts' digits) is a mistake in a data file.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class OnViolation(Enum):
    """What becomes of a row with a value that the contract does not allow."""

    REFUSE = "refuse"
    MISSING = "missing"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What a steward says of one column of hers. Empty: as the contract has it.

    source     the column's name in the source
    unit       what its numbers are in
    substance  of which a concentration is, where names do not tell
    factor, offset  instead of `unit`: canonical = value * factor + offset
    codes      canonical value by the source's code; other codes are violations
    missing    further markers of missing values, as they stand in the source
    decimals   canonical numbers are rounded to so many places
    """

    source: str = ""
    unit: str = ""
    substance: str = ""
    factor: float | None = None
    offset: float = 0.0
    codes: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str | float, ...] = ()
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """How one column is made: the contract's side, the source's side, and the way between them.

    unit            of the source, for amounts that name theirs; empty where that is not to be looked at
    texts, numbers  the source's markers of missing values, numbers told apart however they are written
    codes, coded_numbers  canonical values by the source's text, or by its number
    """

    name: str
    column: Column
    source: str
    unit: str
    substance: str
    conversion: Conversion
    decimals: int | None
    texts: frozenset[str]
    numbers: frozenset[float]
    codes: Mapping[str, float]
    coded_numbers: Mapping[float, float]
    canonical_missing: frozenset[float]

    def words(self) -> str:
        """What is done with the values, for people; empty if they are taken as they are."""
        parts = [f"from {self.source}"] if self.source != self.name else []
        parts += [self.conversion.words] if self.conversion.words else []
        parts += [f"{len(self.codes) + len(self.coded_numbers)} codes"] if self.codes or self.coded_numbers else []
        parts += [f"rounded to {self.decimals} decimals"] if self.decimals is not None else []
        return ", ".join(parts)


def plan_columns(
    where: str, contract: Mapping[str, Column], mapping: Mapping[str, ColumnMapping]
) -> tuple[ColumnPlan, ...]:
    """One plan a column of the contract, in its order. Raises ConfigError for what cannot be meant."""
    for name in mapping:
        if name not in contract:
            raise ConfigError(
                f"{where}: {name!r} is no column of the app's contract; {did_you_mean(name, contract)}",
                hint="the app's columns stand on the left side; what the hospital calls them in `from`",
            )
    return tuple(
        _plan(f"{where}, {name}", name, column, mapping.get(name, ColumnMapping())) for name, column in contract.items()
    )


def number_of(text: str) -> float | None:
    """The number that a text is, if it is one.

    >>> number_of("-9.0"), number_of("1_000"), number_of("1e999")
    (-9.0, None, None)
    """
    if not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) != float("inf") else None


def _plan(where: str, name: str, column: Column, mapping: ColumnMapping) -> ColumnPlan:
    codes, coded_numbers = _codes(where, column, mapping)
    ours = [marker for marker in mapping.missing if isinstance(marker, str)]
    theirs = [marker for marker in column.missing if isinstance(marker, str)]
    for marker in mapping.missing:
        if _is_code(marker, codes, coded_numbers):
            raise ConfigError(f"{where}: {marker!r} is in `codes` and in `missing`", hint="leave one of them out")
    canonical = frozenset(float(marker) for marker in column.missing if not isinstance(marker, str))
    return ColumnPlan(
        name=name,
        column=column,
        source=mapping.source or name,
        unit="" if mapping.factor is not None or mapping.offset else mapping.unit or column.unit,
        substance=mapping.substance or substance_of(name, mapping.source),
        conversion=_conversion(where, name, column, mapping),
        decimals=mapping.decimals,
        texts=frozenset(["", *ours, *theirs]),
        numbers=_numbers(mapping.missing) | _numbers(theirs) | (canonical if column.kind is Kind.CODE else frozenset()),
        codes=codes,
        coded_numbers=coded_numbers,
        canonical_missing=canonical,
    )


def _numbers(markers: Sequence[str | float]) -> frozenset[float]:
    found = (number_of(marker) if isinstance(marker, str) else marker for marker in markers)
    return frozenset(value for value in found if value is not None)


def _is_code(marker: str | float, codes: Mapping[str, float], numbers: Mapping[float, float]) -> bool:
    number = number_of(marker) if isinstance(marker, str) else marker
    return marker in codes or number in numbers


def _codes(where: str, column: Column, mapping: ColumnMapping) -> tuple[dict[str, float], dict[float, float]]:
    """By text and by number: `1` in a file is `1.0` in a database."""
    texts: dict[str, float] = {}
    numbers: dict[float, float] = {}
    for code, value in mapping.codes.items():
        if not column.allows(value):
            raise ConfigError(
                f"{where}: the code {code!r} becomes {value:g}, which the contract does not allow: it has to be "
                f"{column.words()}",
                hint="what means that nothing is known belongs into `missing`",
            )
        number = number_of(code)
        if number is None:
            texts[code] = value
        elif numbers.setdefault(number, value) != value:
            raise ConfigError(f"{where}: the code {code!r} is there twice, with different values")
    return texts, numbers


def _conversion(where: str, name: str, column: Column, mapping: ColumnMapping) -> Conversion:
    converts = mapping.unit or mapping.factor is not None or mapping.offset or mapping.substance
    if column.kind is Kind.CODE and (converts or mapping.decimals is not None):
        raise ConfigError(
            f"{where}: the contract says it is {column.words()}; a code has no unit, factor or decimals",
            hint=f'write: {name} = {{ from = "{mapping.source or name}", codes = {{ ... }} }}',
        )
    if mapping.factor is not None or mapping.offset:
        if mapping.unit or mapping.substance or not mapping.factor:
            raise ConfigError(f"{where}: factor and offset stand instead of unit and substance", hint="factor = 38.67")
        words = f"times {mapping.factor:g}" + (f" plus {mapping.offset:g}" if mapping.offset else "")
        return Conversion(Fraction(repr(mapping.factor)), Fraction(repr(mapping.offset)), words)
    if not mapping.unit:
        return SAME
    if not column.unit:
        raise ConfigError(
            f"{where}: unit is {mapping.unit!r}, but the contract gives {name} no unit to convert it to",
            hint="leave unit out if the numbers are what the app needs, or write factor = NUMBER",
        )
    try:
        return conversion(mapping.unit, column.unit, mapping.substance or substance_of(name, mapping.source))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error
