"""What does a plan say of differential privacy? One section; each silo makes its own noise from it.

Silos publish neither their noise nor their delta: both follow from how many rows a silo has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from septum.errors import ConfigError
from septum.privacy.wanted import Wanted

MAX_TARGET = 50.0
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
    """

    target_epsilon: float
    delta: float | None = None
    clip: float = 1.0
    batch: int = 64
    steps: int = 1
    learning_rate: float = 0.2
    mode: Mode = Mode.RECORD
    strength: Strength = Strength.ENFORCED

    def __post_init__(self) -> None:
        _within("target_epsilon", self.target_epsilon, 0.01, MAX_TARGET)
        if self.delta is not None:
            _within("delta", self.delta, _LEAST_DELTA, 0.1)
        _within("clip", self.clip, 1e-6, 1e6)
        _within("batch", self.batch, 1, 2**20)
        _within("steps", self.steps, 1, 10_000)
        _within("learning_rate", self.learning_rate, 1e-9, 1e3)

    def wanted(self, rounds: int) -> Wanted:
        """What a silo makes its noise from, in a run of so many rounds."""
        return Wanted(self.target_epsilon, self.delta, self.clip, self.batch, self.steps, rounds)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"privacy: {name} must be between {low:g} and {high:g}, not {value:g}")
