"""How does an app let septum train for it? `[privacy]` of `septum.toml`: a loss of septum's own, and ranges.

What is declared stands in the manifest, not in code: it is read without running the app, and cannot depend on a row.
From it follow the model's tensors, the initial model and the scaling of the inputs, so that in a run with differential
privacy the app's code does one thing: it makes rows of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from septum.errors import ConfigError, did_you_mean
from septum.sdk.contract import known_keys
from septum.sdk.layers import Layer, check_layers, read_layers, slots_of

if TYPE_CHECKING:
    from septum.sdk.data import Float32, Float64, Parameters
    from septum.sdk.losses import Loss

OWN = "own"  # the app's own training: attested, never enforced
LOSSES = ("logistic", "perceptron", "network", OWN)
STATISTIC = "mean_and_std"  # the one statistic that such an app may have, under its own name
MAX_HIDDEN = 8
NOT_DECLARED = (
    "app {app!r} declares no loss that septum can train by itself, so it cannot take part in a run with differential"
    " privacy: [privacy] in its septum.toml"
)


@dataclass(frozen=True, slots=True)
class PrivateLoss:
    """What is trained.

    loss      of `septum.losses`; `network` is the logistic one of a network of declared layers, by torch; `own` is
              what the app trains by itself, with privacy that it attests
    features  the inputs' names, in order
    low, high of each feature: between which most of its values lie, from what everybody may know. In a run with
              differential privacy low becomes -1 and high becomes 1, and nothing is summed over the rows for it
    hidden    units of each hidden layer of a perceptron
    layers    of a network
    """

    loss: str
    features: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    hidden: tuple[int, ...] = ()
    layers: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(f"loss is {self.loss!r}; {did_you_mean(self.loss, LOSSES)}")
        if not self.features or not len(self.features) == len(self.low) == len(self.high):
            raise ConfigError("ranges names no feature", hint="write under [privacy.ranges]: age = [30, 80]")
        for name, low, high in zip(self.features, self.low, self.high, strict=True):
            if not -1e30 < low < high < 1e30:
                raise ConfigError(f"the range of {name!r} is {low:g} to {high:g}; the second is the larger one")
        if (self.loss == "perceptron") != bool(self.hidden):
            raise ConfigError(f"hidden is {list(self.hidden)} for loss {self.loss!r}; it belongs to a perceptron")
        if len(self.hidden) > MAX_HIDDEN or not all(1 <= width <= 4096 for width in self.hidden):
            raise ConfigError(f"hidden has {list(self.hidden)}; up to {MAX_HIDDEN} layers of 1 to 4096 units")
        if (self.loss == "network") != bool(self.layers):
            raise ConfigError(f"{len(self.layers)} layers for loss {self.loss!r}; they belong to a network")
        if self.layers:
            check_layers(self.layers, len(self.features))

    @property
    def by_app(self) -> bool:
        """Whether the app trains by itself."""
        return self.loss == OWN

    @property
    def by_torch(self) -> bool:
        """Whether torch is needed where it is trained."""
        return bool(self.layers)

    @property
    def slots(self) -> int:
        """How many records pass through the loss at once."""
        return slots_of(self.layers, len(self.features)) if self.layers else 1


def read_private_loss(where: str, section: Mapping[str, object]) -> PrivateLoss | None:
    """`[privacy]` of a manifest; None where there is none. Raises ConfigError."""
    if not section:
        return None
    known_keys(f"{where}, [privacy]", section, ("loss", "ranges", "hidden", "layers"))
    ranges, hidden = section.get("ranges", {}), section.get("hidden", [])
    if not isinstance(ranges, dict) or not all(_is_range(pair) for pair in ranges.values()):
        raise ConfigError(f"{where}, [privacy]: ranges is {ranges!r}", hint="write: age = [30, 80]")
    if not isinstance(hidden, list) or not all(type(width) is int for width in hidden):
        raise ConfigError(f"{where}, [privacy]: hidden is {hidden!r}", hint="write: hidden = [16]")
    try:
        return PrivateLoss(
            loss=str(section.get("loss", "")),
            features=tuple(ranges),
            low=tuple(float(pair[0]) for pair in ranges.values()),
            high=tuple(float(pair[1]) for pair in ranges.values()),
            hidden=tuple(hidden),
            layers=read_layers("layers", section.get("layers", [])),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}, [privacy]: {error.message}", hint=error.hint) from error


def _is_range(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(type(end) in (int, float) for end in pair)


def unfit(app: str, private: PrivateLoss | None, *, attested: bool) -> str:
    """Why what an app declares is not for a run whose privacy is attested, or enforced; empty where it is.

    >>> unfit("small", PrivateLoss("logistic", ("age",), (30,), (80,)), attested=False)
    ''
    """
    if private is None:
        return NOT_DECLARED.format(app=app)
    if private.by_app and not attested:
        return f"app {app!r} trains by itself, so that differential privacy is attested by it and not enforced"
    if attested and not private.by_app:
        return f"app {app!r} declares what septum trains, so that differential privacy is enforced and not attested"
    return ""


def loss_of(private: PrivateLoss) -> Loss:
    """The function."""
    from septum.sdk import losses, network  # numpy: a manifest is read without it

    if private.layers:
        return network.gradients(private.layers)
    found: dict[str, Loss] = {"logistic": losses.logistic, "perceptron": losses.perceptron}
    return found[private.loss]


def initial(private: PrivateLoss, seed: int) -> dict[str, Float32]:
    """The model before round 1: zeros, and for a perceptron or a network weights by the seed of the plan.

    >>> {name: tensor.shape for name, tensor in initial(PrivateLoss("logistic", ("age",), (30,), (80,)), 1).items()}
    {'bias': (1,), 'weight': (1, 1)}
    """
    import numpy as np  # as above

    from septum.sdk import network
    from septum.sdk.harness import rng

    if private.layers:
        return network.initial(private.layers, len(private.features), rng(seed))
    if private.loss == "logistic":
        return {"bias": np.zeros(1, np.float32), "weight": np.zeros((1, len(private.features)), np.float32)}
    generator = rng(seed)
    widths = [len(private.features), *private.hidden, 1]
    made: dict[str, Float32] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        made[f"layers.{layer}.weight"] = generator.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        made[f"layers.{layer}.bias"] = np.zeros(outputs, np.float32)
    return made


def logits(private: PrivateLoss, parameters: Parameters, x: Float32) -> Float32:
    """The model's outputs, (rows,), for scaled inputs."""
    import numpy as np  # as above

    from septum.sdk import network

    if private.layers:
        return network.logits(private.layers, parameters, x)
    if private.loss == "logistic":
        linear: Float32 = x @ parameters["weight"][0] + parameters["bias"]
        return linear
    last = len(private.hidden)
    for layer in range(last):
        x = np.tanh(x @ parameters[f"layers.{layer}.weight"].T + parameters[f"layers.{layer}.bias"])
    out: Float32 = x @ parameters[f"layers.{last}.weight"][0] + parameters[f"layers.{last}.bias"]
    return out


def summands(private: PrivateLoss) -> dict[str, Float64]:
    """What a silo says its statistics are: those of two made-up rows, one at the low and one at the high ends.

    Their mean is the middle and their deviation half of the range, whatever the silo's rows are.
    """
    import numpy as np  # as above

    ends = np.array([private.low, private.high], np.float64)  # (2, features)
    fields = {"count": np.array([2.0]), "sum": ends.sum(axis=0), "sum_of_squares": np.square(ends).sum(axis=0)}
    return {f"{STATISTIC}.{name}": value for name, value in fields.items()}


def scaled(private: PrivateLoss, x: Float32) -> Float32:
    """Rows with low at -1 and high at 1, as the statistic's own result scales them: (rows, features)."""
    import numpy as np  # as above

    low, high = np.array([private.low, private.high], np.float64)
    made: Float32 = ((x.astype(np.float64) - (low + high) / 2) / ((high - low) / 2)).astype(np.float32)
    return made
