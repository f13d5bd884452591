"""What does a training process do with an app, from a table to an update and to metrics?

The silo's worker and the simulator call these functions and no others, so both give the same bits. They are pure: the
same arguments give the same result. What an app returns is checked here; an error names the function and the tensor.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from septum.algorithms.evaluation import Evaluation
from septum.algorithms.finite import all_finite
from septum.algorithms.log_loss import log_loss_sum
from septum.algorithms.partition import check_covers, parted
from septum.algorithms.roc_auc import bin_counts, roc_auc
from septum.errors import AppError, DataError, SeptumError, did_you_mean
from septum.sdk.app import App
from septum.sdk.attested import PrivateTraining
from septum.sdk.data import Array, Context, Data, Float32, Float64, Parameters, Shape, Split, State, Table

Part: TypeAlias = Literal["train", "test"]

STATISTICS_PREFIX = "statistics."  # the model file keeps the sums under these names, beside the parameters

SHOWN = 10  # rows that an error names

_NAME = re.compile(r"[A-Za-z0-9_.]+")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One silo's rows as the app split them. `with_statistics` adds what was summed over all silos."""

    split: Split

    @property
    def shape(self) -> Shape:
        """The features' names and number."""
        return self.split.train.shape


@dataclass(frozen=True, slots=True)
class Task:
    """One round's order to one silo. The attempt is not in it: whoever asks again gets the same update.

    state    what the app carried on from the round before
    private  the silo's own parameters, which are no part of the model that all silos share
    privacy  how the app is to train with differential privacy by itself
    """

    round: int
    seed: int
    silo: str
    proximal_mu: float = 0.0
    state: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    private: Parameters = field(default_factory=dict)
    privacy: PrivateTraining | None = None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What one round of training gives: new - base per shared tensor, its weight in train rows, and what stays.

    state    the silo's new state
    private  its own parameters, trained
    """

    update: dict[str, Float32]
    weight: int
    state: State
    private: dict[str, Float32] = field(default_factory=dict)


def rng(seed: int, silo: str = "", round: int = 0) -> np.random.Generator:
    """The generator of one silo in one round; with the seed alone, that of the initial model.

    >>> int(rng(42, "cleveland", 1).integers(1000)) == int(rng(42, "cleveland", 1).integers(1000))
    True
    """
    key = hashlib.sha256(json.dumps(["septum-rng-1", seed, silo, round]).encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def prepare(app: App, hyper: object, table: Table) -> Prepared:
    """Run the app's data function on a silo's table. DataErrors name the table's file."""
    if not len(table):
        raise DataError(f"{table.source}: no rows", hint="check the path in the silo's configuration")
    try:
        split = _call(app, "data", app.data_function, table, hyper)
    except DataError as error:
        if table.source in error.message:
            raise
        target = f", target column {table.target!r}" if table.target else ""
        raise DataError(f"{table.source}{target}: {error.message}", hint=error.hint) from error
    if not isinstance(split, Split):
        raise _wrong(app, "data", f"returned {_kind(split)}, a Split is needed")
    if app.inputs_function is not None:
        _check_inputs(app, tuple(inputs(app, hyper, table)), split.train.features)
    return Prepared(split)


def inputs(app: App, hyper: object, table: Table) -> dict[str, Float32]:
    """The features of each row of a table, by the app's `inputs`; NaN where one cannot be made. Raises AppError."""
    function = app.inputs_function
    if function is None:
        raise AppError(
            f"app {app.name!r} has no @app.inputs, so its models predict for no new rows",
            hint="its author adds the function: docs/how-to/deploy-a-model.md",
        )
    made = _call(app, "inputs", function, table, hyper)
    if not isinstance(made, Mapping) or not made:
        raise _wrong(app, "inputs", f"returned {_kind(made)}, a mapping from feature to one number a row is needed")
    found: dict[str, Float32] = {}
    for name, column in made.items():
        array = np.asarray(column)
        if array.shape != (len(table),) or array.dtype.kind not in "biuf":
            what = f"an array of {array.dtype} and shape {array.shape}"
            raise _wrong(app, "inputs", f"feature {name!r} is {what}, one number a row is needed: ({len(table)},)")
        found[str(name)] = array.astype(np.float32)
    return found


def score(app: App, hyper: object, table: Table, model: Parameters, sums: Mapping[str, Float64]) -> Array:
    """The model's logits for each row of a table that has no target, (rows,).

    `sums`: of the app's statistics, as they are in the model's file. Raises DataError naming row and feature for a row
    whose features cannot all be made; rows count from 1.
    """
    features = inputs(app, hyper, table)
    _check_complete(table, features)
    x = np.ascontiguousarray(np.column_stack(list(features.values())))
    data = Data(x, np.zeros(len(table), np.float32), tuple(features), results(app, sums))
    return predict(app, data, model)


def _check_complete(table: Table, features: Mapping[str, Float32]) -> None:
    lacking = [(int(row), name) for name, column in features.items() for row in np.flatnonzero(~np.isfinite(column))]
    if lacking:
        shown = "; ".join(f"row {row + 1}: feature {name!r}" for row, name in sorted(lacking)[:SHOWN])
        more = f"; and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        raise DataError(
            f"{table.source}: no number can be made for {shown}{more}",
            hint="a value that the model needs is missing there; leave those rows out",
        )


def _check_inputs(app: App, found: tuple[str, ...], trained: tuple[str, ...]) -> None:
    if found != trained:
        raise _wrong(app, "inputs", f"gives the features {', '.join(found)}; `data` gives {', '.join(trained)}")


def pool(prepared: Sequence[Prepared]) -> Prepared:
    """All silos' rows in one: the upper bound that a federation is compared with, possible in a simulation only."""
    return Prepared(
        Split(_concatenate([one.split.train for one in prepared]), _concatenate([one.split.test for one in prepared]))
    )


def summands(app: App, prepared: Prepared) -> dict[str, Float64]:
    """What this silo adds to each statistic, from its train rows alone; keyed `<statistic>.<field>`."""
    found: dict[str, Float64] = {}
    for handle in app.statistic_handles:
        for key, value in handle.statistic.summands(prepared.split.train).items():
            name = f"{handle.name}.{key}"
            _check_array(app, "statistics", name, value, np.float64)
            found[name] = value
    return found


def with_statistics(app: App, prepared: Prepared, sums: Mapping[str, Float64]) -> Prepared:
    """The same rows with the results of the statistics, made from the sums over all silos."""
    expected = summands(app, prepared)
    if expected.keys() != sums.keys():
        raise _wrong(app, "statistics", f"needs the sums {sorted(expected)}, got {sorted(sums)}")
    for name, own in expected.items():
        _check_array(app, "statistics", name, sums[name], np.float64)
        if own.shape != sums[name].shape:
            raise _wrong(app, "statistics", f"sum {name!r} has shape {sums[name].shape}, {own.shape} is needed")
    known = results(app, sums)
    split = prepared.split
    return Prepared(
        Split(replace(split.train, statistics=known), replace(split.test, statistics=known)),
    )


def results(app: App, sums: Mapping[str, Float64]) -> dict[str, Mapping[str, Float64]]:
    """What the app's statistics are, by name, from their sums over all silos."""
    return {
        handle.name: handle.statistic.result(
            {key.partition(".")[2]: sums[key] for key in sums if key.partition(".")[0] == handle.name}
        )
        for handle in app.statistic_handles
    }


def initial(app: App, hyper: object, shape: Shape, seed: int) -> dict[str, Float32]:
    """The model before round 1: the same in every silo."""
    made = _call(app, "initial", app.initial_function, shape, hyper, rng(seed))
    return _checked_parameters(app, "initial", made)


def initial_parts(
    app: App, hyper: object, shape: Shape, seed: int, private: tuple[str, ...]
) -> tuple[dict[str, Float32], dict[str, Float32]]:
    """The same, as the patterns `private` part it: what all silos share, and what is each silo's own."""
    whole = initial(app, hyper, shape, seed)
    check_covers(whole, private, app.name)
    return parted(whole, private)


def train(app: App, hyper: object, prepared: Prepared, parameters: Parameters, task: Task) -> TrainResult:
    """One round of training in one silo. The app gets copies, so nothing that it does in place reaches the caller.

    `parameters` are the shared model. The app trains it together with the silo's own parameters, if there are some.
    """
    base = {name: _frozen(parameters[name]) for name in sorted(parameters)}  # the order reaches the app's arithmetic
    context = Context(
        rng=rng(task.seed, task.silo, task.round),
        round=task.round,
        silo=task.silo,
        base=base,
        proximal_mu=task.proximal_mu,
        state={name: array.copy() for name, array in task.state.items()},
        privacy=task.privacy,
    )
    whole = dict(sorted({**base, **task.private}.items()))
    own = {name: tensor.copy() for name, tensor in whole.items()}
    made = _call(app, "train", app.train_function, own, prepared.split.train, hyper, context)
    new = _checked_parameters(app, "train", made)
    _check_layout(app, new, whole)
    with np.errstate(over="ignore"):  # the difference of finite tensors can overflow; the next line says so
        update = {name: new[name] - base[name] for name in base}
    for name, delta in update.items():
        _check_array(app, "train", name, delta, np.float32)
    private = {name: new[name] for name in sorted(task.private)}
    return TrainResult(update, len(prepared.split.train), _checked_state(app, context.state), private)


def evaluate(app: App, prepared: Prepared, parameters: Parameters, part: Part = "test") -> Evaluation:
    """Apply the model to one part of the silo's rows and count. No score leaves this function."""
    data = prepared.split.test if part == "test" else prepared.split.train
    logits = predict(app, data, parameters)
    positive = data.y > 0.5
    return Evaluation(
        rows=len(data),
        correct=int(((logits > 0) == positive).sum()),
        log_loss_sum=log_loss_sum(logits, data.y),
        roc_auc=roc_auc(logits, data.y),
        bins=bin_counts(logits, data.y),
    )


def predict(app: App, data: Data, parameters: Parameters) -> Array:
    """The app's logits for some rows, one a row, checked."""
    own = {name: parameters[name].copy() for name in sorted(parameters)}
    logits = _call(app, "predict", app.predict_function, own, data)
    if not isinstance(logits, np.ndarray) or logits.dtype not in (np.float32, np.float64):
        raise _wrong(app, "predict", f"returned {_kind(logits)}, an array of float32 or float64 is needed")
    if logits.shape != (len(data),):
        raise _wrong(app, "predict", f"returned shape {logits.shape}, one logit a row is needed: ({len(data)},)")
    _check_finite(app, "predict", "logits", logits)
    return logits


def _call(app: App, function: str, called: Callable[..., _R], *arguments: object) -> _R:
    """Run the app's own code: whatever it raises becomes an AppError, septum's own errors stay what they are."""
    try:
        return called(*arguments)
    except SeptumError:
        raise
    except Exception as error:
        raise AppError(
            f"app {app.name!r}: {function} raised {type(error).__name__}: {error}",
            hint="the traceback shows the line in the app",
        ) from error


def _checked_parameters(app: App, function: str, made: object) -> dict[str, Float32]:
    if not isinstance(made, Mapping):
        raise _wrong(app, function, f"returned {_kind(made)}, a mapping from name to float32 array is needed")
    if not made:
        raise _wrong(app, function, "returned no tensor")
    checked: dict[str, Float32] = {}
    for name in sorted(made, key=str):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(app, function, f"tensor name {name!r}: letters, digits, '_' and '.' are possible")
        if name.startswith(STATISTICS_PREFIX):
            raise _wrong(app, function, f"tensor name {name!r}: septum keeps the statistics under that prefix")
        _check_array(app, function, name, made[name], np.float32)
        checked[name] = np.ascontiguousarray(made[name])
    return checked


def _check_layout(app: App, new: Parameters, base: Parameters) -> None:
    for name in new:
        if name not in base:
            raise _wrong(app, "train", f"returned tensor {name!r}, the model has none; {did_you_mean(name, base)}")
    for name in base:
        if name not in new:
            raise _wrong(app, "train", f"did not return tensor {name!r}; it returned {', '.join(new)}")
        if new[name].shape != base[name].shape:
            raise _wrong(app, "train", f"tensor {name!r} has shape {new[name].shape}, the model has {base[name].shape}")


def _checked_state(app: App, state: State) -> State:
    checked: State = {}
    for name, array in state.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(app, "train", f"state name {name!r}: letters, digits, '_' and '.' are possible")
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise _wrong(app, "train", f"state {name!r} is {_kind(array)}, an array of numbers is needed")
        checked[name] = array.copy()
    return checked


def _check_array(app: App, function: str, name: str, array: object, dtype: type[np.float32 | np.float64]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise _wrong(
            app,
            function,
            f"tensor {name!r} is {_kind(array)}, {np.dtype(dtype).name} is needed",
            hint=f"array.astype(numpy.{np.dtype(dtype).name}) converts",
        )
    _check_finite(app, function, name, array)


def _check_finite(app: App, function: str, name: str, array: npt.NDArray[np.generic]) -> None:
    if not all_finite(array):
        wrong = int((~np.isfinite(array)).sum())
        raise _wrong(
            app,
            function,
            f"tensor {name!r} holds NaN or infinity in {wrong} of {array.size} places",
            hint="a smaller learning rate or scaled inputs often help",
        )


def _wrong(app: App, function: str, what: str, hint: str = "") -> AppError:
    return AppError(f"app {app.name!r}: {function}: {what}", hint=hint)


def _kind(value: object) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _frozen(tensor: Float32) -> Float32:
    """A tensor that nobody can change: itself, if its memory is read-only as a mapped file's is, else a copy."""
    base: object = tensor.base
    while isinstance(base, np.ndarray):
        base = base.base
    if tensor.flags.aligned and isinstance(base, bytes | memoryview) and memoryview(base).readonly:
        return tensor
    copy = tensor.copy()
    copy.flags.writeable = False
    return copy


def _concatenate(parts: Sequence[Data]) -> Data:
    features = parts[0].features
    for part in parts:
        if part.features != features:
            raise DataError(f"the silos' features differ: {features} and {part.features}")
    x = np.concatenate([part.x for part in parts])
    return Data(x, np.concatenate([part.y for part in parts]), features)
