"""How is a table of coordinator.toml compared with what may be set there: the fields of the value that it becomes?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import get_type_hints

from septum.errors import ConfigError, did_you_mean

_KINDS: Mapping[object, str] = {str: "a text", bool: "true or false", tuple[str, ...]: "a list of texts"}


def values_in(
    table: object, name: str, into: type, folder: Path, where: str, needed: Mapping[str, str]
) -> dict[str, object]:
    """What is set in the table `[name]`, by the fields of the dataclass `into`; those of another kind as they stand.

    Files (`..._file`) are relative to `folder`. `needed`: what has to be set, and a hint for each. Raises ConfigError
    naming the key.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {name} is a table", hint=f"[{name}]")
    known, hints = {one.name for one in dataclasses.fields(into)}, get_type_hints(into)
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{name}.{key}'; {did_you_mean(key, known)}")
        values[key] = _value(value, hints[key], f"{where}: {name}.{key}")
        if key.endswith("_file") and value:
            values[key] = str(folder / str(value))
    for key, hint in needed.items():
        if key not in values:
            raise ConfigError(f"{where}: {name}.{key} is missing", hint=hint)
    return values


def _value(value: object, kind: object, what: str) -> object:
    said = _KINDS.get(kind)
    if said is None:
        return value
    if kind in (str, bool):
        fits = isinstance(value, kind)
    else:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    if not fits:
        raise ConfigError(f"{what} is {said}, not {value!r}")
    return tuple(value) if isinstance(value, list) else value
