"""How is the length of an update limited? L2 clipping of the whole update, all tensors together; block by block.

Unit: one update, that is one silo's contribution to one round. Adjacency: that silo's update is removed or replaced;
the sum over silos then changes by at most `max_norm` (removed) or twice that (replaced), times the silo's weight.
Assumption: only the clipped update leaves the silo. What voids it: releasing anything else made from the unclipped
update, such as the norm before clipping.

Clipping alone gives no privacy: it adds no noise, and an update that is shorter still tells as much about the data it
was trained on. It is the sensitivity that a noise mechanism needs, a limit to what one silo can do to the model, and
the range that fixed-point masking needs. To promise anything about a single record, gradients must be clipped per
record during training; clipping the finished update does not do that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from septum.errors import ConfigError, TensorError

BLOCK = 65_536  # coordinates; the float64 copy of a large tensor is never made as a whole
_MARGIN = 1 - 2.0**-22  # pays for rounding each coordinate to float32 (2^-24): the clipped norm never exceeds max_norm


def sum_of_squares(name: str, block: NDArray[np.float32]) -> float:
    """Of a block of the tensor `name`, in float64. Raises TensorError for a NaN or an infinity.

    >>> sum_of_squares("w", np.float32([3, 4]))
    25.0
    """
    total = float(np.sum(np.square(block, dtype=np.float64)))
    if not math.isfinite(total):  # a finite float32 squared is at most 1.2e77: no overflow in float64
        raise TensorError(f"tensor {name!r} of the update has a NaN or an infinity", hint="lower the learning rate")
    return total


def factor(sums: Iterable[float], max_norm: float) -> float | None:
    """What to multiply an update by so that its L2 norm is at most `max_norm`; None if it is short enough as it is.

    `sums` are the sums of squares of all its blocks, in any order. Raises ConfigError for a `max_norm` that is not a
    finite number above 0.

    >>> factor([9.0, 16.0], max_norm=10) is None, round(factor([9.0, 16.0], max_norm=1), 6)
    (True, 0.2)
    """
    if not (math.isfinite(max_norm) and max_norm > 0):
        raise ConfigError(f"the clipping norm is {max_norm}; it must be a finite number above 0")
    norm = math.sqrt(math.fsum(sums))
    return None if norm <= max_norm else max_norm / norm * _MARGIN


def scale(block: NDArray[np.float32], factor: float) -> None:
    """Multiply a block in place: the product in float64, rounded to float32 once.

    >>> block = np.float32([3, 4]); scale(block, 0.5); block
    array([1.5, 2. ], dtype=float32)
    """
    np.multiply(block, factor, out=block, dtype=np.float64, casting="same_kind")
