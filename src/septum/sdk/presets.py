"""Which values does a named preset give an app's hyper-parameters? Those of its package, and those given beside it.

A preset in the package is part of its digest and stays for good; one that is given beside it never takes its place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from septum.errors import ConfigError, ConflictError
from septum.sdk.hyper import HyperField, Scalar, resolve

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


class Described(Protocol):
    """What a package says of itself."""

    @property
    def name(self) -> str:
        """The app's."""

    @property
    def fields(self) -> Sequence[HyperField]:
        """Its hyper-parameters."""

    @property
    def presets(self) -> Mapping[str, Mapping[str, object]]:
        """Those in the package."""


def check_preset(app: Described, name: str, values: Mapping[str, object]) -> dict[str, Scalar]:
    """A preset's values in the types of their fields, if it may be given to this package.

    Raises ConflictError when the package has a preset of that name, ConfigError naming field, value and range.
    """
    check_preset_name(name)
    if name in app.presets:
        raise ConflictError(
            f"the package of {app.name} has a preset {name!r} of its own, which stays", hint="choose another name"
        )
    if not values:
        raise ConfigError(f"preset {name!r} gives no hyper-parameter a value", hint="write NAME=VALUE, as in lr=0.01")
    try:
        checked = resolve(app.fields, values, app.name)
    except ConfigError as error:
        raise ConfigError(f"preset {name!r}: {error.message}", hint=error.hint) from error
    return {field: checked[field] for field in values}


def check_preset_name(name: str) -> str:
    """`name` itself, if a preset can have it: a word that no URL or terminal takes for something else.

    Raises ConfigError.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is no name for a preset: up to 64 letters, digits and _ . - after a letter")
    return name


def read_preset(path: Path) -> dict[str, object]:
    """The values in a TOML file, one hyper-parameter a line. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", hint="one line a value, as in: lr = 0.01"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}", hint="one line a value, as in: lr = 0.01") from error
