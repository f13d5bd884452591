"""What do the coordinator and a silo say about models that silos are to use? Orders, and how far a silo has got.

An order is a wish: the silo's steward, its policy and its own test rows decide (silo/deploying.py). What a silo says of
it carries no number about its rows unless its policy lets one leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from septum.errors import ConfigError, MessageError
from septum.protocol.codec import Scalar
from septum.protocol.messages import Blob
from septum.protocol.plan import AppRef, Metric
from septum.protocol.rights import check_name

MAX_REASON_CHARS = 300
MAX_ORDERS = 100  # some 700 bytes each; a message has 256 KiB


class DeployState(Enum):
    """How far a silo has got with a deployment.

    WAITING  for a word of its steward
    REFUSED  by its policy, or since its app may not run there
    PULLED   the model is here, whole, and is being measured
    FAILED   it did not pass the silo's gate, or could not be measured: it is not used
    ACTIVE   it passed, and is what predicts under that name
    """

    WAITING = "waiting"
    REFUSED = "refused"
    PULLED = "pulled"
    FAILED = "failed"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class DeploymentOrder:
    """A version of a model that a silo is to use under a name.

    deployment  its number; a larger one of the same name is newer
    hyper, seed of the run that made it: the app's functions take them
    private     patterns of the parameters that are each silo's own, and not in the model
    """

    deployment: int
    name: str
    version: int
    run: str
    round: int
    model: Blob
    app: AppRef
    hyper: Mapping[str, Scalar]
    seed: int
    private: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            check_name(self.name, "model")
        except ConfigError as error:
            raise MessageError(error.message) from error
        if min(self.deployment, self.version) < 1 or self.round < 0:
            raise MessageError(f"deployment {self.deployment} of version {self.version}, round {self.round} cannot be")

    @property
    def label(self) -> str:
        """As people name it."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class DeploymentOrders:
    """All that a silo is to use now, at most MAX_ORDERS, each name once."""

    items: tuple[DeploymentOrder, ...]

    def __post_init__(self) -> None:
        names = [one.name for one in self.items]
        if len(names) > MAX_ORDERS or len(names) != len(set(names)):
            raise MessageError(f"{len(names)} orders of {len(set(names))} names; at most {MAX_ORDERS}, each name once")


@dataclass(frozen=True, slots=True)
class Told:
    """How far a silo has got with a deployment.

    reason   why it is not used; without any number about the silo's rows
    metrics  on the silo's own test rows, where its policy lets them leave
    """

    deployment: int
    state: DeployState
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.deployment < 1:
            raise MessageError(f"there is no deployment {self.deployment}")
        if len(self.reason) > MAX_REASON_CHARS or not self.reason.isprintable():
            raise MessageError(f"reason: {self.reason[:40]!r} is not one line of at most {MAX_REASON_CHARS} characters")
        known = {metric.value for metric in Metric}
        if not set(self.metrics) <= known:
            raise MessageError(f"metrics are {', '.join(sorted(known))}, not {str(sorted(self.metrics))[:80]}")
