"""septum: cross-silo federated learning. Organisations train one model together; no record leaves its owner."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from septum.sdk import losses, optim, split, stats
    from septum.sdk.app import App
    from septum.sdk.data import Array, Context, Data, Parameters, Shape, Split, Table
    from septum.sdk.hyper import hyper

__all__ = [
    "App",
    "Array",
    "Context",
    "Data",
    "Parameters",
    "Shape",
    "Split",
    "Table",
    "__version__",
    "hyper",
    "losses",
    "optim",
    "split",
    "stats",
]

# Where each name lives. It is imported when first used, so that `import septum` does not load numpy.
_HOMES = {
    "App": "septum.sdk.app",
    "Array": "septum.sdk.data",
    "Context": "septum.sdk.data",
    "Data": "septum.sdk.data",
    "Parameters": "septum.sdk.data",
    "Shape": "septum.sdk.data",
    "Split": "septum.sdk.data",
    "Table": "septum.sdk.data",
    "hyper": "septum.sdk.hyper",
}
_MODULES = ("losses", "optim", "split", "stats")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        found: object = importlib.import_module(f"septum.sdk.{name}")
    elif name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'septum' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
