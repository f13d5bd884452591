"""Which hyper-parameters does an app have, and is a given value one of them?

The class under `@app.hyper` is the only place of defaults: the JSON Schema, the form, the command line's `--set` and
the silo's own validation are made from its fields.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

from septum.errors import AppError, ConfigError, did_you_mean

Scalar: TypeAlias = bool | int | float | str

_T = TypeVar("_T", bool, int, float, str)
_BOUNDS = "septum.hyper"
MAX_FIELDS = 1000
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def hyper(
    default: _T,
    *,
    min: float | None = None,
    max: float | None = None,
    choices: tuple[_T, ...] = (),
    help: str = "",
) -> _T:
    """Declare one hyper-parameter: its default, and what else it may be (`min` and `max` are themselves allowed).

    Its static type is the default's, so `h.lr` is a float to the type checker; at run time it is a dataclass field.
    """
    bounds = {"min": min, "max": max, "choices": choices, "help": help}
    declared: _T = dataclasses.field(default=default, metadata={_BOUNDS: bounds})
    return declared


@dataclass(frozen=True, slots=True)
class HyperField:
    """One hyper-parameter: name, type, default and the values it may take."""

    name: str
    kind: type[Scalar]
    default: Scalar
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: str = ""

    def allowed(self) -> str:
        """What the field takes, as the end of the sentence "it must be ...".

        >>> HyperField("lr", float, 0.1, minimum=0.0, maximum=1.0).allowed()
        'a number from 0.0 to 1.0'
        """
        if self.choices:
            return f"one of {', '.join(str(choice) for choice in self.choices)}"
        match self.minimum, self.maximum:
            case None, None:
                limits = ""
            case low, None:
                limits = f" of at least {low}"
            case None, high:
                limits = f" of at most {high}"
            case low, high:
                limits = f" from {low} to {high}"
        return _WORDS[self.kind] + limits

    def check(self, value: object) -> Scalar:
        """Return `value` in the field's type, or raise a ConfigError that names field, value and range.

        >>> HyperField("lr", float, 0.1, minimum=0.0).check(1)
        1.0
        """
        typed = _typed(self.kind, value)
        if typed is None or not self._within(typed):
            raise ConfigError(
                f"hyper-parameter {self.name!r} is {value!r}; it must be {self.allowed()}",
                hint=f"leave it out for its default, {self.default!r}",
            )
        return typed

    def parse(self, text: str) -> Scalar:
        """Read a value typed on a command line and check it.

        >>> HyperField("lr", float, 0.1).parse("1e-2")
        0.01
        """
        value: object = text
        try:
            if self.kind is bool:
                value = {"true": True, "false": False}.get(text.strip().lower(), text)
            elif self.kind in (int, float):
                value = self.kind(text)
        except ValueError:
            pass  # check() then refuses the text itself, which is what the user typed
        return self.check(value)

    def schema(self) -> dict[str, object]:
        """The JSON Schema of this field.

        >>> HyperField("epochs", int, 1, minimum=1).schema()
        {'type': 'integer', 'default': 1, 'minimum': 1}
        """
        extras = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "enum": list(self.choices) or None,
            "description": self.help or None,
        }
        shown = {key: value for key, value in extras.items() if value is not None}
        return {"type": _JSON_TYPES[self.kind], "default": self.default, **shown}

    def _within(self, value: Scalar) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, str):
            return True
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


def fields_of(cls: type[object], app: str) -> tuple[HyperField, ...]:
    """The fields of a hyper-parameter class (already a dataclass), defaults checked."""
    fields = []
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]))
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]  # the caller has just made it a dataclass
        kind = hints[item.name]
        if kind not in _JSON_TYPES:
            raise AppError(
                f"app {app!r}: hyper-parameter {item.name!r} has type {kind}; int, float, bool and str are possible"
            )
        if item.default is dataclasses.MISSING:
            raise AppError(
                f"app {app!r}: hyper-parameter {item.name!r} has no default",
                hint=f"write: {item.name}: {kind.__name__} = hyper(DEFAULT)",
            )
        fields.append(_field(app, item.name, kind, item.default, item.metadata.get(_BOUNDS, {})))
    return tuple(fields)


def schema_of(fields: Iterable[HyperField], app: str) -> dict[str, object]:
    """The JSON Schema (2020-12) of all fields; every one has a default, so none is required."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": app,
        "type": "object",
        "properties": {field.name: field.schema() for field in fields},
        "additionalProperties": False,
    }


def fields_in(schema: Mapping[str, object], app: str) -> tuple[HyperField, ...]:
    """The fields that a schema was made from, so that values are checked without the app's code.

    Raises AppError for a schema that `schema_of` does not make: it comes from a package.

    >>> lr = HyperField("lr", float, 0.1, minimum=0.0)
    >>> fields_in(schema_of([lr], "heart"), "heart") == (lr,)
    True
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or len(properties) > MAX_FIELDS:
        raise AppError(f"app {app!r}: its schema of hyper-parameters has no properties, or more than {MAX_FIELDS}")
    fields = tuple(_field_in(app, str(name), shown) for name, shown in properties.items())
    if schema_of(fields, app) != dict(schema):
        raise AppError(f"app {app!r}: its schema of hyper-parameters is none that septum makes")
    return fields


def _field_in(app: str, name: str, shown: object) -> HyperField:
    kinds = {text: kind for kind, text in _JSON_TYPES.items()}
    if not isinstance(shown, Mapping) or shown.get("type") not in kinds:
        raise AppError(f"app {app!r}: the schema of hyper-parameter {name!r} has no type that septum knows")
    bounds = {
        "min": shown.get("minimum"),
        "max": shown.get("maximum"),
        "choices": shown.get("enum", ()),
        "help": shown.get("description", ""),
    }
    try:
        return _field(app, name, kinds[shown["type"]], shown.get("default"), bounds)
    except TypeError as error:
        raise AppError(f"app {app!r}: the schema of hyper-parameter {name!r} cannot be read: {error}") from error


def resolve(fields: Iterable[HyperField], overrides: Mapping[str, object], app: str) -> dict[str, Scalar]:
    """Every field's value: the checked override, or the default. An unknown name is a ConfigError."""
    by_name = _by_name(fields, overrides, app)
    return {
        name: field.check(overrides[name]) if name in overrides else field.default for name, field in by_name.items()
    }


def parse(fields: Iterable[HyperField], texts: Mapping[str, str], app: str) -> dict[str, Scalar]:
    """The checked values of texts typed on a command line; fields that are not named stay out."""
    by_name = _by_name(fields, texts, app)
    return {name: by_name[name].parse(text) for name, text in texts.items()}


def _by_name(fields: Iterable[HyperField], names: Iterable[str], app: str) -> dict[str, HyperField]:
    known = {field.name: field for field in fields}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"app {app!r} has no hyper-parameter {name!r}; {did_you_mean(name, known)}",
                hint=f"its hyper-parameters are {', '.join(known)}",
            )
    return known


def _field(app: str, name: str, kind: type[Scalar], default: object, bounds: Mapping[str, object]) -> HyperField:
    minimum = cast("float | None", bounds.get("min"))
    maximum = cast("float | None", bounds.get("max"))
    choices = cast("tuple[Scalar, ...]", tuple(cast("Iterable[Scalar]", bounds.get("choices", ()))))
    bounded = minimum is not None or maximum is not None
    if bounded and (choices or kind in (bool, str)):
        raise AppError(f"app {app!r}: hyper-parameter {name!r}: min and max fit numbers without choices only")
    field = HyperField(name, kind, False, minimum, maximum, choices, cast("str", bounds.get("help", "")))
    try:
        return dataclasses.replace(field, default=field.check(default))
    except ConfigError as error:
        raise AppError(f"app {app!r}: the default of {error.message}") from error


def _typed(kind: type[Scalar], value: object) -> Scalar | None:
    """`value` as `kind`, or None. An int serves as a float; a bool is no number; a text is never converted."""
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return value if type(value) is kind else None
