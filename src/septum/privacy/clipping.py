"""How is the length of an update limited? L2 clipping of the whole update, all tensors together.

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
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from septum.errors import ConfigError, TensorError

_CHUNK = 65_536  # coordinates; the float64 copy of a large tensor is never made as a whole
_MARGIN = 1 - 2.0**-22  # pays for rounding each coordinate to float32 (2^-24): the clipped norm never exceeds max_norm


def clip_l2(update: Mapping[str, NDArray[np.float32]], max_norm: float) -> tuple[dict[str, NDArray[np.float32]], float]:
    """The update, shortened to an L2 norm of at most `max_norm` if it is longer; and its norm before.

    An update that is short enough comes back as it is (the same arrays). The norm is accumulated in float64 over the
    tensors in sorted order of their names, so it does not depend on the mapping's order.

    Raises:
        ConfigError: `max_norm` is not a finite number above 0.
        TensorError: a tensor that is not float32, or has a NaN or an infinity.

    >>> clipped, norm = clip_l2({"w": np.float32([3, 0]), "b": np.float32([4])}, max_norm=10)
    >>> clipped["b"], norm
    (array([4.], dtype=float32), 5.0)
    """
    if not (math.isfinite(max_norm) and max_norm > 0):
        raise ConfigError(f"the clipping norm is {max_norm}; it must be a finite number above 0")
    norm = math.sqrt(math.fsum(_sum_of_squares(name, update[name]) for name in sorted(update)))
    if norm <= max_norm:
        return dict(update), norm
    factor = max_norm / norm * _MARGIN
    return {name: _scaled(tensor, factor) for name, tensor in update.items()}, norm


def _sum_of_squares(name: str, tensor: NDArray[np.float32]) -> float:
    if tensor.dtype != np.float32:
        raise TensorError(f"tensor {name!r} of the update is {tensor.dtype}, not float32")
    flat = tensor.reshape(-1)
    chunks = (flat[first : first + _CHUNK] for first in range(0, flat.size, _CHUNK))
    total = math.fsum(float(np.sum(np.square(chunk, dtype=np.float64))) for chunk in chunks)
    if not math.isfinite(total):  # a finite float32 squared is at most 1.2e77: no overflow in float64
        raise TensorError(f"tensor {name!r} of the update has a NaN or an infinity", hint="lower the learning rate")
    return total


def _scaled(tensor: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The tensor times the factor: the product in float64, rounded to float32 once."""
    scaled = np.empty_like(tensor)
    np.multiply(tensor, factor, out=scaled, dtype=np.float64, casting="same_kind")
    return scaled
