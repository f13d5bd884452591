"""What does a run take of each of its silos while it lasts, and how much has a silo to give?

A run says what it takes, and nothing measures it: it is for reckoning, as the requests of a batch system are. What a
training process can use at most is for the silo's own limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from septum.errors import ConfigError

MAX_CPUS = 65_536.0
MAX_MEMORY_MB = 2**31
MAX_GPUS = 64
MAX_RUNS = 100_000
_ROUNDING = 1e-6  # ten tenths of a processor are one


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN fails too
        raise ConfigError(f"resources: {name} must be between {low:g} and {high:g}, not {value}")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run takes in each of its silos; 0 where nothing has to be reckoned.

    cpus       processors; half of one is possible
    memory_mb  10^6 bytes
    """

    cpus: float = 0.0
    memory_mb: int = 0
    gpus: int = 0

    def __post_init__(self) -> None:
        _within("cpus", self.cpus, 0, MAX_CPUS)
        _within("memory_mb", self.memory_mb, 0, MAX_MEMORY_MB)
        _within("gpus", self.gpus, 0, MAX_GPUS)


NOTHING = Resources()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a silo gives to all runs together; None where it does not reckon.

    runs  at one time
    """

    runs: int
    cpus: float | None = None
    memory_mb: int | None = None
    gpus: int | None = None

    def __post_init__(self) -> None:
        _within("runs", self.runs, 1, MAX_RUNS)
        for name, most in (("cpus", MAX_CPUS), ("memory_mb", MAX_MEMORY_MB), ("gpus", MAX_GPUS)):
            if (value := getattr(self, name)) is not None:
                _within(name, value, 0, most)


@dataclass(frozen=True, slots=True)
class Load:
    """What some runs take together, and how many they are."""

    runs: int = 0
    cpus: float = 0.0
    memory_mb: int = 0
    gpus: int = 0

    def plus(self, needs: Resources) -> Load:
        """With one more run."""
        return Load(self.runs + 1, self.cpus + needs.cpus, self.memory_mb + needs.memory_mb, self.gpus + needs.gpus)


IDLE = Load()


@dataclass(frozen=True, slots=True)
class Lack:
    """Of what there is too little: `needed` by the run, `left` of what the silo offers."""

    what: str
    needed: float
    left: float
    offered: float


def lacking(needs: Resources, offer: Capacity, load: Load = IDLE) -> tuple[Lack, ...]:
    """What a silo has too little of for one more run; nothing where it fits. How many runs there are is not looked at.

    >>> lacking(Resources(cpus=4), Capacity(runs=2, cpus=8), Load(1, cpus=6))
    (Lack(what='cpus', needed=4, left=2, offered=8),)
    """
    if needs is NOTHING:
        return ()
    found = []
    for what in ("cpus", "memory_mb", "gpus"):
        offered, needed = getattr(offer, what), getattr(needs, what)
        if offered is None or not needed:
            continue
        left = offered - getattr(load, what)
        if needed > left + _ROUNDING:
            found.append(Lack(what, needed, left, offered))
    return tuple(found)


def fits(needs: Resources, offer: Capacity, load: Load) -> bool:
    """Whether a silo has room for one more run.

    >>> fits(NOTHING, Capacity(runs=1), IDLE), fits(NOTHING, Capacity(runs=1), Load(1))
    (True, False)
    """
    return load.runs < offer.runs and not lacking(needs, offer, load)


def load_of(runs: Iterable[Resources]) -> Load:
    """What these runs take together.

    >>> load_of([Resources(cpus=1), Resources(gpus=1)])
    Load(runs=2, cpus=1.0, memory_mb=0, gpus=1)
    """
    load = IDLE
    for needs in runs:
        load = load.plus(needs)
    return load
