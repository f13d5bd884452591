"""What does one aggregation rule consist of? The types that a rule's file fills in, and its settings' ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from septum.algorithms.weighted_mean import weighted_mean
from septum.errors import ConfigError

Vector: TypeAlias = NDArray[np.float32]  # (width,) one block of a model, a delta or an optimiser's state
Block: TypeAlias = NDArray[np.float32]  # (silos, width)
State: TypeAlias = Mapping[str, Vector]  # the server optimiser's state, by name
Settings: TypeAlias = Mapping[str, float]

Combine: TypeAlias = Callable[[Block, ArrayLike], Vector]
Start: TypeAlias = Callable[[Settings, int], dict[str, Vector]]
Step: TypeAlias = Callable[[Settings, Vector, Vector, State], tuple[Vector, dict[str, Vector]]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One number that a rule can be given: its default and the range in which it means something."""

    name: str
    default: float
    above: float | None = None
    at_least: float | None = None
    below: float | None = None

    def check(self, value: object, *, rule: str) -> float:
        """The value as a float.

        It must be in range also once rounded to float32, the precision that the rule computes in: a `tau` of 1e-50
        would pass as > 0 and then divide by zero.

        Raises:
            ConfigError: not a number, or outside the range.
        """
        where = f"setting {self.name!r} of strategy {rule!r}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{where} is {value!r}; it must be a number", hint=self._hint())
        with np.errstate(over="ignore"):
            rounded = float(np.float32(value))
        if not (
            np.isfinite(rounded)
            and (self.above is None or rounded > self.above)
            and (self.at_least is None or rounded >= self.at_least)
            and (self.below is None or rounded < self.below)
        ):
            raise ConfigError(f"{where} is {value!r}; it must be {self.range}", hint=self._hint())
        return float(value)

    @property
    def range(self) -> str:
        """The range in words, as errors and the reference page say it.

        >>> Setting("beta", 0.9, at_least=0, below=1).range
        'finite, >= 0 and < 1'
        """
        bounds = (("> ", self.above), (">= ", self.at_least), ("< ", self.below))
        said = [f"{sign}{bound:g}" for sign, bound in bounds if bound is not None]
        return "finite, " + " and ".join(said) if said else "finite"

    def _hint(self) -> str:
        return f"leave {self.name!r} out to use its default {self.default:g}"


def no_state(settings: Settings, width: int) -> dict[str, Vector]:  # noqa: ARG001  (the shape of `Start`)
    """The start of a rule whose server keeps nothing between rounds."""
    return {}


def no_proximal_term(settings: Settings) -> float:  # noqa: ARG001  (the shape of `Rule.proximal_mu`)
    """The proximal coefficient of a rule that leaves the silos' loss alone."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule before its settings are known. A rule's file ends with one of these; `strategy.py` lists it.

    `combine` and `step` are coordinate-wise: what they give for a coordinate depends on nothing but the same coordinate
    of their arguments, so a model can pass through them block by block.
    """

    name: str
    step: Step
    settings: tuple[Setting, ...] = ()
    state_names: tuple[str, ...] = ()
    start: Start = no_state
    combine: Combine = weighted_mean
    proximal_mu: Callable[[Settings], float] = no_proximal_term
