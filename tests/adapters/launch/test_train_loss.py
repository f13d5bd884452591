"""How what a silo trained does on its train rows is told where it is asked for, and is in nothing that leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from septum.adapters.launch.station import Part, Station, Timer
from septum.protocol import payload
from septum.sdk import harness
from septum.sdk.package import load_app
from septum.sdk.synthetic import synthetic_table

HEART = Path(__file__).parents[3] / "examples" / "heart_disease"


@pytest.fixture(scope="module")
def heart():
    loaded = load_app(HEART)
    hyper = loaded.app.resolve({})
    prepared = harness.prepare(loaded.app, hyper, synthetic_table(loaded.manifest.columns))
    sums = harness.summands(loaded.app, prepared)
    model = payload.model_tensors(harness.initial(loaded.app, hyper, prepared.shape, 42), sums)
    return loaded.app, hyper, prepared, model


def trained(heart, *, train_loss):
    app, hyper, prepared, model = heart
    return Station(app, hyper, prepared, Part("hungary", 42, train_loss=train_loss)).train(Timer(), 1, model)


def test_it_is_the_mean_log_loss_of_what_was_trained(heart):
    app, _, prepared, model = heart
    made = trained(heart, train_loss=True)
    parameters, sums = payload.split_model(model)
    new = {name: parameters[name] + made.leaving[f"update.{name}"] for name in parameters}
    rows = harness.with_statistics(app, prepared, sums)
    found = harness.evaluate(app, rows, new, "train")
    assert made.train_loss == pytest.approx(found.log_loss_sum / found.rows)
    before = harness.evaluate(app, rows, parameters, "train")
    assert made.train_loss < before.log_loss_sum / before.rows


def test_it_changes_nothing_of_what_leaves_and_is_not_there_unasked(heart):
    asked, unasked = (trained(heart, train_loss=wanted) for wanted in (True, False))
    assert unasked.train_loss is None
    assert asked.leaving.keys() == unasked.leaving.keys()
    assert all(np.array_equal(asked.leaving[name], unasked.leaving[name]) for name in asked.leaving)


def test_an_app_that_cannot_predict_its_train_rows_trains_all_the_same(heart, monkeypatch):
    evaluate = harness.evaluate

    def failing(app, prepared, parameters, part="test"):
        if part == "train":
            raise harness.AppError("predict raised")
        return evaluate(app, prepared, parameters, part)

    monkeypatch.setattr(harness, "evaluate", failing)
    assert trained(heart, train_loss=True).train_loss is None
