"""The heart-disease example, federated in the plainest way: the real harness and a weighted mean in a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from septum.algorithms.roc_auc import roc_auc
from septum.sdk import harness
from septum.sdk.package import LoadedApp, load_app
from septum.sdk.table import read_csv

HOSPITALS = ("cleveland", "hungary", "switzerland", "long-beach-va")


@dataclass(frozen=True)
class Outcome:
    parameters: dict[str, np.ndarray]
    prepared: dict[str, harness.Prepared]
    accuracy: float
    roc_auc: float
    test_rows: int


@pytest.fixture(scope="session")
def folder() -> Path:
    return Path(__file__).parents[2] / "examples" / "heart_disease"


@pytest.fixture(scope="session")
def loaded(folder: Path) -> LoadedApp:
    return load_app(folder)


@pytest.fixture(scope="session")
def prepared(loaded: LoadedApp, folder: Path) -> dict[str, harness.Prepared]:
    manifest = loaded.manifest
    return {
        name: harness.prepare(
            loaded.app,
            loaded.app.resolve(),
            read_csv(folder / "data" / f"{name}.data", tuple(manifest.columns), manifest.missing, manifest.target),
        )
        for name in HOSPITALS
    }


@pytest.fixture(scope="session")
def federate(loaded: LoadedApp, prepared: dict[str, harness.Prepared]) -> Callable[[Mapping[str, object]], Outcome]:
    app = loaded.app
    each = [harness.summands(app, silo) for silo in prepared.values()]
    sums = {name: np.sum([one[name] for one in each], axis=0) for name in each[0]}
    silos = {name: harness.with_statistics(app, silo, sums) for name, silo in prepared.items()}

    def run(overrides: Mapping[str, object]) -> Outcome:
        h = app.resolve(overrides)
        seed = app.seed(h)
        model = harness.initial(app, h, silos["cleveland"].shape, seed)
        for round_ in range(1, app.rounds(h) + 1):
            results = [
                harness.train(app, h, silo, model, harness.Task(round_, seed, name)) for name, silo in silos.items()
            ]
            rows = sum(result.weight for result in results)
            model = {
                name: base + sum(np.float32(result.weight / rows) * result.update[name] for result in results)
                for name, base in model.items()
            }
        logits = np.concatenate([harness.predict(app, silo.split.test, model) for silo in silos.values()])
        labels = np.concatenate([silo.split.test.y for silo in silos.values()])
        auc = roc_auc(logits, labels)
        assert auc is not None
        return Outcome(model, silos, float(((logits > 0) == (labels > 0)).mean()), auc, len(labels))

    return run
