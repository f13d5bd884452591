"""Which rows would a data contract allow? Made-up ones, for trying an app where there is no data: never for training.

Each column has a generator of its own, keyed by seed and name: the same contract gives the same rows, and a column that
is added changes no other. Values know nothing of each other, so there is nothing to learn from them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

import numpy as np

from septum.errors import ConfigError
from septum.sdk.contract import Column, Kind, Role
from septum.sdk.data import Float64, Table

ROWS = 120
MISSING = 0.03  # of the cells of a feature: real exports have gaps, and an app that drops such rows shall keep some
LARGEST = 2.0**53  # whole numbers beyond it have no float64 of their own
SPREAD = 100.0  # of a column that one bound alone limits


def synthetic_table(
    columns: Mapping[str, Column], *, rows: int = ROWS, missing: float = MISSING, seed: int = 0
) -> Table:
    """A table that meets the contract: types, bounds and codes; of each feature the share `missing` is not known.

    The target is known in every row, and has both a 0 and something else where the contract allows 0.

    >>> table = synthetic_table({"age": Column(minimum=18, maximum=99), "ill": Column(role=Role.TARGET)}, rows=4)
    >>> sorted(table.columns), len(table)
    (['age', 'ill'], 4)
    """
    made: dict[str, Float64] = {}
    for name, column in columns.items():
        rng = _rng(seed, name)
        if column.role is Role.TARGET:
            made[name] = _target(column, rows, rng)
        else:
            values = _values(column, rows, rng)
            values[rng.random(rows) < missing] = np.nan
            made[name] = values
    target = next((name for name, column in columns.items() if column.role is Role.TARGET), "")
    return Table(made, "synthetic rows", target)


def _rng(seed: int, name: str) -> np.random.Generator:
    key = hashlib.sha256(json.dumps(["septum-synthetic-1", seed, name]).encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def _target(column: Column, rows: int, rng: np.random.Generator) -> Float64:
    """Labels, half of them 0. Numbers without codes are 0 and 1 where both are allowed, for that is what apps read."""
    if column.kind is Kind.CODE or not (column.allows(0.0) and column.allows(1.0)):
        values = _values(column, rows, rng)
    else:
        values = np.ones(rows)
    if column.allows(0.0):
        values[rng.permutation(rows)[: rows // 2]] = 0.0
        others = [code for code in column.codes if code != 0.0] or [1.0]
        values[0] = 0.0
        if column.allows(others[0]) and rows > 1:
            values[1] = others[0]
    return values


def _values(column: Column, rows: int, rng: np.random.Generator) -> Float64:
    if column.kind is Kind.CODE:
        return rng.choice(np.array(list(column.codes), np.float64), rows)
    low, high = _range(column)
    if column.kind is Kind.INTEGER:
        first, last = math.ceil(max(low, -LARGEST)), math.floor(min(high, LARGEST))
        if first > last:
            raise ConfigError(
                f"[data.columns]: there is no whole number from {low:g} to {high:g}, as a column asks for"
            )
        return rng.integers(first, last, rows, endpoint=True).astype(np.float64)
    return np.clip(np.round(rng.uniform(low, high, rows), 3), low, high)


def _range(column: Column) -> tuple[float, float]:
    """The bounds; what is missing of them is put at a distance that an app can live with."""
    match column.minimum, column.maximum:
        case None, None:
            return 0.0, SPREAD
        case float() | int() as low, None:
            return low, low + SPREAD
        case None, float() | int() as high:
            return high - SPREAD, high
        case low, high:
            assert low is not None
            assert high is not None
            return low, high
