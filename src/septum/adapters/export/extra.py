"""How does an export get a library that only an extra brings? When it needs it; or an error says how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from septum.errors import MissingExtraError


def imported(name: str, what: str, extra: str) -> Any:  # noqa: ANN401  a library without types
    """The module. Raises MissingExtraError, naming `what` needs it and the `extra` that has it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} need {name}, which is not installed", hint=f"pip install 'septum[{extra}]'"
        ) from error
