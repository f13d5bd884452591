"""What may a run cost, and how often may it step? As a plan asks for it; no numpy: plans are read without it."""

from __future__ import annotations

from dataclasses import dataclass

from septum.privacy.accounting import MAX_NOISE, MIN_NOISE, Gaussian

MAX_AUTO_DELTA = 0.01  # of delta auto, where no silo says otherwise
SPARE_ROUNDS = 2  # paid for beyond the plan's: work that a crash lost may be done again within the target
_COUNT_SHARE = 11.25  # noise on N is this / epsilon rows: the accountant finds that to be a few percent of the cost


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan asks for. `delta` None: a tenth of 1 / N. `batch`: expected rows a step. `rounds` are the plan's.

    `metrics`: what else is released of the rows, once, out of the same target.
    """

    target_epsilon: float
    delta: float | None
    clip: float
    batch: int
    steps: int
    rounds: int
    metrics: Gaussian | None = None

    @property
    def beside(self) -> tuple[Gaussian, ...]:
        """What is paid for out of the target beside training."""
        return (count_noise(self.target_epsilon), *([] if self.metrics is None else [self.metrics]))

    @property
    def most_steps(self) -> int:
        """Steps that are paid for."""
        return (self.rounds + SPARE_ROUNDS) * self.steps


def count_noise(target_epsilon: float) -> Gaussian:
    """The mechanism that N is released by.

    >>> count_noise(5.0).noise_multiplier
    2.25
    """
    return Gaussian(min(MAX_NOISE, max(MIN_NOISE, _COUNT_SHARE / target_epsilon)))
