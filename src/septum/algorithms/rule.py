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
Gram: TypeAlias = NDArray[np.float64]  # (silos, silos), G_ij = <x_i, x_j>: see gram.py
Factors: TypeAlias = NDArray[np.float64]  # (silos,)

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
    whole: bool = False

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
            and (not self.whole or rounded == value == int(value))
        ):
            raise ConfigError(f"{where} is {value!r}; it must be {self.range}", hint=self._hint())
        return float(value)

    @property
    def range(self) -> str:
        """The range in words, as errors and the reference page say it.

        >>> Setting("beta", 0.9, at_least=0, below=1).range
        'finite, >= 0 and < 1'
        """
        kind = "whole" if self.whole else "finite"
        bounds = (("> ", self.above), (">= ", self.at_least), ("< ", self.below))
        said = [f"{sign}{bound:g}" for sign, bound in bounds if bound is not None]
        return f"{kind}, " + " and ".join(said) if said else kind

    def _hint(self) -> str:
        return f"leave {self.name!r} out to use its default {self.default:g}"


def no_state(settings: Settings, width: int) -> dict[str, Vector]:  # noqa: ARG001  (the shape of `Start`)
    """The start of a rule whose server keeps nothing between rounds."""
    return {}


def no_proximal_term(settings: Settings) -> float:  # noqa: ARG001  (the shape of `Rule.proximal_mu`)
    """The proximal coefficient of a rule that leaves the silos' loss alone."""
    return 0.0


@dataclass(frozen=True, slots=True)
class CoordinateWise:
    """What is made of the silos' deltas at a coordinate depends on nothing but them and the weights.

    combine  settings, block (silos, width), weights (silos,) rows -> (width,)
    """

    combine: Callable[[Settings, Block, ArrayLike], Vector]


@dataclass(frozen=True, slots=True)
class WeightGiving:
    """Each silo gets a factor, made of the Gram matrix alone; the combined delta is sum_i factor_i x_i.

    The updates are read twice: once for the matrix, once for the sum. The factors need not add up to 1.

    factors  settings, gram (silos, silos), weights (silos,) rows -> (silos,) float64
    """

    factors: Callable[[Settings, Gram, ArrayLike], Factors]


def _mean(settings: Settings, block: Block, weights: ArrayLike) -> Vector:  # noqa: ARG001
    return weighted_mean(block, weights)


MEAN = CoordinateWise(_mean)
"""The mean weighted by rows: the one way to combine that can be done without seeing a single silo's update."""


@dataclass(frozen=True, slots=True)
class Need:
    """How many silos' updates a rule needs at least; `why` and `hint` are the error of a run that has fewer."""

    silos: int
    why: str = ""
    hint: str = ""


def any_number(settings: Settings) -> Need:  # noqa: ARG001  (the shape of `Rule.needs`)
    """The need of a rule that makes something of any number of updates."""
    return Need(1)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule before its settings are known. A rule's file ends with one of these; `strategy.py` lists it.

    `step` is coordinate-wise: what it gives for a coordinate depends on nothing but the same coordinate of its
    arguments, so a model can pass through it block by block. `combine` is one of two shapes, for the same reason.
    """

    name: str
    step: Step
    settings: tuple[Setting, ...] = ()
    state_names: tuple[str, ...] = ()
    start: Start = no_state
    combine: CoordinateWise | WeightGiving = MEAN
    proximal_mu: Callable[[Settings], float] = no_proximal_term
    needs: Callable[[Settings], Need] = any_number

    def __post_init__(self) -> None:
        if not isinstance(self.combine, CoordinateWise | WeightGiving):
            raise ConfigError(
                f"rule {self.name!r}: combine is {self.combine!r}",
                hint="give CoordinateWise(function) or WeightGiving(function); leave it out for the weighted mean",
            )

    @property
    def sees_updates(self) -> bool:
        """Whether it has to see each silo's update.

        Nobody declares it, so nobody can declare it wrongly: a rule that leaves `combine` out works on the weighted
        mean alone, which a masked sum gives; any other function could look at one silo's row.
        """
        return self.combine != MEAN
