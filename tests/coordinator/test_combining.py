"""Combining: the same bits as the pure function, a server optimizer's state beside the model, and no half results."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.coordinator.support import SILOS, adam_plan, evaluated, plan_of, prepared, update

from septum.coordinator.combining import Combiner, optimizer_area
from septum.coordinator.effects import _failure
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import Spool
from septum.errors import NotFoundError, SeptumError, TensorError
from septum.protocol import payload, tensors
from septum.protocol.messages import Blob, Stage, blob_of
from septum.protocol.plan import StrategyRef
from septum.protocol.run_state import Combine, CombineRefused, Contribution
from septum.testing.fakes import MemoryBlobs

BIG = 300_000  # 1.2 MB: several blocks, and files instead of memory


def parts(blobs=None):
    blobs = blobs or MemoryBlobs()
    shelf = Shelf(blobs)
    return blobs, shelf, Combiner(blobs, shelf), Spool(blobs, "r-1", complete=True)


def contribute(spool, blobs, payloads):
    found = {}
    for silo, data in payloads.items():
        blob = blob_of(data)
        if blob.inline is None:
            spool.uploaded(blobs.put(spool.area, data, durable=False), (1, 1))
        spool.keep(blob, (1, 1))
        found[silo] = Contribution(blob.without_bytes(), 10)
    return found


def model_of(width):
    return tensors.encode(payload.model_tensors({"w": np.zeros(width, np.float32)}, {"scale.sum": np.ones(2)}))


def train(combiner, spool, blobs, plan, base, optimizer, width, value=0.5):
    found = contribute(spool, blobs, {silo: update(value, width) for silo in SILOS})
    return combiner.combine(Combine(Stage.TRAIN, 1, 1, base, optimizer, found), plan, "r-1", spool)


def test_too_few_reports_for_the_rule_cost_an_attempt_and_pause_no_run():
    blobs, shelf, combiner, spool = parts()
    plan = replace(plan_of(tuple("abcde")), strategy=StrategyRef("krum", {"f": 1.0}))
    assert len(SILOS) < 5
    with pytest.raises(SeptumError, match=f"there are {len(SILOS)}") as caught:
        train(combiner, spool, blobs, plan, shelf.add([model_of(3)]), None, 3)
    effect = Combine(Stage.TRAIN, 1, 2, None, None, {})
    assert _failure(effect, caught.value) == CombineRefused(Stage.TRAIN, 1, 2, caught.value.message)


def test_preparing_sums_statistics_and_takes_the_one_initial_model():
    blobs, _, combiner, spool = parts()
    found = contribute(spool, blobs, {silo: prepared(initial=silo == "hungary") for silo in SILOS})
    made = combiner.combine(Combine(Stage.PREPARE, 0, 1, None, None, found), plan_of(), "r-1", spool)
    model = tensors.decode(blobs.get("models", made.model.digest))
    assert model["statistics.scale.sum"].tolist() == [3.0, 3.0]
    assert model["w"].tolist() == [0.0, 0.0, 0.0]
    assert made.measured is None


@pytest.mark.parametrize("width", [3, BIG])
def test_training_adds_the_mean_update_and_measures_the_base(width):
    blobs, shelf, combiner, spool = parts()
    base = shelf.add([model_of(width)])
    made = train(combiner, spool, blobs, plan_of(), base, None, width)
    model = tensors.decode(blobs.get("models", made.model.digest))
    assert np.array_equal(model["w"], np.full(width, 0.5, np.float32))
    assert made.model.size_bytes == base.size_bytes
    assert (made.measured.round, made.measured.metrics.rows, made.optimizer) == (0, 12, None)


@pytest.mark.parametrize("width", [3, BIG])
def test_a_server_optimizer_carries_its_state_from_round_to_round(width):
    blobs, shelf, combiner, spool = parts()
    base = shelf.add([model_of(width)])
    first = train(combiner, spool, blobs, adam_plan(), base, None, width)
    state = tensors.decode(blobs.get(optimizer_area("r-1"), first.optimizer.digest))["optimizer"]
    assert state.shape[0] == width
    second = train(combiner, spool, blobs, adam_plan(), first.model, first.optimizer, width)
    forgetful = train(combiner, spool, blobs, adam_plan(), first.model, None, width)
    assert second.model != forgetful.model  # the state matters


def test_combining_twice_gives_the_same_bits():
    blobs, shelf, combiner, spool = parts()
    base = shelf.add([model_of(BIG)])
    assert train(combiner, spool, blobs, adam_plan(), base, None, BIG) == train(
        combiner, spool, blobs, adam_plan(), base, None, BIG
    )


def test_evaluating_makes_metrics_and_no_model():
    blobs, _, combiner, spool = parts()
    found = contribute(spool, blobs, {silo: evaluated() for silo in SILOS})
    made = combiner.combine(Combine(Stage.EVALUATE, 2, 1, None, None, found), plan_of(), "r-1", spool)
    assert (made.model, made.measured.round, list(made.measured.silos)) == (None, 2, list(SILOS))


def test_a_result_that_overflows_is_an_error_and_leaves_no_state_behind():
    blobs, shelf, combiner, spool = parts()
    base = shelf.add([model_of(BIG)])
    with pytest.raises(TensorError, match="not finite"):
        train(combiner, spool, blobs, adam_plan(), base, None, BIG, value=3e38)
    assert not blobs._areas.get(optimizer_area("r-1"))
    assert list(blobs._areas["models"]) == [base.digest]


class FullForStates(MemoryBlobs):
    def put(self, area, data, *, durable, digest="", limit=0):
        if area.startswith("optimizer-"):
            next(iter(data))
            raise SeptumError("no space left on device")
        return super().put(area, data, durable=durable, digest=digest, limit=limit)


@pytest.mark.parametrize("width", [3, BIG])
def test_a_state_that_cannot_be_stored_fails_the_round_and_hangs_nobody(width):
    blobs, shelf, combiner, spool = parts(FullForStates())
    base = shelf.add([model_of(width)])
    before = threading.active_count()
    with pytest.raises(SeptumError, match="no space left"):
        train(combiner, spool, blobs, adam_plan(), base, None, width)
    assert threading.active_count() == before


def test_a_lost_payload_is_named():
    _, shelf, combiner, spool = parts()
    base = shelf.add([model_of(3)])
    lost = {"hungary": Contribution(Blob(blob_of(b"x").digest, 1), 10)}
    with pytest.raises(NotFoundError, match=blob_of(b"x").digest):
        combiner.combine(Combine(Stage.TRAIN, 1, 1, base, None, lost), plan_of(), "r-1", spool)


def test_the_shelf_fills_small_models_in_and_reads_them_back_after_a_restart():
    blobs, shelf, _, _ = parts()
    small, large = shelf.add([model_of(3)]), shelf.add([model_of(BIG)])
    assert small.inline is None
    assert shelf.filled(small).inline == model_of(3)
    assert Shelf(blobs).filled(small).inline == model_of(3)
    assert shelf.filled(large) == large
    assert Shelf(blobs).layout(large).size_bytes == large.size_bytes
