"""What do an app's functions take and return: tables, data, splits, parameters, the context of a round?

Arrays are checked where they are made, so that a wrong one is named before any training. All are read-only to the app:
a function that changed its data in place would train differently the next time it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from septum.errors import DataError, did_you_mean
from septum.sdk.attested import PrivateTraining

Array: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.intp]
Parameters: TypeAlias = Mapping[str, Float32]
State: TypeAlias = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, one value a row, NaN where a value is missing.

    `source` says where they came from and `target` which column the app's manifest calls the target: for errors.
    """

    columns: Mapping[str, Float64]
    source: str = "table"
    target: str = ""

    def __post_init__(self) -> None:
        if not self.columns:
            raise DataError(f"{self.source}: no columns")
        rows = len(next(iter(self.columns.values())))
        for name, column in self.columns.items():
            if column.dtype != np.float64 or column.shape != (rows,):
                raise DataError(
                    f"{self.source}: column {name!r} is {column.dtype} of shape {column.shape}, "
                    f"float64 of shape ({rows},) is needed"
                )
        frozen = {name: _read_only(column) for name, column in self.columns.items()}
        object.__setattr__(self, "columns", frozen)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Float64:
        if name not in self.columns:
            raise missing_column(self.source, name, self.columns)
        return self.columns[name]

    def complete(self, names: Iterable[str]) -> Table:
        """The named columns alone, without the rows where one of them is missing.

        >>> table = Table({"a": np.array([1.0, np.nan]), "b": np.array([5.0, 6.0])})
        >>> len(table.complete(["a"])), len(table.complete(["b"]))
        (1, 2)
        """
        chosen = {name: self[name] for name in names}
        present = ~np.any([np.isnan(column) for column in chosen.values()], axis=0)
        return Table({name: column[present] for name, column in chosen.items()}, self.source, self.target)


def missing_column(source: str, name: str, known: Iterable[str]) -> DataError:
    """The error for a column that is not there."""
    return DataError(
        f"{source}: no column {name!r}; {did_you_mean(name, known)}",
        hint=f"add the column to {source}, or name another file in the silo's configuration",
    )


@dataclass(frozen=True, slots=True)
class Data:
    """Rows ready for training: inputs, labels 0 or 1, and the federated statistics once they are known."""

    x: Float32  # (rows, features)
    y: Float32  # (rows,)
    features: tuple[str, ...]
    statistics: Mapping[str, Mapping[str, Float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        if self.x.dtype != np.float32 or self.y.dtype != np.float32:
            raise DataError(
                f"data: x is {self.x.dtype} and y is {self.y.dtype}, float32 is needed",
                hint="Data.of(columns, target) converts",
            )
        if self.x.ndim != 2 or self.x.shape != (len(self.y), len(self.features)) or self.y.ndim != 1:
            raise DataError(
                f"data: x has shape {self.x.shape} and y {self.y.shape}; "
                f"(rows, {len(self.features)}) and (rows,) are needed for {len(self.features)} features"
            )
        if len(set(self.features)) != len(self.features):
            raise DataError(f"data: feature names repeat: {', '.join(self.features)}")
        for column, name in enumerate(self.features):
            wrong_rows = int((~np.isfinite(self.x[:, column])).sum())
            if wrong_rows:
                raise DataError(
                    f"data: feature {name!r} is missing or infinite in {wrong_rows} of {len(self)} rows",
                    hint="drop those rows (table.complete) or fill them in the app's data function",
                )
        if not np.isin(self.y, (0.0, 1.0)).all():
            wrong = self.y[~np.isin(self.y, (0.0, 1.0))][0]
            raise DataError(f"data: the target must be 0 or 1 in every row, one is {wrong}")
        object.__setattr__(self, "x", _read_only(self.x))
        object.__setattr__(self, "y", _read_only(self.y))

    @classmethod
    def of(cls, columns: Mapping[str, npt.ArrayLike], target: npt.ArrayLike) -> Data:
        """Data from one array a feature and the target; numbers and booleans become float32.

        >>> Data.of({"age": [63, 41], "male": [True, False]}, [1, 0]).x.tolist()
        [[63.0, 1.0], [41.0, 0.0]]
        """
        y = np.asarray(target, np.float32)
        arrays = [np.asarray(column, np.float32) for column in columns.values()]
        for name, array in zip(columns, arrays, strict=True):
            if array.shape != y.shape:
                raise DataError(f"data: feature {name!r} has shape {array.shape}, the target {y.shape}")
        x = np.column_stack(arrays) if arrays else np.empty((len(y), 0), np.float32)
        return cls(np.ascontiguousarray(x), y, tuple(columns))

    @property
    def shape(self) -> Shape:
        """What `initial` may know of this data."""
        return Shape(self.features)

    def take(self, rows: Integers | Sequence[int]) -> Data:
        """The given rows, in the given order."""
        return Data(self.x[rows], self.y[rows], self.features, self.statistics)

    def with_x(self, x: Float32) -> Data:
        """The same rows with other inputs of the same shape."""
        return Data(x, self.y, self.features, self.statistics)

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class Shape:
    """The features' names and number: all that `initial` sees, so an initial model cannot carry a record."""

    features: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True)
class Split:
    """The app's train and test rows. Statistics and training see `train`, evaluation sees `test`.

    Both classes must be in the silo, not in each part: a hospital with one healthy patient can still contribute.
    """

    train: Data
    test: Data

    def __post_init__(self) -> None:
        for part, data in (("train", self.train), ("test", self.test)):
            if not len(data):
                raise DataError(
                    f"no {part} rows are left ({len(self.train)} train, {len(self.test)} test)",
                    hint="check the file for missing values: the app's data function dropped the rest",
                )
        if self.train.features != self.test.features:
            raise DataError("train and test have different features")
        classes = np.unique(np.concatenate([self.train.y, self.test.y]))
        if len(classes) == 1:
            raise DataError(
                f"the target has one class, {int(classes[0])}, in all {len(self.train) + len(self.test)} rows",
                hint="check that the target column is the right one: a silo needs rows of both classes to take part",
            )


@dataclass(frozen=True, slots=True)
class Context:
    """What `train` may use besides its data. Only this may vary between two calls, so training can be repeated.

    `privacy` says how to train with differential privacy where the app does that by itself; None elsewhere.
    `rng` is keyed by (seed, silo, round). `base` is the round's global model, the anchor of FedProx, without the silo's
    private parameters; `proximal_mu` its weight (0: none). `state` is the silo's own: assign `state["name"] = array`
    and find it there next round.
    """

    rng: np.random.Generator
    round: int
    silo: str
    base: Parameters
    proximal_mu: float = 0.0
    state: State = field(default_factory=dict)
    privacy: PrivateTraining | None = None


def _read_only(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    view = array.view()
    view.flags.writeable = False
    return view
