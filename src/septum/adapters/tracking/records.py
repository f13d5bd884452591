"""What does a service for experiments store of a run? Names, parameters, tags and points, whatever the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from septum.protocol.codec import Scalar
from septum.protocol.messages import Outcome


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is stored: an experiment, and in it the one entry of this RUN.

    experiment  the same for all runs, so that they stand side by side
    run         the RUN's id, by which the entry is found again
    """

    experiment: str
    run: str

    @property
    def name(self) -> str:
        """The entry's name: unique, whatever else the service holds.

        >>> Place("fed-heart-disease-client-1", "r_20260101").name
        'fed-heart-disease-client-1-r-20260101'
        """
        return f"{self.experiment}-{self.run}".replace("_", "-").replace(".", "-")


@dataclass(frozen=True, slots=True)
class Begun:
    """An entry is there, with its parameters. `at`: Unix time, seconds, here and below."""

    place: Place
    at: float
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric."""

    place: Place
    at: float
    metric: str
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class Over:
    """It has ended."""

    place: Place
    at: float
    outcome: Outcome
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The model that a run ended with, as files of this machine. `package`: empty where there is none.

    shared  whether it has all of its parameters: none is each silo's own
    """

    place: Place
    at: float
    run: str
    round: int
    digest: str
    hyper: Mapping[str, Scalar]
    model: str
    package: str
    shared: bool


Record: TypeAlias = Begun | Point | Over | ModelFiles


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of some records: how many the service refused for good, and why it did the first of them."""

    refused: int = 0
    why: str = ""

    def and_then(self, other: Taken) -> Taken:
        """Both together.

        >>> Taken(1, "x").and_then(Taken(2, "y"))
        Taken(refused=3, why='x')
        """
        return Taken(self.refused + other.refused, self.why or other.why)
