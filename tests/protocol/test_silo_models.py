"""A silo's own model: the model before plus its update, to the byte, whoever puts it together and whenever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from septum.algorithms.evaluation import Evaluation
from septum.errors import TensorError
from septum.plugins.strategies import strategy_of
from septum.protocol import payload, tensors
from septum.protocol.combine import Weighted, next_model
from septum.protocol.facts import Metrics, ModelMeasured, SiloModel, SiloModelsKept
from septum.protocol.messages import blob_of
from septum.protocol.plan import AppRef, Masking, Plan, StrategyRef
from septum.protocol.silo_models import BLOCKS, kept_model, silo_model, why_none
from septum.protocol.sources import BLOCK_WIDTH, source_of
from septum.protocol.views import silo_models_of

NOBODY = Evaluation(0, 0, 0.0, None, np.zeros((0, 3), np.int64))
LARGE = BLOCKS * BLOCK_WIDTH + 3  # more than is read at one time


def base_of(w):
    return tensors.encode(payload.model_tensors({"w": np.asarray(w, np.float32)}, {"scale.sum": np.ones(2)}))


def update_of(w):
    return tensors.encode(payload.update_tensors({"w": np.asarray(w, np.float32)}, NOBODY))


def test_it_is_the_model_plus_the_update_and_the_norm_is_that_of_the_update():
    base, update = base_of([1.0, 2.0, 3.0]), update_of([2.0, -2.0, 1.0])
    file = b"".join(silo_model(source_of(base), source_of(update)))
    made = tensors.decode(file)
    assert made["w"].tolist() == [3.0, 0.0, 4.0]
    assert made["statistics.scale.sum"].tolist() == [1.0, 1.0]
    sent = blob_of(update)
    kept = kept_model(source_of(base), source_of(update), sent)
    assert kept == SiloModel(blob_of(file).without_bytes(), sent.without_bytes(), 3.0)


@pytest.mark.parametrize("width", [1, 5, LARGE])
def test_it_is_the_next_model_of_a_run_over_this_silo_alone(width):
    rng = np.random.default_rng(width)
    base, update = (make(rng.normal(size=width)) for make in (base_of, update_of))
    one = [Weighted(source_of(update), 1)]
    following = b"".join(next_model(strategy_of(StrategyRef()), source_of(base), None, one, lambda _: None))
    assert b"".join(silo_model(source_of(base), source_of(update))) == following
    assert kept_model(source_of(base), source_of(update), blob_of(update)).model.digest == blob_of(following).digest


def test_an_update_of_another_model_is_refused():
    with pytest.raises(TensorError, match="the model has 2 parameters, the update 3"):
        list(silo_model(source_of(base_of([1.0, 2.0])), source_of(update_of([1.0, 2.0, 3.0]))))


def test_why_there_is_none_is_said():
    plan = Plan("p", AppRef("a", "1", "sha256:0"), {}, ("east", "west"), 1)
    assert why_none(replace(plan, keep_silo_models=True)) == ""
    assert why_none(replace(plan, masking=Masking())) == "the run was masked: they never left the silos"
    assert why_none(plan) == "the run was not to keep them"


def test_of_a_round_that_was_made_again_those_of_the_last_time_count():
    base, model, sent = (blob_of(name) for name in (b"base", b"model", b"sent"))
    metrics = Metrics(10, 0.5, 0.7, 0.5)
    facts = [
        SiloModelsKept(1, base, {"east": SiloModel(base, sent, 9.0), "west": SiloModel(model, sent, 1.0)}),
        SiloModelsKept(1, base, {"west": SiloModel(model, sent, 2.0)}),
        SiloModelsKept(2, model, {"east": SiloModel(model, sent, 3.0)}),
        ModelMeasured(1, metrics, {"east": metrics, "west": metrics}),
    ]
    found = silo_models_of("r1", facts)
    assert [(one.round, one.silo, one.update_norm, one.federation) for one in found] == [
        (1, "west", 2.0, metrics),
        (2, "east", 3.0, None),
    ]
