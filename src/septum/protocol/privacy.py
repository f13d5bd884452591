"""What does a plan say of differential privacy? One section; each silo makes its own noise from it.

Silos publish neither their noise nor their delta: both follow from how many rows a silo has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from septum.errors import ConfigError
from septum.privacy.accounting import Gaussian
from septum.privacy.gaussian import noise_multiplier
from septum.privacy.wanted import Wanted
from septum.protocol.codec import LATER

MAX_TARGET = 50.0
MAX_METRICS = 20.0
METRICS_DELTA = 1e-5  # at which `metrics_epsilon` holds; what the run promises is accounted at its own delta
ANOTHER_STRENGTH = "--privacy-strength attested, where an app trains by itself; enforced, where septum trains"
_LEAST_DELTA = 1e-9


class Mode(Enum):
    """Whose presence is hidden."""

    RECORD = "record_dp"


class Strength(Enum):
    """Who sees to it that what is claimed was done.

    ENFORCED  septum draws, clips, adds noise and counts the steps, in a process that runs no code of the app
    ATTESTED  the app trains by itself and says how; that this is true is read from its code
    """

    ENFORCED = "enforced"
    ATTESTED = "attested"


@dataclass(frozen=True, slots=True)
class Privacy:
    """DP-SGD in each silo.

    target_epsilon  what the run may cost each silo's records at most, all its releases together
    delta           at which it holds; None for a tenth of 1 / rows, each silo's own
    clip            largest L2 norm of one row's gradient
    batch           rows a step, expected: each row is drawn by itself
    steps           steps a round
    learning_rate   of the plain gradient steps
    metrics_epsilon what metrics of the last model may cost, of the target, at a delta of 1e-5; None: none are told
    """

    target_epsilon: float
    delta: float | None = None
    clip: float = 1.0
    batch: int = 64
    steps: int = 1
    learning_rate: float = 0.2
    mode: Mode = Mode.RECORD
    strength: Strength = Strength.ENFORCED
    metrics_epsilon: float | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        _within("target_epsilon", self.target_epsilon, 0.01, MAX_TARGET)
        if self.delta is not None:
            _within("delta", self.delta, _LEAST_DELTA, 0.1)
        _within("clip", self.clip, 1e-6, 1e6)
        _within("batch", self.batch, 1, 2**20)
        _within("steps", self.steps, 1, 10_000)
        _within("learning_rate", self.learning_rate, 1e-9, 1e3)
        if self.metrics_epsilon is not None:
            _within("metrics_epsilon", self.metrics_epsilon, 0.01, MAX_METRICS)
            if self.metrics_epsilon >= self.target_epsilon:
                raise ConfigError(
                    f"privacy: metrics for epsilon {self.metrics_epsilon:g} leave nothing of the target"
                    f" {self.target_epsilon:g} for training",
                    hint="a smaller --metrics-epsilon, or a larger --target-epsilon",
                )
            if self.strength is not Strength.ENFORCED:
                raise ConfigError(
                    "privacy: metrics are counted by septum's own loop, and here the app trains by itself",
                    hint="leave out --metrics-epsilon, or --privacy-strength attested",
                )

    def wanted(self, rounds: int) -> Wanted:
        """What a silo makes its noise from, in a run of so many rounds."""
        return Wanted(self.target_epsilon, self.delta, self.clip, self.batch, self.steps, rounds, self.metrics)

    @property
    def metrics(self) -> Gaussian | None:
        """By which mechanism metrics are told."""
        if self.metrics_epsilon is None:
            return None
        return Gaussian(noise_multiplier(self.metrics_epsilon, METRICS_DELTA))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"privacy: {name} must be between {low:g} and {high:g}, not {value:g}")
