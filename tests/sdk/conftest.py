"""A small app to take apart, and a table it can read."""

from __future__ import annotations

import numpy as np
import pytest

from septum import App, Context, Data, Parameters, Shape, Split, Table, hyper, losses, optim, stats


def make_app(name: str = "small") -> App:
    app = App(name)

    @app.hyper
    class Hyper:
        rounds: int = hyper(3, min=1, max=10)
        lr: float = hyper(0.1, min=1e-6, max=1.0)
        seed: int = hyper(7, min=0)

    @app.data
    def load(table: Table, h: object) -> Split:
        rows = table.complete(["a", "b", "label"])
        data = Data.of({"a": rows["a"], "b": rows["b"]}, rows["label"] > 0)
        half = len(data) // 2
        return Split(data.take(range(half)), data.take(range(half, len(data))))

    scale = app.statistics(stats.mean_and_std())

    @app.initial
    def initial(shape: Shape, h: object, rng: np.random.Generator) -> Parameters:
        return {
            "weight": rng.normal(size=(1, len(shape))).astype(np.float32),
            "bias": np.zeros(1, np.float32),
        }

    @app.train
    def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
        return optim.adam(p, losses.logistic, scale(data), ctx, optim.Steps(lr=h.lr, batch_size=2))

    @app.predict
    def predict(p: Parameters, data: Data) -> np.ndarray:
        return scale(data).x @ p["weight"][0] + p["bias"]

    return app


@pytest.fixture
def app() -> App:
    return make_app()


@pytest.fixture
def table() -> Table:
    return Table(
        {
            "a": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            "b": np.array([5.0, 5.0, 1.0, 1.0, 4.0, 2.0, 9.0, 7.0]),
            "label": np.array([0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 1.0, 0.0]),
        },
        source="hospital.csv",
        target="label",
    )
