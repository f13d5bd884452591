"""Combining: the same bits as the pure function, a server optimizer's state beside the model, and no half results."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.coordinator.support import EVALUATION, SILOS, adam_plan, evaluated, plan_of, prepared, update

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import FileKey
from septum.algorithms.gram import gram_matrix
from septum.coordinator.areas import models_area, optimizer_area, silo_models_area
from septum.coordinator.combining import Combiner
from septum.coordinator.effects import _failure
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import LONG_S, Spool
from septum.errors import DigestError, NotFoundError, SeptumError, TensorError
from septum.plugins.strategies import strategy_of
from septum.protocol import payload, tensors
from septum.protocol.messages import Blob, Stage, blob_of
from septum.protocol.plan import StrategyRef
from septum.protocol.run_state import Combine, CombineRefused, Contribution
from septum.testing.fakes import FakeClock, MemoryBlobs

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
        train(combiner, spool, blobs, plan, shelf.add("r-1", [model_of(3)]), None, 3)
    effect = Combine(Stage.TRAIN, 1, 2, None, None, {})
    assert _failure(effect, caught.value) == CombineRefused(Stage.TRAIN, 1, 2, caught.value.message)


def test_preparing_sums_statistics_and_takes_the_one_initial_model():
    blobs, _, combiner, spool = parts()
    found = contribute(spool, blobs, {silo: prepared(initial=silo == "hungary") for silo in SILOS})
    made = combiner.combine(Combine(Stage.PREPARE, 0, 1, None, None, found), plan_of(), "r-1", spool)
    model = tensors.decode(blobs.get("models-r-1", made.model.digest))
    assert model["statistics.scale.sum"].tolist() == [3.0, 3.0]
    assert model["w"].tolist() == [0.0, 0.0, 0.0]
    assert made.measured is None


@pytest.mark.parametrize("width", [3, BIG])
def test_training_adds_the_mean_update_and_measures_the_base(width):
    blobs, shelf, combiner, spool = parts()
    base = shelf.add("r-1", [model_of(width)])
    made = train(combiner, spool, blobs, plan_of(), base, None, width)
    model = tensors.decode(blobs.get("models-r-1", made.model.digest))
    assert np.array_equal(model["w"], np.full(width, 0.5, np.float32))
    assert made.model.size_bytes == base.size_bytes
    assert (made.measured.round, made.measured.metrics.rows, made.optimizer) == (0, 12, None)


@pytest.mark.parametrize("width", [3, BIG])
def test_a_run_that_keeps_silos_own_models_keeps_what_each_sent_when_its_payloads_are_gone(width):
    blobs, shelf, combiner, spool = parts()
    base = shelf.add("r-1", [model_of(width)])
    plan = replace(plan_of(), keep_silo_models=True)
    made = train(combiner, spool, blobs, plan, base, None, width)
    blobs.drop(spool.area)
    area = silo_models_area("r-1")
    assert sorted(made.kept) == sorted(SILOS)
    for silo in SILOS:
        sent = tensors.decode(blobs.get(area, made.kept[silo].update.digest))
        assert sent["update.w"].tolist() == [0.5] * width
        assert made.kept[silo].model == made.model.without_bytes()  # all sent the same, so the mean is each one's
        assert made.kept[silo].update_norm == pytest.approx(0.5 * width**0.5)


def test_no_other_run_keeps_anything_of_a_silos():
    blobs, shelf, combiner, spool = parts()
    assert not train(combiner, spool, blobs, plan_of(), shelf.add("r-1", [model_of(3)]), None, 3).kept
    found = contribute(spool, blobs, {silo: prepared(initial=silo == "hungary") for silo in SILOS})
    plan = replace(plan_of(), keep_silo_models=True)  # nor is there a model of a silo's before round 1
    assert not combiner.combine(Combine(Stage.PREPARE, 0, 1, None, None, found), plan, "r-1", spool).kept
    assert silo_models_area("r-1") not in blobs._areas


@pytest.mark.parametrize("width", [3, BIG])
def test_a_server_optimizer_carries_its_state_from_round_to_round(width):
    blobs, shelf, combiner, spool = parts()
    base = shelf.add("r-1", [model_of(width)])
    first = train(combiner, spool, blobs, adam_plan(), base, None, width)
    state = tensors.decode(blobs.get(optimizer_area("r-1"), first.optimizer.digest))["optimizer"]
    assert state.shape[0] == width
    second = train(combiner, spool, blobs, adam_plan(), first.model, first.optimizer, width)
    forgetful = train(combiner, spool, blobs, adam_plan(), first.model, None, width)
    assert second.model != forgetful.model  # the state matters


def test_combining_twice_gives_the_same_bits():
    blobs, shelf, combiner, spool = parts()
    base = shelf.add("r-1", [model_of(BIG)])
    assert train(combiner, spool, blobs, adam_plan(), base, None, BIG) == train(
        combiner, spool, blobs, adam_plan(), base, None, BIG
    )


@pytest.mark.parametrize("rule", ["fedadam", "geometric-median", "median"])
def test_payloads_in_memory_in_files_and_in_sealed_files_give_the_bits_of_whole_vectors(rule, tmp_path):
    drawn = np.random.default_rng(4).normal(size=(len(SILOS), BIG)).astype(np.float32)
    strategy = strategy_of(StrategyRef(rule))
    rows = [10] * len(SILOS)
    weights = strategy.weigh(gram_matrix([drawn], len(drawn)), rows) if strategy.weigh else rows
    expected, _ = strategy.step(np.zeros(BIG, np.float32), strategy.combine(drawn, weights), strategy.start(BIG))
    stores = (
        MemoryBlobs(),
        DirectoryBlobs(tmp_path / "a"),
        DirectoryBlobs(tmp_path / "b", keys=Keys(FileKey(bytes(32)))),
    )
    for store in stores:
        blobs, shelf, combiner, spool = parts(store)
        sent = {
            silo: tensors.encode(payload.update_tensors({"w": row}, EVALUATION))
            for silo, row in zip(sorted(SILOS), drawn, strict=True)
        }
        effect = Combine(Stage.TRAIN, 1, 1, shelf.add("r-1", [model_of(BIG)]), None, contribute(spool, blobs, sent))
        made = combiner.combine(effect, replace(plan_of(), strategy=StrategyRef(rule)), "r-1", spool)
        assert tensors.decode(blobs.get("models-r-1", made.model.digest))["w"].tobytes() == expected.tobytes(), store


def rot(blobs, area, digest, place=-1):
    data = bytearray(blobs._areas[area][digest])
    data[place] ^= 1
    blobs._areas[area][digest] = bytes(data)


@pytest.mark.parametrize("place", [-1, -4 * BIG])
@pytest.mark.parametrize("rotten", ["model", "optimizer"])
def test_nothing_is_made_from_a_model_or_an_optimizers_state_that_has_rotted(rotten, place):
    blobs, shelf, combiner, spool = parts()
    first = train(combiner, spool, blobs, adam_plan(), shelf.add("r-1", [model_of(BIG)]), None, BIG)
    area, digest = {
        "model": (models_area("r-1"), first.model.digest),
        "optimizer": (optimizer_area("r-1"), first.optimizer.digest),
    }[rotten]
    rot(blobs, area, digest, place)
    there = {area: list(kept) for area, kept in blobs._areas.items()}
    with pytest.raises(DigestError, match=f"{digest} has rotted"):
        train(combiner, spool, blobs, adam_plan(), first.model, first.optimizer, BIG)
    assert {area: list(kept) for area, kept in blobs._areas.items()} == there


def test_a_payload_that_rotted_while_it_lay_for_long_is_not_combined():
    blobs, shelf, combiner, _ = parts()
    clock = FakeClock()
    spool = Spool(blobs, "r-1", complete=True, monotonic=clock.monotonic)
    found = contribute(spool, blobs, {silo: update(value, BIG) for silo, value in zip(SILOS, (1, 2, 3), strict=True)})
    rot(blobs, spool.area, found["hungary"].payload.digest)
    effect = Combine(Stage.TRAIN, 1, 1, shelf.add("r-1", [model_of(BIG)]), None, found)
    clock.advance(LONG_S + 1)
    with pytest.raises(DigestError, match=f"{found['hungary'].payload.digest} has rotted"):
        combiner.combine(effect, plan_of(), "r-1", spool)


def test_evaluating_makes_metrics_and_no_model():
    blobs, _, combiner, spool = parts()
    found = contribute(spool, blobs, {silo: evaluated() for silo in SILOS})
    made = combiner.combine(Combine(Stage.EVALUATE, 2, 1, None, None, found), plan_of(), "r-1", spool)
    assert (made.model, made.measured.round, list(made.measured.silos)) == (None, 2, list(SILOS))


def test_a_result_that_overflows_is_an_error_and_leaves_no_state_behind():
    blobs, shelf, combiner, spool = parts()
    base = shelf.add("r-1", [model_of(BIG)])
    with pytest.raises(TensorError, match="not finite"):
        train(combiner, spool, blobs, adam_plan(), base, None, BIG, value=3e38)
    assert not blobs._areas.get(optimizer_area("r-1"))
    assert list(blobs._areas["models-r-1"]) == [base.digest]


class FullForStates(MemoryBlobs):
    def put(self, area, data, *, durable, digest="", limit=0):
        if area.startswith("optimizer-"):
            next(iter(data))
            raise SeptumError("no space left on device")
        return super().put(area, data, durable=durable, digest=digest, limit=limit)


@pytest.mark.parametrize("width", [3, BIG])
def test_a_state_that_cannot_be_stored_fails_the_round_and_hangs_nobody(width):
    blobs, shelf, combiner, spool = parts(FullForStates())
    base = shelf.add("r-1", [model_of(width)])
    before = threading.active_count()
    with pytest.raises(SeptumError, match="no space left"):
        train(combiner, spool, blobs, adam_plan(), base, None, width)
    assert threading.active_count() == before


def test_a_lost_payload_is_named():
    _, shelf, combiner, spool = parts()
    base = shelf.add("r-1", [model_of(3)])
    lost = {"hungary": Contribution(Blob(blob_of(b"x").digest, 1), 10)}
    with pytest.raises(NotFoundError, match=blob_of(b"x").digest):
        combiner.combine(Combine(Stage.TRAIN, 1, 1, base, None, lost), plan_of(), "r-1", spool)


def test_the_shelf_fills_small_models_in_and_reads_them_back_after_a_restart():
    blobs, shelf, _, _ = parts()
    small, large = shelf.add("r-1", [model_of(3)]), shelf.add("r-1", [model_of(BIG)])
    assert small.inline is None
    assert shelf.filled("r-1", small).inline == model_of(3)
    assert Shelf(blobs).filled("r-1", small).inline == model_of(3)
    assert shelf.filled("r-1", large) == large
    assert Shelf(blobs).layout("r-1", large).size_bytes == large.size_bytes
