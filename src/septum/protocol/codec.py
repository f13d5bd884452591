"""How control messages and stored states become JSON and back: the one place where control bytes are decoded.

Values are frozen dataclasses. A union of dataclasses is told apart by `"kind"`, the class name in snake case.
Decoding is strict: an unknown, missing or repeated field, a value of another type, a number that is not finite,
nesting or bytes over the limit are a `MessageError` that names the place. Encoding is canonical (sorted keys, no
spaces), so equal values have equal bytes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import json
import math
import re
import types
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from functools import cache
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

from septum.errors import ConfigError, MessageError, did_you_mean
from septum.protocol.versions import Sides, Wire

PROTOCOL_VERSION = 1
SEPTUM = Wire(
    "septum-protocol",
    PROTOCOL_VERSION,
    older={},
    advice="upgrade {older}: pip install --upgrade septum; coordinators are upgraded first, silos when they like",
)
TO_COORDINATOR = Sides("the silo", "the coordinator")
TO_SILO = Sides("the coordinator", "the silo")
MAX_MESSAGE_BYTES = 256 * 1024  # an inline payload of 64 KiB is 88 KiB in base64; the rest is room for tracebacks

UNLESS_DEFAULT = "septum.unless-default"
LATER: Mapping[str, bool] = types.MappingProxyType({UNLESS_DEFAULT: True})
"""Metadata of a field that came later: it is left out while it has its default, so older bytes and digests hold."""
_ALWAYS = object()

T = TypeVar("T")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Scalar = bool | int | float | str
_Decode = Callable[[object, str], object]


def encode(value: object, wire: Wire = SEPTUM, version: int | None = None) -> bytes:
    """Canonical JSON of a message in a version of its wire; by default the newest of septum-protocol.

    >>> Ping = dataclasses.make_dataclass("Ping", [("text", str)])
    >>> encode(Ping("hi"))
    b'{"kind":"ping","septum-protocol":1,"text":"hi"}'
    """
    body = to_json(value)
    if not isinstance(body, dict):
        raise MessageError(f"a message is a dataclass, not {type(value).__name__}")
    marked = wire.mark({**body, "kind": kind_of(type(value))}, version)
    return dumps(cast("dict[str, Json]", marked))


def decode(expected: object, data: bytes, sides: Sides = TO_SILO, wire: Wire = SEPTUM) -> object:
    """The message in `data`, of the dataclass or union of dataclasses `expected`.

    Raises VersionError for a version that is not spoken here, MessageError for anything else that is wrong.
    """
    return decode_versioned(expected, data, sides, wire)[0]


def decode_versioned(expected: object, data: bytes, sides: Sides, wire: Wire = SEPTUM) -> tuple[object, int]:
    """The message in `data`, and the version that it came in: its answer has to be in the same."""
    body = loads(data)
    if not isinstance(body, dict):
        raise MessageError("a message is a JSON object")
    today, version = wire.read(cast("dict[str, object]", body), sides)
    return _union(_members(expected), tagged=True)(today, "message"), version


def dumps(value: Json) -> bytes:
    """Canonical JSON bytes: sorted keys, no spaces, no NaN."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise MessageError(f"a number in this message is not finite: {error}") from error


def loads(data: bytes, limit: int = MAX_MESSAGE_BYTES) -> Json:
    """The JSON value in `data`. Raises MessageError when it is malformed, not finite or over `limit` bytes."""
    if len(data) > limit:
        raise MessageError(f"a message of {len(data)} bytes is over the limit of {limit}")
    try:
        value: Json = json.loads(
            data.decode(), parse_constant=_finite, parse_float=_finite, object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise MessageError(f"this is not JSON: {error}") from error
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # NaN and Infinity, which are no JSON, and 1e999, which is
        raise ValueError(f"{_clip(text)} is not a finite number")
    return number


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Two readers could see two different messages in an object that has a field twice."""
    fields: dict[str, Json] = {}
    for name, value in pairs:  # one pass: whoever can reach the port can send a message with 30,000 fields
        if name in fields:
            raise ValueError(f"the field {_show(name)} is there twice")
        fields[name] = value
    return fields


def kind_of(cls: type) -> str:
    """The name of a message class on the wire: snake case.

    >>> class RunEnded: ...
    >>> kind_of(RunEnded)
    'run_ended'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def to_json(value: object) -> Json:
    """Plain JSON of a dataclass tree. Nested unions carry `kind`."""
    match value:
        case None | bool() | int() | float() | str():
            return value.value if isinstance(value, Enum) else value
        case Enum():
            return str(value.value)
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case tuple() | list() | frozenset():
            return [to_json(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = (
            (name, form, getattr(value, name), plain) for name, form, plain in _fields(cast("Hashable", type(value)))
        )
        return {name: form(item) for name, form, item, plain in given if plain is _ALWAYS or item != plain}
    raise MessageError(f"{type(value).__name__} has no JSON form")


def _tag_all(items: object) -> Json:
    return [_tag(member) for member in items] if isinstance(items, tuple) else _tag(items)


def _tag(item: object) -> Json:
    body = to_json(item)
    return {**body, "kind": kind_of(type(item))} if isinstance(body, dict) else body


def _as_float(item: object) -> Json:
    """A float field that was given an int: 60 and 60.0 are equal, so they have the same bytes."""
    if isinstance(item, Mapping):
        return {str(key): _as_float(member) for key, member in item.items()}
    if isinstance(item, tuple):
        return [_as_float(member) for member in item]
    return float(item) if type(item) is int else to_json(item)


@cache
def _fields(cls: Hashable) -> tuple[tuple[str, Callable[[object], Json], object], ...]:
    """The fields of a dataclass, each with what makes it JSON, and the value with which it is left out."""
    assert isinstance(cls, type)
    hints = get_type_hints(cls)
    return tuple(
        (field.name, _encoder(hints[field.name]), _default(field) if UNLESS_DEFAULT in field.metadata else _ALWAYS)
        for field in dataclasses.fields(cls)
    )


def _default(field: dataclasses.Field[object]) -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _encoder(hint: object) -> Callable[[object], Json]:
    if _is_tagged(hint):
        return _tag_all
    plain = get_args(hint)[{Mapping: 1, tuple: 0}[origin]] if (origin := get_origin(hint)) in (Mapping, tuple) else hint
    return _as_float if float in _members(plain) and int not in _members(plain) else to_json


def _is_tagged(hint: object) -> bool:
    if get_origin(hint) is tuple:
        return _is_tagged(get_args(hint)[0])
    members = [member for member in _members(hint) if dataclasses.is_dataclass(member)]
    return len(members) > 1


def from_json(cls: type[T], body: object, where: str = "") -> T:
    """A `cls` from plain JSON, as `to_json` made it. Raises MessageError naming the field."""
    value = _decoder(cast("Hashable", cls))(body, where or kind_of(cls))
    assert isinstance(value, cls)
    return value


def union_from_json(union: object, body: object, where: str = "value") -> object:
    """A member of a union of dataclasses, told apart by `kind`."""
    return _union(_members(union), tagged=True)(body, where)


def to_tagged_json(value: object) -> Json:
    """Plain JSON of a dataclass with its `kind`, for `union_from_json`."""
    return _tag(value)


def _members(hint: object) -> tuple[object, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


@cache
def _decoder(hint: object) -> _Decode:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments, tagged=_is_tagged(hint))
    if origin is tuple:
        return _sequence(_decoder(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_decoder(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    return _scalar(hint)


def _scalar(hint: object) -> _Decode:
    if hint is bytes:
        return _bytes
    if hint is type(None):
        hint = None
    if hint not in (bool, int, float, str, None):
        raise TypeError(f"no decoder for {hint!r}")

    def decode_scalar(value: object, where: str) -> object:
        if hint is None and value is None:
            return None
        if hint is float and type(value) is int:
            value = _float(value, where)
        if hint is not None and type(value) is hint:
            if isinstance(value, float) and not math.isfinite(value):
                raise MessageError(f"{where}: {value} is not finite")
            if isinstance(value, str) and not value.isascii():
                _check_text(value, where)
            return value
        expected = "null" if hint is None else getattr(hint, "__name__", str(hint))
        raise MessageError(f"{where}: expected {expected}, got {_show(value)}")

    return decode_scalar


def _float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise MessageError(f"{where}: an integer of {value.bit_length()} bits is no float") from error


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair: no file, database or terminal could take it
        raise MessageError(f"{where}: {_show(text)} is not Unicode text") from error


def _show(value: object) -> str:
    """A value as errors quote it: never long, and never nested so deep that Python refuses to print it."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return _clip("null" if value is None else ascii(value) if isinstance(value, str) else repr(value))


def _clip(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _bytes(value: object, where: str) -> object:
    if not isinstance(value, str):
        raise MessageError(f"{where}: expected base64 text, got {_show(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(f"{where}: this is not base64: {error}") from error


def _sequence(item: _Decode) -> _Decode:
    def decode_sequence(value: object, where: str) -> object:
        if not isinstance(value, list):
            raise MessageError(f"{where}: expected a list, got {_show(value)}")
        return tuple(item(member, f"{where}[{index}]") for index, member in enumerate(value))

    return decode_sequence


def _mapping(item: _Decode) -> _Decode:
    def decode_mapping(value: object, where: str) -> object:
        if not isinstance(value, dict):
            raise MessageError(f"{where}: expected an object, got {_show(value)}")
        for key in value:
            if not key.isascii():
                _check_text(key, where)
        return {key: item(member, f"{where}.{_clip(key)}") for key, member in value.items()}

    return decode_mapping


def _enum(cls: type[Enum]) -> _Decode:
    def decode_enum(value: object, where: str) -> object:
        for member in cls:
            if member.value == value:
                return member
        known = ", ".join(str(member.value) for member in cls)
        raise MessageError(f"{where}: {_show(value)} is none of {known}")

    return decode_enum


def _dataclass(cls: type) -> _Decode:
    hints = get_type_hints(cls)
    fields = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(cls)}
    optional = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    }

    def decode_dataclass(value: object, where: str) -> object:
        if not isinstance(value, dict):
            raise MessageError(f"{where}: expected an object, got {_show(value)}")
        for name in value:
            if name not in fields:
                raise MessageError(f"{where}: unknown field {_show(name)}; {did_you_mean(str(name), fields)}")
        for name in fields:
            if name not in value and name not in optional:
                raise MessageError(f"{where}: the field {name!r} is missing")
        given = {name: fields[name](item, f"{where}.{name}") for name, item in value.items()}
        try:
            return cls(**given)
        except ConfigError as error:  # a plan with, say, a quorum above its silos
            raise MessageError(f"{where}: {error.message}", hint=error.hint) from error

    return decode_dataclass


def _union(members: tuple[object, ...], *, tagged: bool) -> _Decode:
    if tagged:
        return _tagged_union(members)
    others = [member for member in members if member is not type(None)]
    if len(others) == 1:
        return _optional(_decoder(others[0])) if len(members) > 1 else _decoder(others[0])
    narrow_first = sorted(members, key=_specificity)
    decoders = [_decoder(member) for member in narrow_first]
    names = " or ".join(getattr(member, "__name__", str(member)) for member in narrow_first)

    def decode_union(value: object, where: str) -> object:
        for decoder in decoders:
            with contextlib.suppress(MessageError):
                return decoder(value, where)
        raise MessageError(f"{where}: expected {names}, got {_show(value)}")

    return decode_union


def _optional(decoder: _Decode) -> _Decode:
    return lambda value, where: None if value is None else decoder(value, where)


def _specificity(member: object) -> int:
    """Narrow types first: an int is not to become a float because `float` was tried before it."""
    order: list[object] = [bool, int, float, str]
    return order.index(member) if member in order else len(order)


def _tagged_union(members: tuple[object, ...]) -> _Decode:
    classes = {kind_of(member): member for member in members if isinstance(member, type) and member is not type(None)}
    nullable = any(member is type(None) for member in members)

    def decode_tagged(value: object, where: str) -> object:
        if value is None and nullable:
            return None
        if not isinstance(value, dict):
            raise MessageError(f"{where}: expected an object, got {_show(value)}")
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in classes:
            raise MessageError(f"{where}: unknown kind {_show(kind)}; {did_you_mean(str(kind), classes)}")
        body = {name: item for name, item in value.items() if name != "kind"}
        return _decoder(classes[kind])(body, kind)

    return decode_tagged
