"""What does `mlflow.pyfunc.load_model` load of an exported model? The app, its model and its data contract, by this.

A folder that `mlflow_folder` wrote has the app's files, the model in the safetensors layout and what it is as JSON. No
pickle is in it, and none is read. Both digests are compared before anything of it is used. Loading it runs the app's
code, as training did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from blake3 import blake3

from septum.errors import AppError, DigestError
from septum.protocol import payload, tensors
from septum.protocol.codec import Scalar, from_json, loads
from septum.sdk import harness
from septum.sdk.cells import Cell
from septum.sdk.data import Float32, Float64
from septum.sdk.package import LoadedApp, load_app
from septum.sdk.score_rows import plans_for, table_of

ABOUT, MODEL, APP = "septum.json", "model.safetensors", "app"


@dataclass(frozen=True, slots=True)
class About:
    """What an exported model is. `app_tree`: the digest of the app's folder."""

    app_tree: str
    hyper: Mapping[str, Scalar]
    model: str
    run: str
    round: int


class Frame(Protocol):
    """As much of a pandas DataFrame as is needed."""

    @property
    def columns(self) -> object:
        """The names."""

    def __getitem__(self, name: str) -> Series:
        """A column."""


class Series(Protocol):
    """As much of a pandas Series as is needed."""

    def tolist(self) -> list[object]:
        """Its values."""


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """What MLflow calls."""

    loaded: LoadedApp
    hyper: object
    parameters: Mapping[str, Float32]
    sums: Mapping[str, Float64]

    def predict(self, model_input: Frame, params: object = None) -> dict[str, Float64]:
        """The probability of each row, in the names, units and codes of the app's data contract.

        Raises DataError naming rows and columns that the contract does not allow.
        """
        del params
        plans = plans_for("the app's contract", self.loaded.manifest.columns, {})
        batch = {plan.source: [_cell(value) for value in model_input[plan.source].tolist()] for plan in plans}
        table = table_of("the input", [batch], plans)
        logits = harness.score(self.loaded.app, self.hyper, table, self.parameters, self.sums).astype(np.float64)
        return {"probability": 1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700)))}


def load(folder: Path) -> ExportedModel:
    """The model in a folder. Raises DigestError, AppError for one that was changed."""
    about = from_json(About, loads((folder / ABOUT).read_bytes()))
    content = (folder / MODEL).read_bytes()
    found = f"blake3:{blake3(content).hexdigest()}"
    if found != about.model:
        raise DigestError(f"{folder / MODEL} was changed: its digest is {found}, not {about.model}")
    loaded = load_app(folder / APP)
    if loaded.digest != about.app_tree:
        raise AppError(f"{folder / APP} was changed: its digest is {loaded.digest}, not {about.app_tree}")
    parameters, sums = payload.split_model(tensors.decode(content))
    return ExportedModel(loaded, loaded.app.resolve(dict(about.hyper)), parameters, sums)


def _load_pyfunc(path: str) -> ExportedModel:
    """By this name MLflow calls it."""
    return load(Path(path))


def _cell(value: object) -> Cell:
    if value is None or (isinstance(value, float) and value != value):
        return None
    return value if isinstance(value, str) else float(value)  # type: ignore[arg-type]  # a number of pandas
