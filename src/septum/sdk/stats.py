"""Which facts about all silos' train rows can an app have before round 1, made from sums alone?

A statistic is three functions: what one silo adds, what the sums say, and how data uses it. Only the sums leave a silo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from septum.errors import DataError
from septum.sdk.data import Data, Float64

# A float32 column varies by at least 6e-8 of its size; a smaller relative variance is rounding in the sums.
_ROUNDING = 1e-13


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic to give to `app.statistics`. Privacy: the coordinator sees what `summands` returns for each silo."""

    name: str
    summands: Callable[[Data], dict[str, Float64]]
    result: Callable[[Mapping[str, Float64]], dict[str, Float64]]
    apply: Callable[[Data, Mapping[str, Float64]], Data]


def mean_and_std() -> Statistic:
    """Mean and standard deviation of each feature over all silos; the handle standardises with them.

    Sums are float64. The variance is E[x^2] - E[x]^2: exact to 1e-9 while |mean| < 1000 std, which measurements are. A
    shift by the data's own mean would be better beyond that, but the silos would first have to agree on one.
    """
    return Statistic("mean_and_std", summands=_moments, result=_mean_and_std, apply=_standardise)


def _moments(data: Data) -> dict[str, Float64]:
    x = data.x.astype(np.float64)  # (rows, features)
    return {
        "count": np.array([len(data)], np.float64),
        "sum": x.sum(axis=0),
        "sum_of_squares": np.square(x).sum(axis=0),
    }


def _mean_and_std(sums: Mapping[str, Float64]) -> dict[str, Float64]:
    count = sums["count"][0]
    if not count > 0:
        raise DataError(f"statistic mean_and_std: the silos have {count:g} train rows together")
    mean = sums["sum"] / count
    mean_square = sums["sum_of_squares"] / count
    variance = mean_square - np.square(mean)
    constant = variance <= _ROUNDING * mean_square
    return {"mean": mean, "std": np.sqrt(np.where(constant, 1.0, variance))}


def _standardise(data: Data, result: Mapping[str, Float64]) -> Data:
    x = (data.x.astype(np.float64) - result["mean"]) / result["std"]
    return data.with_x(x.astype(np.float32))
