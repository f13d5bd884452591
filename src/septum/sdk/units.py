"""How does a number in one unit become one in another? A small table of the units that clinical data come in.

Units of one dimension convert by an exact ratio. Between amounts (mmol/l) and masses (mg/dl) the ratio depends on the
substance; the figures are those that laboratories print on their conversion charts, so that a value converted here is
the value that a colleague would have written. UCUM's spelling of a unit is understood, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from septum.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value * scale + offset`; `words` says what is done, for people."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    words: str = ""

    def convert(self, value: float) -> float:
        """The number in the other unit.

        >>> conversion("F", "C").convert(98.6)
        37.0
        """
        common = self.scale.denominator * self.offset.denominator
        if common == 1 and self.scale == 1 and not self.offset:
            return value
        # Whole numbers multiplied first and divided once: 32 F is 0 C, and 2.54 cm is 1 in, to the last bit.
        return (value * float(self.scale * common) + float(self.offset * common)) / float(common)


SAME = Conversion()


@dataclass(frozen=True, slots=True)
class _Unit:
    """`base = value * scale + offset` in the dimension's base unit."""

    dimension: str
    scale: Fraction
    offset: Fraction = Fraction(0)


_SCALES: Mapping[str, Mapping[str, str]] = {
    "mass": {"kg": "1", "g": "0.001", "mg": "0.000001", "lb": "0.45359237", "oz": "0.028349523125"},
    "length": {"m": "1", "cm": "0.01", "mm": "0.001", "in": "0.0254", "ft": "0.3048"},
    # The conventional millimetre of mercury; of water at 4 C.
    "pressure": {"Pa": "1", "hPa": "100", "kPa": "1000", "mmHg": "133.322387415", "cmH2O": "98.0665"},
    # UCUM's year and month: 365.25 days and a twelfth of that.
    "time": {"years": "31557600", "months": "2629800", "weeks": "604800", "days": "86400", "h": "3600", "min": "60"}
    | {"s": "1", "ms": "0.001"},
    "mass concentration": {"g/l": "1", "g/dl": "10", "mg/dl": "0.01", "mg/l": "0.001", "ug/ml": "0.001"}
    | {"ug/dl": "0.00001", "ug/l": "0.000001", "ng/ml": "0.000001", "ng/dl": "0.00000001", "ng/l": "0.000000001"}
    | {"pg/ml": "0.000000001"},
    "amount concentration": {"mol/l": "1000", "mmol/l": "1", "umol/l": "0.001", "nmol/l": "0.000001"}
    | {"pmol/l": "0.000000001"},
    "enzyme activity": {"U/l": "1", "kU/l": "1000", "ukat/l": "60", "nkat/l": "0.06"},
    "cell count": {"10^9/l": "1", "10^6/l": "0.001", "10^12/l": "1000", "/ul": "0.001", "10^3/ul": "1"}
    | {"10^6/ul": "1000"},
    "rate": {"/min": "1", "Hz": "60"},
    "voltage": {"mV": "1", "uV": "0.001"},
    "part": {"fraction": "1", "%": "0.01"},
}
_UNITS: Mapping[str, _Unit] = {
    **{name: _Unit(what, Fraction(scale)) for what, scales in _SCALES.items() for name, scale in scales.items()},
    "C": _Unit("temperature", Fraction(1)),
    "K": _Unit("temperature", Fraction(1), Fraction("-273.15")),
    "F": _Unit("temperature", Fraction(5, 9), Fraction(-160, 9)),
}
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "lb": ("lbs", "[lb_av]"),
    "oz": ("[oz_av]",),
    "in": ("inch", "inches", "[in_i]"),
    "ft": ("[ft_i]",),
    "mmHg": ("mm[hg]",),
    "hPa": ("mbar",),
    "cmH2O": ("cm[h2o]",),
    "years": ("year", "yr", "yrs", "y", "a"),
    "months": ("month", "mo"),
    "weeks": ("week", "wk"),
    "days": ("day", "d"),
    "h": ("hours", "hour", "hr"),
    "min": ("minutes",),
    "s": ("seconds", "sec"),
    "U/l": ("iu/l", "[iu]/l"),
    "10^9/l": ("10*9/l", "giga/l"),
    "10^12/l": ("10*12/l", "tera/l"),
    "10^6/l": ("10*6/l",),
    "10^3/ul": ("10*3/ul", "k/ul"),
    "10^6/ul": ("10*6/ul",),
    "/ul": ("1/ul", "{cells}/ul"),
    "/min": ("1/min", "bpm", "beats/min", "{beats}/min", "{heartbeats}/min"),
    "C": ("cel", "degc", "celsius", "°c"),
    "F": ("[degf]", "degf", "fahrenheit", "°f"),
    "fraction": ("{fraction}",),
}
_BY_SPELLING: Mapping[str, str] = {name.lower(): name for name in _UNITS} | {
    alias: name for name, aliases in _ALIASES.items() for alias in aliases
}

# mg/dl for one mmol/l, as printed on laboratories' conversion charts. Per g/mol of the molar mass it is a tenth.
SUBSTANCES: Mapping[str, Fraction] = {
    "cholesterol": Fraction("38.67"),
    "triglycerides": Fraction("88.57"),
    "glucose": Fraction("18.016"),
    "creatinine": Fraction(1000) / Fraction("88.42"),  # charts: 88.42 umol/l for one mg/dl
    "bilirubin": Fraction(1000) / Fraction("17.104"),  # 17.104 umol/l for one mg/dl
    "urate": Fraction(1000) / Fraction("59.48"),  # 59.48 umol/l for one mg/dl
    "urea": Fraction("6.006"),
    "urea nitrogen": Fraction("2.8014"),
    "calcium": Fraction("4.0078"),
    "phosphorus": Fraction("3.0974"),
    "magnesium": Fraction("2.4305"),
    "iron": Fraction("5.5845"),
    "lactate": Fraction("9.008"),
    "haemoglobin": Fraction("1611.4"),  # of one of its four chains, as charts have it
}
_NAMED: Mapping[str, str] = {
    **{name: name for name in SUBSTANCES},
    **dict.fromkeys(("chol", "cholest", "hdl", "ldl", "cholesterin"), "cholesterol"),
    **dict.fromkeys(("triglyceride", "trig", "tg"), "triglycerides"),
    **dict.fromkeys(("glu", "gluc", "glucosa", "glukose"), "glucose"),
    **dict.fromkeys(("crea", "creat", "kreatinin"), "creatinine"),
    **dict.fromkeys(("bili", "tbil"), "bilirubin"),
    **dict.fromkeys(("uric", "ua"), "urate"),
    **dict.fromkeys(("bun",), "urea nitrogen"),
    **dict.fromkeys(("phosphate", "phos"), "phosphorus"),
    **dict.fromkeys(("hemoglobin", "hgb", "hb"), "haemoglobin"),
}


def unit_name(spelling: str) -> str:
    """The table's name of a unit, however it was spelt; empty if it is not there.

    >>> unit_name("mmol/L"), unit_name("µg / dL"), unit_name("furlong")
    ('mmol/l', 'ug/dl', '')
    """
    text = spelling.replace("µ", "u").replace("μ", "u").replace(" ", "").lower()
    return _BY_SPELLING.get(text, "")


def substance_of(*names: str) -> str:
    """The one substance that these names of a column speak of; empty if there is none or more than one.

    >>> substance_of("chol", "serum_cholesterol"), substance_of("chol", "glucose"), substance_of("age")
    ('cholesterol', '', '')
    """
    words = {word for name in names for word in re.split(r"[^a-zäöü]+", name.lower())}
    found = {_NAMED[word] for word in words if word in _NAMED}
    return found.pop() if len(found) == 1 else ""


def conversion(source: str, target: str, substance: str = "") -> Conversion:
    """How a number in `source` becomes one in `target`. Raises ConfigError that names both and what to write.

    >>> conversion("mmol/l", "mg/dl", "cholesterol").convert(5.0)
    193.35
    """
    if source == target or (unit_name(source) and unit_name(source) == unit_name(target)):
        return SAME
    for unit in (source, target):
        if not unit_name(unit):
            raise ConfigError(
                f"{source or 'no unit'} cannot be converted to {target or 'no unit'}: {unit or 'the empty unit'!r} is "
                f"not in the table; {did_you_mean(unit, _UNITS)}",
                hint=f"write how many {target or 'of the other'} one {source or 'of this'} is: factor = 1.0",
            )
    one, other = _UNITS[unit_name(source)], _UNITS[unit_name(target)]
    ratio, told = _between(one.dimension, other.dimension, substance)
    if not ratio:
        raise ConfigError(
            f"{source} is {one.dimension}, {target} is {other.dimension}{told}",
            hint=f'write substance = "cholesterol" ({", ".join(SUBSTANCES)}), or factor = HOW MANY {target} ONE '
            f"{source} IS"
            if {one.dimension, other.dimension} == set(_CONCENTRATIONS)
            else f"write factor = HOW MANY {target} ONE {source} IS, if that can be meant",
        )
    scale = one.scale * ratio / other.scale
    offset = (one.offset - other.offset) / other.scale
    return Conversion(scale, offset, f"{source} to {target}{told}")


_CONCENTRATIONS = ("amount concentration", "mass concentration")


def _between(one: str, other: str, substance: str) -> tuple[Fraction, str]:
    """How many base units of one dimension a base unit of the other is, and of what; 0 if nobody can say."""
    if one == other:
        return Fraction(1), ""
    if (one, other) != _CONCENTRATIONS and (other, one) != _CONCENTRATIONS:
        return Fraction(0), ""
    name = _NAMED.get(substance.lower().replace("_", " "), "")
    if not name:
        known = did_you_mean(substance, SUBSTANCES) if substance else "which of it depends on the substance"
        return Fraction(0), f"; substance is {substance!r}, {known}" if substance else f": {known}"
    grams_per_litre = SUBSTANCES[name] / 100  # of one mmol/l
    return (grams_per_litre if one == _CONCENTRATIONS[0] else 1 / grams_per_litre), f" of {name}"


def units_beside(unit: str, substances: Iterable[str]) -> list[tuple[str, str, Conversion]]:
    """Each other unit whose numbers could have been meant, with its substance, and how they become `unit`.

    >>> [name for name, _, _ in units_beside("kg", ())]
    ['g', 'mg', 'lb', 'oz']
    """
    target = _UNITS.get(unit_name(unit))
    if target is None:
        return []
    found: list[tuple[str, str, Conversion]] = []
    seen = {(Fraction(1), Fraction(0))}
    for name, other in _UNITS.items():
        if {other.dimension, target.dimension} == set(_CONCENTRATIONS):
            pairs = [(substance, conversion(name, unit, substance)) for substance in substances]
        else:
            pairs = [("", conversion(name, unit))] if other.dimension == target.dimension else []
        for substance, one in pairs:
            if (one.scale, one.offset) not in seen:
                seen.add((one.scale, one.offset))
                found.append((name, substance, one))
    return found
