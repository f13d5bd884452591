"""How is a model trained so that it tells little about any one record? DP-SGD: Abadi et al. 2016, algorithm 1.

In each step every record is drawn by itself (Poisson), its gradient is shortened to the clipping norm over all tensors
together, the gradients are summed, Gaussian noise is added, and the sum is divided by the EXPECTED size of a batch,
because the realised one is a secret. A step in which no record was drawn is a step like any other.

Unit: one record, that is one row of `x` and `y`. Where a patient has several rows, a patient is not protected by it.
Adjacency: one record added or removed. Claim: `steps` steps are `Settings.mechanism(steps)`, towards whoever sees all
noisy gradients, and so also towards whoever sees all models on the way.
Assumptions: the random bytes are independent and secret (`noise`); the settings, and the scaling of `x`, were fixed
without looking at whether the record is there, or what they tell of the data is accounted for elsewhere; `loss` gives a
record the same gradient whichever other records there are, and does not fail on some of them.
What voids it: releasing anything else that was made from the records (the loss, a batch's size, a metric, the gradient
before the noise), a loss that remembers, and more steps than were accounted for.

A record's part is made of integers, as the noise is: its gradient is cut towards zero to a grid, and left out if the
squares of those integers exceed the square of the limit. So that one record changes the sum by at most the limit is a
matter of integers, not of rounding. For the same reason a record's integers must not depend on the others, to the last
bit: times the records in a batch that would no longer be small beside the noise. They would in a batch of as many
records as were drawn (BLAS takes other paths). So records pass through `loss` one at a time; or, where `slots` is more,
in a batch of always that size, filled up with zeros, each in the slot that a hash of its own values says. A loss that
does not read across slots then gives a record the same bits whoever else is there, and in whatever order. There is no
ghost clipping (Goodfellow 2015; Li et al. 2022): it sums in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import zip_longest
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from septum.errors import ConfigError
from septum.privacy.accounting import SampledGaussian
from septum.privacy.noise import SIGMA, RandomBytes, discrete_gaussian, poisson_sample

Float32: TypeAlias = NDArray[np.float32]
Parameters: TypeAlias = Mapping[str, Float32]
Gradient: TypeAlias = dict[str, NDArray[np.float64]]
Scalar = TypeVar("Scalar", bound=np.generic)
Loss: TypeAlias = Callable[[Parameters, Float32, Float32, Mapping[str, Float32]], None]
"""`loss(parameters, x, y, out)` writes d loss_i / d tensor into `out[tensor][i]`; one of `septum.losses` or like them.
Here a batch is always `slots` records, one if nothing else is said. `out` is zero before the call."""

_MARGIN = 1 - 2.0**-20  # pays for rounding in the norm and the product: below the limit by more than both


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes a step private.

    clip              largest L2 norm of one record's gradient, over all tensors
    noise_multiplier  standard deviation of the noise on the sum / `clip`
    sampling_rate     probability with which each record is drawn in a step
    expected_batch    what the sum is divided by: records times the rate, known to whoever knows the settings
    """

    clip: float
    noise_multiplier: float
    sampling_rate: float
    expected_batch: float

    def __post_init__(self) -> None:
        for name, value in (("clip", self.clip), ("expected_batch", self.expected_batch)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}; it is a finite number above 0")
        self.mechanism(1)  # checks the others

    def mechanism(self, steps: int) -> SampledGaussian:
        """What `steps` steps are to the accountant."""
        return SampledGaussian(self.noise_multiplier, self.sampling_rate, steps)


def noisy_gradient(
    loss: Loss, parameters: Parameters, x: Float32, y: Float32, settings: Settings, random: RandomBytes, slots: int = 1
) -> Gradient:
    """One step's private gradient by tensor name, float64: what may be seen. Any optimiser may go on from it.

    `slots` records pass through `loss` at once, a number that may not depend on the records. A record whose gradient is
    not finite has no part: an error would tell that it is there.

    >>> seeded = np.random.default_rng(1).bytes  # for this test; os.urandom otherwise
    >>> def towards(p, x, y, out): out["w"][:] = p["w"] - x
    >>> settings = Settings(clip=2.0, noise_multiplier=0.2, sampling_rate=1.0, expected_batch=1000)
    >>> p, x = {"w": np.zeros(1, np.float32)}, np.ones((1000, 1), np.float32)
    >>> seen = noisy_gradient(towards, p, x, x, settings, seeded)
    >>> bool(abs(seen["w"][0] + 1) < 0.01)
    True
    """
    width = _width(parameters)
    limit = int(SIGMA / settings.noise_multiplier)  # rounded down: noise / limit is at least the multiplier
    total = np.zeros(width, np.int64)
    parts = _Parts(loss, parameters, x, y, limit, slots)
    for part in parts.of(poisson_sample(len(x), settings.sampling_rate, random), settings.clip):
        total += part
    total += discrete_gaussian(width, random)
    mean = total.astype(np.float64)
    mean *= settings.clip / (limit * settings.expected_batch)
    return {name: view.copy() for name, view in _views(mean, parameters).items()}


def train(  # noqa: PLR0913  what goes in is all there is: no state, clock or generator of its own
    loss: Loss,
    parameters: Parameters,
    x: Float32,
    y: Float32,
    settings: Settings,
    *,
    steps: int,
    learning_rate: float,
    random: RandomBytes,
    slots: int = 1,
) -> dict[str, Float32]:
    """The parameters after `steps` steps of plain DP-SGD: they cost `settings.mechanism(steps)`."""
    settings.mechanism(steps)  # a number of steps that cannot be accounted for is refused before the first
    current = {name: tensor.astype(np.float32) for name, tensor in parameters.items()}
    for _ in range(steps):
        gradient = noisy_gradient(loss, current, x, y, settings, random, slots)
        current = {name: (current[name] - learning_rate * gradient[name]).astype(np.float32) for name in current}
    return current


class _Parts:
    """What single records add to the sum: integers whose L2 norm is at most `limit`. The buffers are used again."""

    def __init__(self, loss: Loss, parameters: Parameters, x: Float32, y: Float32, limit: int, slots: int) -> None:
        self._loss, self._limit, self._rows = loss, limit, (x, y)
        self._parameters = {name: _read_only(tensor) for name, tensor in parameters.items()}
        self._x, self._y = np.empty_like(x, shape=(slots, *x.shape[1:])), np.empty_like(y, shape=(slots, *y.shape[1:]))
        self._gradients = np.zeros((slots, _width(parameters)), np.float32)
        self._exact = np.empty(_width(parameters), np.float64)
        self._out = _views(self._gradients, parameters)

    def of(self, drawn: Iterable[int], clip: float) -> Iterator[NDArray[np.int64]]:
        """(width,), for each of the records drawn."""
        waiting: list[list[int]] = [[] for _ in self._x]
        for record in drawn:
            waiting[self._slot(record)].append(record)
        for batch in zip_longest(*waiting):
            self._fill(batch)
            self._loss(self._parameters, self._x, self._y, self._out)
            yield from (self._part(slot, clip) for slot, record in enumerate(batch) if record is not None)

    def _slot(self, record: int) -> int:
        """By the record's own values: which slot it is in may change bits, and must not follow from the others."""
        if len(self._x) == 1:
            return 0
        values = self._rows[0][record].tobytes() + self._rows[1][record].tobytes()
        return int.from_bytes(blake2b(values, digest_size=8).digest(), "big") % len(self._x)

    def _fill(self, batch: tuple[int | None, ...]) -> None:
        self._x[...] = self._y[...] = 0
        self._gradients[...] = 0  # what a loss does not write may not be another record's
        for slot, record in enumerate(batch):
            if record is not None:
                self._x[slot], self._y[slot] = self._rows[0][record], self._rows[1][record]

    def _part(self, slot: int, clip: float) -> NDArray[np.int64]:
        self._exact[...] = self._gradients[slot]
        norm = math.sqrt(float(np.dot(self._exact, self._exact)))  # no float32 squared overflows it
        if not math.isfinite(norm):
            return np.zeros(self._exact.size, np.int64)
        self._exact *= self._limit * _MARGIN / max(norm, clip)
        part = self._exact.astype(np.int64)  # towards zero: never longer
        fits = int(np.dot(part, part)) <= self._limit**2
        return part if fits else np.zeros(self._exact.size, np.int64)


def _read_only(tensor: Float32) -> Float32:
    """A copy that a loss cannot use to pass something on from one record to the next."""
    copy = tensor.astype(np.float32)
    copy.flags.writeable = False
    return copy


def _width(parameters: Parameters) -> int:
    return sum(tensor.size for tensor in parameters.values())


def _views(flat: NDArray[Scalar], parameters: Parameters) -> dict[str, NDArray[Scalar]]:
    """Each tensor's place in a vector of all, or in several such rows, in the order of their names."""
    views, first = {}, 0
    for name in sorted(parameters):
        shape, size = parameters[name].shape, parameters[name].size
        views[name] = flat[..., first : first + size].reshape(*flat.shape[:-1], *shape)
        first += size
    return views
