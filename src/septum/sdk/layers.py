"""Which networks does septum build from data alone? A list of layers, each with its numbers, and no code of an app.

Every layer treats a record by itself. There is no batch norm, for it mixes the records of a batch, and no dropout. An
embedding is a linear layer over one-hot inputs. What is declared is checked whole before anything is built: each
layer's shape follows from the one before, the last gives one number, and the sizes have bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TypeAlias

from septum.errors import ConfigError, did_you_mean

MAX_LAYERS = 64
MAX_NUMBER = 65_536  # of any number in a layer
MAX_PARAMETERS = 2**24  # the noise alone takes 8 s a step then, on one core
MAX_ACTIVATIONS = 2**24  # numbers that one record becomes in all layers together: 64 MiB
_SLOTS_BYTES = 2**26
_MAX_SLOTS = 128  # twice the rows of a usual step: few batches have a second record for a slot
_COPIES = 4  # of a record's gradient and activations, while it is computed

Shape: TypeAlias = tuple[int, ...]
"""Of one record, without the batch: (features,) or (channels, height, width)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """`outputs` weighted sums of a flat record, each with a bias."""

    outputs: int


@dataclass(frozen=True, slots=True)
class Unflatten:
    """A flat record as an image, row by row."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Conv2d:
    """`channels` filters of `kernel` x `kernel`, each with a bias."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True, slots=True)
class MaxPool2d:
    """The largest of each `size` x `size` square."""

    size: int


@dataclass(frozen=True, slots=True)
class AvgPool2d:
    """The mean of each `size` x `size` square."""

    size: int


@dataclass(frozen=True, slots=True)
class GroupNorm:
    """Each of `groups` groups of channels with mean 0 and deviation 1 within the record, then scaled and shifted."""

    groups: int


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """The whole record with mean 0 and deviation 1, then each number scaled and shifted."""


@dataclass(frozen=True, slots=True)
class Flatten:
    """An image as a flat record."""


@dataclass(frozen=True, slots=True)
class Relu:
    """max(0, x)."""


@dataclass(frozen=True, slots=True)
class Tanh:
    """Bounded, which keeps gradients short (Papernot et al. 2021)."""


@dataclass(frozen=True, slots=True)
class Gelu:
    """x times the probability that a standard normal is below x."""


Layer: TypeAlias = (
    Linear | Unflatten | Conv2d | MaxPool2d | AvgPool2d | GroupNorm | LayerNorm | Flatten | Relu | Tanh | Gelu
)
Layers: TypeAlias = tuple[Layer, ...]

KINDS: Mapping[str, type[Layer]] = {
    "linear": Linear,
    "unflatten": Unflatten,
    "conv2d": Conv2d,
    "max_pool2d": MaxPool2d,
    "avg_pool2d": AvgPool2d,
    "group_norm": GroupNorm,
    "layer_norm": LayerNorm,
    "flatten": Flatten,
    "relu": Relu,
    "tanh": Tanh,
    "gelu": Gelu,
}
_MIXING = "it mixes the records of a batch, so that none has a gradient of its own; group_norm and layer_norm do not"


def read_layers(where: str, value: object) -> Layers:
    """`layers` of a manifest: tables with `kind` and the layer's own numbers. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(f"{where} is no list of tables", hint='write: layers = [{ kind = "linear", outputs = 1 }]')
    if len(value) > MAX_LAYERS:
        raise ConfigError(f"{where} has {len(value)} layers, at most {MAX_LAYERS}")
    return tuple(_read_layer(f"{where}[{at}]", one) for at, one in enumerate(value))


def check_layers(layers: Layers, features: int) -> None:
    """Whether they are a network of one output for so many features. Raises ConfigError, naming the layer."""
    if len(layers) > MAX_LAYERS:
        raise ConfigError(f"layers has {len(layers)} layers, at most {MAX_LAYERS}")
    shape: Shape = (features,)
    activations, parameters = 0, 0
    for at, layer in enumerate(layers):
        where = f"layers[{at}] ({name_of(layer)})"
        _check_numbers(where, layer)
        try:
            parameters += sum(map(math.prod, _tensors(layer, shape).values()))
            shape = output_shape(layer, shape)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error
        activations += math.prod(shape)
        if parameters > MAX_PARAMETERS:
            raise ConfigError(f"{where}: the network has more than {MAX_PARAMETERS} parameters from here on")
        if activations > MAX_ACTIVATIONS:
            raise ConfigError(f"{where}: a record becomes more than {MAX_ACTIVATIONS} numbers from here on")
    if shape != (1,) or not parameters:
        raise ConfigError(
            f"layers gives a record the shape {list(shape)}, and one number, the logit, is needed",
            hint='end with: { kind = "linear", outputs = 1 }',
        )


def name_of(layer: Layer) -> str:
    """Its kind, as a manifest says it.

    >>> name_of(MaxPool2d(2))
    'max_pool2d'
    """
    return next(name for name, kind in KINDS.items() if type(layer) is kind)


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """What becomes of a record of some shape. Raises ConfigError where it cannot pass.

    >>> output_shape(Conv2d(8, kernel=3, stride=2, padding=1), (1, 8, 8))
    (8, 4, 4)
    """
    match layer:
        case Linear(outputs):
            _flat(shape)
            return (outputs,)
        case Unflatten(channels, height, width):
            if shape != (channels * height * width,):
                raise ConfigError(f"{channels} x {height} x {width} is not the {list(shape)} that comes to it")
            return (channels, height, width)
        case Conv2d(channels, kernel, stride, padding):
            _, height, width = _image(shape)
            return (channels, *(_steps(side + 2 * padding, kernel, stride) for side in (height, width)))
        case MaxPool2d(size) | AvgPool2d(size):
            channels, height, width = _image(shape)
            return (channels, *(_steps(side, size, size) for side in (height, width)))
        case GroupNorm(groups):
            if shape[0] % groups or math.prod(shape) == groups:
                raise ConfigError(f"{groups} groups of {shape[0]} channels, or of one number each")
            return shape
        case Flatten():
            return (math.prod(shape),)
        case LayerNorm() | Relu() | Tanh() | Gelu():
            return shape


def tensors_of(layers: Layers, features: int) -> dict[str, Shape]:
    """The network's parameters: `K.weight` and `K.bias` of layer K = 0, 1, ..., as `torch.nn.Sequential` names them.

    >>> tensors_of((Linear(4), Tanh(), Linear(1)), 2)
    {'0.weight': (4, 2), '0.bias': (4,), '2.weight': (1, 4), '2.bias': (1,)}
    """
    found: dict[str, Shape] = {}
    shape: Shape = (features,)
    for at, layer in enumerate(layers):
        found |= {f"{at}.{name}": size for name, size in _tensors(layer, shape).items()}
        shape = output_shape(layer, shape)
    return found


def slots_of(layers: Layers, features: int) -> int:
    """How many records pass through at once, so that what they take of memory is bounded. No row has a part in it.

    >>> slots_of((Linear(4), Tanh(), Linear(1)), 2), slots_of((Linear(4096), Tanh(), Linear(1)), 1000)
    (128, 1)
    """
    numbers = sum(map(math.prod, tensors_of(layers, features).values()))
    shape: Shape = (features,)
    for layer in layers:
        numbers += math.prod(shape)
        shape = output_shape(layer, shape)
    return max(1, min(_MAX_SLOTS, _SLOTS_BYTES // (4 * _COPIES * numbers)))


def _read_layer(where: str, table: Mapping[str, object]) -> Layer:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        if isinstance(kind, str) and kind.replace("_", "").startswith("batchnorm"):
            raise ConfigError(f"{where}: {kind} cannot be: {_MIXING}")
        raise ConfigError(f"{where}: kind is {kind!r}; {did_you_mean(str(kind), KINDS)}")
    known = {field.name: field for field in fields(KINDS[kind])}
    for name in table:
        if name != "kind" and name not in known:
            raise ConfigError(f"{where} ({kind}): unknown key {name!r}; {did_you_mean(name, known or ('kind',))}")
    missing = [name for name, field in known.items() if field.default is MISSING and name not in table]
    if missing:
        raise ConfigError(f"{where} ({kind}): {missing[0]} is missing")
    layer = KINDS[kind](**{name: value for name, value in table.items() if name != "kind"})  # type: ignore[arg-type]
    _check_numbers(f"{where} ({kind})", layer)  # which says what is no number
    return layer


def _check_numbers(where: str, layer: Layer) -> None:
    for field in fields(layer):
        value: object = getattr(layer, field.name)
        least = 0 if field.name == "padding" else 1
        if type(value) is not int or not least <= value <= MAX_NUMBER:
            raise ConfigError(f"{where}: {field.name} is {value!r}; a whole number from {least} to {MAX_NUMBER}")


def _tensors(layer: Layer, shape: Shape) -> dict[str, Shape]:
    match layer:
        case Linear(outputs):
            return {"weight": (outputs, _flat(shape)), "bias": (outputs,)}
        case Conv2d(channels, kernel):
            return {"weight": (channels, _image(shape)[0], kernel, kernel), "bias": (channels,)}
        case GroupNorm():
            return {"weight": shape[:1], "bias": shape[:1]}
        case LayerNorm():
            return {"weight": shape, "bias": shape}
        case _:
            return {}


def _flat(shape: Shape) -> int:
    if len(shape) != 1:
        raise ConfigError(f"a flat record is needed, {list(shape)} comes to it", hint='before it: { kind = "flatten" }')
    return shape[0]


def _image(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ConfigError(
            f"an image is needed, {list(shape)} comes to it",
            hint='before it: { kind = "unflatten", channels = C, height = H, width = W }',
        )
    return shape


def _steps(side: int, window: int, stride: int) -> int:
    if window > side:
        raise ConfigError(f"a window of {window} over {side}")
    return (side - window) // stride + 1
