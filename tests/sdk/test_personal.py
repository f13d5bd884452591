"""The gate before a silo's own model: what wins is the best on rows that were held out, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from septum import App, Data, Split, hyper
from septum.sdk.harness import Prepared
from septum.sdk.personal import FOLDS, MIN_ROWS, Origin, Silo, Weights, personalise


def an_app(step: float, *, diverges: bool = False) -> App:
    """Training moves the one weight by `step` a round, whatever the rows."""
    app = App("stepping")

    @app.hyper
    class Hyper:
        rounds: int = hyper(4, min=1)

    @app.data
    def load(table, h):
        raise NotImplementedError

    @app.initial
    def initial(shape, h, rng):
        return {"w": np.zeros(1, np.float32)}

    @app.train
    def train(p, data, h, ctx):
        if diverges:
            return {"w": np.full(1, np.nan, np.float32)}
        ctx.state["rounds"] = ctx.state.get("rounds", np.zeros(1)) + 1
        return {"w": p["w"] + np.float32(step)}

    @app.predict
    def predict(p, data):
        return data.x[:, 0] * p["w"][0]

    app.check()
    return app


def rows(train: int = 20) -> Prepared:
    """Labels follow the sign of x: the larger the weight, the smaller the loss."""
    x = np.array([1.0, -1.0] * (train // 2) + [1.0] * (train % 2))
    data = Data.of({"x": x}, x > 0)
    return Prepared(Split(data, Data.of({"x": [1.0, -1.0]}, [1, 0])))


def silo(app: App, further: int = 2) -> Silo:
    return Silo(app, app.resolve(), "north", 7, rounds=4, further=further)


def weights(value: float) -> Weights:
    return Weights({"w": np.full(1, value, np.float32)})


def loss(weight: float) -> float:
    return float(np.log1p(np.exp(-weight)))


def test_further_training_wins_where_it_beats_both_others():
    """From 3 two steps of 1 make 5; alone, four steps from 0 make 4. The larger the better."""
    found = personalise(silo(an_app(1.0)), rows(), weights(3.0), weights(0.0))
    assert found.origin is Origin.PERSONALISED
    assert found.weights.whole["w"].tolist() == [5.0]
    assert found.weights.state["rounds"].tolist() == [2.0]
    expected = {Origin.FEDERATION: loss(3), Origin.PERSONALISED: loss(5), Origin.LOCAL: loss(4)}
    assert found.losses == pytest.approx(expected, rel=1e-5)


def test_the_federations_model_stays_where_further_training_makes_it_worse():
    """From 3 two steps of -1 make 1; alone, -4."""
    found = personalise(silo(an_app(-1.0)), rows(), weights(3.0), weights(0.0))
    assert (found.origin, found.weights.whole["w"].tolist()) == (Origin.FEDERATION, [3.0])


def test_what_a_silo_would_have_alone_wins_where_the_federation_harms_it():
    """From -9 two steps of 1 make -7; alone, 4."""
    found = personalise(silo(an_app(1.0)), rows(), weights(-9.0), weights(0.0))
    assert (found.origin, found.weights.whole["w"].tolist()) == (Origin.LOCAL, [4.0])


def test_a_tie_goes_to_the_federation():
    found = personalise(silo(an_app(0.0)), rows(), weights(0.0), weights(0.0))
    assert len(set(found.losses.values())) == 1
    assert found.origin is Origin.FEDERATION


def test_training_that_diverges_costs_the_candidate_and_not_the_run():
    found = personalise(silo(an_app(1.0, diverges=True)), rows(), weights(1.0), weights(0.0))
    assert found.origin is Origin.FEDERATION
    assert found.losses[Origin.PERSONALISED] == found.losses[Origin.LOCAL] == float("inf")


def test_with_too_few_rows_to_hold_some_out_nothing_is_tried():
    found = personalise(silo(an_app(1.0)), rows(MIN_ROWS - 1), weights(3.0), weights(0.0))
    assert (found.origin, dict(found.losses)) == (Origin.FEDERATION, {})


def test_each_train_row_is_held_out_once_and_no_test_row_is_seen():
    """An app that remembers how many rows it was given: four fifths of them, five times, and at last all."""
    seen: list[int] = []
    app = an_app(1.0)
    plain = app.train_function

    def counting(p, data, h, ctx):
        seen.append(len(data))
        return plain(p, data, h, ctx)

    app._parts["train"] = counting
    personalise(silo(app), rows(20), weights(3.0), weights(0.0))
    assert seen == [16] * FOLDS * (2 + 4) + [20] * 2  # further and alone, fold by fold; then the winner on all rows


def test_asked_again_it_gives_the_same_bits():
    one, two = (personalise(silo(an_app(0.3)), rows(23), weights(1.0), weights(0.0)) for _ in range(2))
    assert one.losses == two.losses
    assert one.weights.whole["w"].tobytes() == two.weights.whole["w"].tobytes()
