"""How is a table of silo.toml read key by key, and a value written into it? An unknown key is an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from septum.errors import ConfigError, did_you_mean

E = TypeVar("E", bound=Enum)


class Section:
    """A table of the file, from which known keys are taken one by one."""

    def __init__(self, where: str, content: Mapping[str, object]) -> None:
        self.where = where
        self.content = content
        self._known: list[str] = []

    def section(self, key: str) -> Section:
        """The table under a key; an empty one if there is none."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, value, "a table")
        title = f"[{key}]" if "[" not in self.where else f"[{self.where.rpartition('[')[2][:-1]}.{key}]"
        return Section(f"{self.where.partition(',')[0]}, {title}", value)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without a default it has to be there and not be empty."""
        value = self._take(key, default)
        if value is None:
            raise ConfigError(f"{self.where}: {key} is missing", hint=f'write: {key} = "..."')
        if not isinstance(value, str) or (not value and default is None):
            raise self._wrong(key, value, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts; None if there is none."""
        value = self._take(key, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, value, "a list of texts")
        return tuple(value)

    def one_of(self, key: str, default: E) -> E:
        """One of the values of an Enum, each of them a text."""
        text = self.text(key, str(default.value))
        known = [str(one.value) for one in type(default)]
        if text not in known:
            raise ConfigError(f"{self.where}: {key} is {text!r}; {did_you_mean(text, known)}")
        return type(default)(text)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def number(self, key: str, default: float) -> float:
        """A number above 0."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
            raise self._wrong(key, value, "a number above 0")
        return float(value)

    def whole(self, key: str, default: int | None) -> int | None:
        """A whole number above 0."""
        value = self._take(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**40:
            raise self._wrong(key, value, "a whole number above 0")
        return value

    def count(self, key: str) -> int | None:
        """A whole number, 0 or more; None if there is none."""
        value = self._take(key, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
            raise self._wrong(key, value, "a whole number, 0 or more,")
        return value

    def finite(self, key: str) -> float | None:
        """A finite number of either sign; None if there is none."""
        value = self._take(key, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
            raise self._wrong(key, value, "a finite number")
        return float(value)

    def markers(self, key: str) -> tuple[str | float, ...]:
        """A list of texts and numbers; empty if there is none."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(
            isinstance(item, str) or (type(item) in (int, float) and abs(item) < 1e300) for item in value
        ):
            raise self._wrong(key, value, "a list of texts and numbers")
        return tuple(item if isinstance(item, str) else float(item) for item in value)

    def end(self) -> None:
        """All known keys were taken: another one is a mistake, perhaps a misspelt rule that would not hold."""
        for key in self.content:
            if key not in self._known:
                raise ConfigError(f"{self.where}: unknown key {key!r}; {did_you_mean(key, self._known)}")

    def _take(self, key: str, default: object) -> object:
        self._known.append(key)
        return self.content.get(key, default)

    def _wrong(self, key: str, value: object, needed: str) -> ConfigError:
        return ConfigError(f"{self.where}: {key} is {value!r}, {needed} is needed")


def toml_value(value: object) -> str:
    """A value as TOML writes it on one line.

    >>> toml_value({"from": "chol", "missing": ("0", -9)})
    '{ "from" = "chol", "missing" = ["0", -9] }'
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml_value(str(key))} = {toml_value(item)}' for key, item in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON text is a TOML text, but for DEL
