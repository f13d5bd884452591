"""Are all numbers of an array finite? Asked of every update, in the silo and again in the coordinator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def all_finite(array: NDArray[Any]) -> bool:
    """Whether there is no NaN and no infinity in it.

    A sum that is finite has only finite terms, and summing is faster than looking at each; one that is not may have
    overflowed, and only then is looked at each.

    >>> all_finite(np.array([3e38, 3e38], np.float32)), all_finite(np.array([np.inf, -np.inf]))
    (True, False)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(array.sum())
    return math.isfinite(total) or bool(np.isfinite(array).all())
