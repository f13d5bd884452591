"""What is an app? Five functions, one hyper-parameter class and, if wanted, statistics summed over all silos.

The shape of an app and its reasons: docs/decisions/0001-the-app-api.md. This module imports no numpy, so that a silo's
agent and the command line can read a manifest without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform

from septum.errors import AppError
from septum.sdk.hyper import HyperField, Scalar, fields_of, hyper, parse, resolve, schema_of

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike

    from septum.sdk.data import Array, Context, Data, Parameters, Shape, Split, Table
    from septum.sdk.stats import Statistic

# `Any` is the app's own hyper-parameter class, which septum cannot know.
DataFunction = Callable[["Table", Any], "Split"]
InitialFunction = Callable[["Shape", Any, "Generator"], "Parameters"]
TrainFunction = Callable[["Parameters", "Data", Any, "Context"], "Parameters"]
PredictFunction = Callable[["Parameters", "Data"], "Array"]
InputsFunction = Callable[["Table", Any], "Mapping[str, ArrayLike]"]

_D = TypeVar("_D", bound=DataFunction)
_I = TypeVar("_I", bound=InitialFunction)
_T = TypeVar("_T", bound=TrainFunction)
_P = TypeVar("_P", bound=PredictFunction)
_N = TypeVar("_N", bound=InputsFunction)
_C = TypeVar("_C")
_F = TypeVar("_F")

_PARTS = ("hyper", "data", "initial", "train", "predict")


@dataclass(frozen=True, slots=True)
class StatisticHandle:
    """A statistic of the app. Calling it applies the result that septum stored in the data, e.g. standardises."""

    name: str
    statistic: Statistic

    def __call__(self, data: Data) -> Data:
        """The data as the statistic's result changes it."""
        if self.name not in data.statistics:
            raise AppError(
                f"statistic {self.name!r} was applied to data that has none of that name",
                hint="it is there in train and predict only, after the sums of all silos have come back",
            )
        return self.statistic.apply(data, data.statistics[self.name])


@dataclass(slots=True)
class App:
    """An app under construction: the decorators register, the rest reads. Complete once `check()` passes."""

    name: str
    _parts: dict[str, object] = field(default_factory=dict, repr=False)
    _fields: tuple[HyperField, ...] = field(default=(), repr=False)
    _statistics: dict[str, StatisticHandle] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise AppError(f"app name {self.name!r}: letters, digits, '-' and '_' are possible")

    # --- what an app author calls -------------------------------------------------------------------------------

    @dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(hyper,))
    def hyper(self, cls: type[_C]) -> type[_C]:
        """Register the hyper-parameter class and make it a frozen dataclass. `rounds: int` is required."""
        made = dataclass(frozen=True, kw_only=True, slots=True)(cls)
        fields = fields_of(made, self.name)
        kinds = {item.name: item.kind for item in fields}
        if kinds.get("rounds") is not int:
            raise AppError(
                f"app {self.name!r}: its hyper-parameters need `rounds`, a whole number",
                hint="write: rounds: int = hyper(50, min=1)",
            )
        if kinds.get("seed", int) is not int:
            raise AppError(f"app {self.name!r}: hyper-parameter 'seed' must be an int, it has {kinds['seed']}")
        self._register("hyper", made)
        self._fields = fields
        return made

    def data(self, function: _D) -> _D:
        """Register `load(table, hyper) -> Split`: a silo's table becomes this app's train and test rows."""
        return self._register("data", function)

    def initial(self, function: _I) -> _I:
        """Register `initial(shape, hyper, rng) -> Parameters`: the model before round 1."""
        return self._register("initial", function)

    def train(self, function: _T) -> _T:
        """Register `train(parameters, data, hyper, context) -> Parameters`: one round in one silo."""
        return self._register("train", function)

    def predict(self, function: _P) -> _P:
        """Register `predict(parameters, data) -> logits`, one a row. septum derives every metric from it."""
        return self._register("predict", function)

    def inputs(self, function: _N) -> _N:
        """Register `inputs(table, hyper) -> columns`: the features of each row, in order and without the target.

        It is what lets a model predict for rows that nobody trained on: one number a row and feature, NaN where one
        cannot be made. The features are those that `load` gives, by name. An app without it trains, and no more.
        """
        return self._register("inputs", function)

    def statistics(self, statistic: Statistic, name: str = "") -> StatisticHandle:
        """Have `statistic` summed over the train rows of all silos before round 1; call the handle to apply it."""
        name = name or statistic.name
        if not name.isidentifier():
            raise AppError(f"app {self.name!r}: statistic name {name!r} must be an identifier")
        if name in self._statistics:
            raise AppError(
                f"app {self.name!r}: statistic {name!r} is registered twice",
                hint=f'give the second one a name: app.statistics(..., name="{name}_2")',
            )
        handle = StatisticHandle(name, statistic)
        self._statistics[name] = handle
        return handle

    # --- what septum reads --------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise an AppError that names the parts which are missing."""
        missing = [f"@app.{part}" for part in _PARTS if part not in self._parts]
        if missing:
            raise AppError(f"app {self.name!r} has no {', '.join(missing)}", hint="docs/decisions/0001-the-app-api.md")

    @property
    def data_function(self) -> DataFunction:
        """The function under `@app.data`."""
        return cast("DataFunction", self._part("data"))

    @property
    def initial_function(self) -> InitialFunction:
        """The function under `@app.initial`."""
        return cast("InitialFunction", self._part("initial"))

    @property
    def train_function(self) -> TrainFunction:
        """The function under `@app.train`."""
        return cast("TrainFunction", self._part("train"))

    @property
    def predict_function(self) -> PredictFunction:
        """The function under `@app.predict`."""
        return cast("PredictFunction", self._part("predict"))

    @property
    def inputs_function(self) -> InputsFunction | None:
        """The function under `@app.inputs`; None where there is none."""
        return cast("InputsFunction | None", self._parts.get("inputs"))

    @property
    def statistic_handles(self) -> tuple[StatisticHandle, ...]:
        """The registered statistics, in the order of their names."""
        return tuple(self._statistics[name] for name in sorted(self._statistics))

    def resolve(self, overrides: Mapping[str, object] | None = None) -> object:
        """An instance of the hyper-parameter class: defaults, and `overrides` checked for name, type and range."""
        made = cast("type[object]", self._part("hyper"))
        return made(**resolve(self._fields, overrides or {}, self.name))

    def parse(self, texts: Mapping[str, str]) -> dict[str, Scalar]:
        """The typed values of `NAME=TEXT` pairs from a command line, ready for `resolve`."""
        self._part("hyper")
        return parse(self._fields, texts, self.name)

    def schema(self) -> dict[str, object]:
        """The JSON Schema (2020-12) of the hyper-parameters; every one has a default, so none is required."""
        self._part("hyper")
        return schema_of(self._fields, self.name)

    @property
    def fields(self) -> tuple[HyperField, ...]:
        """The hyper-parameters."""
        self._part("hyper")
        return self._fields

    def hyper_values(self, values: object) -> dict[str, Scalar]:
        """All hyper-parameters of an instance that `resolve` made, by name, defaults included."""
        made = cast("type[object]", self._part("hyper"))
        if not isinstance(values, made):
            raise AppError(f"app {self.name!r}: {values!r} is not an instance of its hyper-parameter class")
        return dataclasses.asdict(values)  # type: ignore[call-overload, no-any-return]  # made is a dataclass

    def rounds(self, values: object) -> int:
        """How many rounds a run with these hyper-parameters has."""
        return int(self.hyper_values(values)["rounds"])

    def seed(self, values: object) -> int:
        """The seed of a run with these hyper-parameters; 0 if the app declares none."""
        return int(self.hyper_values(values).get("seed", 0))

    def _register(self, part: str, value: _F) -> _F:
        if part in self._parts:
            names = " and ".join(getattr(item, "__name__", "?") for item in (self._parts[part], value))
            raise AppError(f"app {self.name!r}: @app.{part} is used twice, on {names}", hint="remove one of them")
        self._parts[part] = value
        return value

    def _part(self, part: str) -> object:
        if part not in self._parts:
            self.check()
        return self._parts[part]
