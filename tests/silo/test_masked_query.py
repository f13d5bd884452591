"""Statistics under masks, with real keys: the answer of the open sum; and the journal stands against differencing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.silo.masked_parts import FOUR, Parts, masked_plan

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.coordinator.combining import Combiner
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import Spool
from septum.errors import SecAggError
from septum.protocol import tensors
from septum.protocol.answering import answer
from septum.protocol.counting import count
from septum.protocol.messages import Masked, Stage, blob_of
from septum.protocol.noisy_answering import noisy_answer
from septum.protocol.noisy_counting import count_with_noise
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.query import Code, Noise, Pair, Query, QueryAnswer, QueryColumn
from septum.protocol.query_combine import SUMMED
from septum.protocol.run_state import Combine, Contribution, Exchange, Step

WHERE = (Stage.PREPARE, 0, 1)
AGE = QueryColumn("age", "years", True, 18.0, 110.0, moments=True, cuts=(50.0,))
SEX = QueryColumn("sex", codes=(Code(0.0, "female"), Code(1.0, "male")))
QUERY = Query((AGE, SEX), (Pair("sex", "age"),))
OTHER = Query((QueryColumn("age", "years", True, 18.0, 110.0, cuts=(40.0, 60.0)),))  # of the same people
APPS = (AppRef("heart", "1", "sha256:" + "a" * 64), AppRef("lungs", "1", "sha256:" + "b" * 64))


def asking(query: Query, silos: tuple[str, ...] = FOUR, app: AppRef = APPS[0]) -> Plan:
    return Plan("p", app, {}, silos, rounds=1, quorum=3, masking=Masking(), query=query)


def rows_of(silo: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(FOUR.index(silo))
    return {"age": rng.integers(30, 70, 40).astype(float), "sex": rng.integers(0, 2, 40).astype(float)}


def masked(parts: Parts, plan: Plan, silo: str) -> Masked:
    assert plan.query is not None
    plain = tensors.encode({SUMMED: count(plan.query, rows_of(silo))})
    result = Masked(*WHERE, "", blob_of(plain))
    return parts.parts[silo].protect(result, plain, 40, parts.folder / f"{silo}.masked")


def begun(folder: Path, plan: Plan, run: str = "r1") -> tuple[Parts, dict, dict]:
    """Keys, shares and masked sums of all silos; their journals outlive the run."""
    parts = Parts(folder, plan, run)
    keys = parts.advertise(where=WHERE)
    parts.work(parts.share(keys, WHERE), WHERE)
    return parts, keys, {silo: masked(parts, plan, silo) for silo in plan.silos}


def told(parts: Parts, plan: Plan, keys: dict, results: dict[str, Masked], silos: tuple[str, ...]) -> QueryAnswer:
    """What the coordinator makes of the sum over these silos."""
    reveals = parts.unmask(parts.agree(silos, WHERE), WHERE)
    said = {silo: one.reveal for silo, one in reveals.items()}
    exchange = Exchange(
        Step.UNMASK,
        {silo: one.roster for silo, one in keys.items()},
        {silo: one.advert for silo, one in keys.items()},
        {},
        tuple(sorted(keys)),
        {},
        said,
    )
    blobs = DirectoryBlobs(parts.folder / "blobs")
    spool, given = Spool(blobs, parts.run, complete=False), {}
    for silo in silos:
        spool.keep(results[silo].payload, (0, 0))
        given[silo] = Contribution(results[silo].payload.without_bytes(), 0)
    effect = Combine(*WHERE, None, None, given, exchange)
    made = Combiner(blobs, Shelf(blobs)).combine(effect, plan, parts.run, spool)
    assert made.model is None
    assert made.answered is not None
    assert made.answered.query == plan.query
    return made.answered.answer


def open_answer(query: Query, silos: tuple[str, ...]) -> QueryAnswer:
    return answer(query, silos, 40 * len(silos), sum(count(query, rows_of(silo)) for silo in silos))


@pytest.mark.parametrize("silos", [FOUR, ("east", "north", "west")])
def test_the_answer_under_masks_is_that_of_the_open_sum_also_when_a_silo_is_lost(tmp_path, silos):
    plan = asking(QUERY)
    parts, keys, results = begun(tmp_path, plan)
    assert told(parts, plan, keys, results, silos) == open_answer(QUERY, silos)


@pytest.mark.parametrize("silos", [FOUR, ("east", "north", "west")])
def test_the_noisy_answer_under_masks_is_that_of_the_open_noisy_sum(tmp_path, silos, monkeypatch):
    """The noise of each silo is in it whoever else is lost."""
    query = replace(QUERY, min_cell=1, noise=Noise(1.0))
    plan = asking(query)
    noisy = {
        silo: count_with_noise(query, rows_of(silo), np.random.default_rng([3, at]).bytes)
        for at, silo in enumerate(FOUR)
    }
    monkeypatch.setattr("tests.silo.test_masked_query.count", lambda _, rows: noisy[silo_of(rows)])
    parts, keys, results = begun(tmp_path, plan)
    found = told(parts, plan, keys, results, silos)
    assert found == noisy_answer(query, silos, sum(noisy[silo] for silo in silos))
    assert found.rows != 40 * len(silos)


def silo_of(rows: dict[str, np.ndarray]) -> str:
    return next(silo for silo in FOUR if (rows_of(silo)["age"] == rows["age"]).all())


def test_what_a_silo_sends_has_none_of_its_numbers(tmp_path):
    plan = asking(QUERY)
    _, _, results = begun(tmp_path, plan)
    for silo in FOUR:
        sent = tensors.decode(results[silo].payload.inline)
        words = sent[f"masked.{SUMMED}"]
        assert words.shape == (QUERY.size, 2)
        own = count(QUERY, rows_of(silo))
        assert not set(words[:, 1].tolist()) & {int(value) for value in own}
        assert own.tobytes() not in results[silo].payload.inline


# --- differencing --------------------------------------------------------------------------------------------------


def test_two_answers_over_almost_the_same_silos_would_tell_what_one_has(tmp_path):
    """The attack, without the journal: another folder is another memory."""
    plan = asking(QUERY)
    answers = []
    for silos in (FOUR, ("east", "north", "west")):
        parts, keys, results = begun(tmp_path / str(len(silos)), plan)
        answers.append(told(parts, plan, keys, results, silos))
    (all_, fewer), south = answers, rows_of("south")["age"]
    assert all_.rows - fewer.rows == 40
    total = all_.rows * all_.columns[0].mean - fewer.rows * fewer.columns[0].mean
    assert total == pytest.approx(south.sum())
    males = all_.columns[1].groups[1] - fewer.columns[1].groups[1]
    assert males == rows_of("south")["sex"].sum()


@pytest.mark.parametrize("again", [QUERY, OTHER])
@pytest.mark.parametrize("app", APPS)
def test_a_silo_that_was_asked_with_all_others_is_not_asked_without_one_whatever_is_asked_then(tmp_path, again, app):
    """Other groups of the same people, or the same people by another app's contract, would tell as much."""
    plan = asking(QUERY)
    parts, keys, results = begun(tmp_path, plan)
    told(parts, plan, keys, results, FOUR)
    parts, _, _ = begun(tmp_path, asking(again, app=app), "r2")
    with pytest.raises(SecAggError, match="what south sent"):
        parts.agree(("east", "north", "west"), WHERE)


def test_the_same_silos_may_be_asked_anything_again(tmp_path):
    plan = asking(QUERY)
    parts, keys, results = begun(tmp_path, plan)
    told(parts, plan, keys, results, FOUR)
    plan = asking(OTHER)
    parts, keys, results = begun(tmp_path, plan, "r2")
    assert told(parts, plan, keys, results, FOUR) == open_answer(OTHER, FOUR)


def test_training_has_a_journal_of_its_own(tmp_path):
    """It is about train rows alone, so sums of it and of a query over other silos differ in more than one silo."""
    parts, keys, results = begun(tmp_path, asking(QUERY))
    told(parts, asking(QUERY), keys, results, FOUR)
    trained = Parts(tmp_path, masked_plan(), "r2")
    keys, _ = trained.up_to_work()
    assert set(trained.agree(("east", "north", "west"))) == {"east", "north", "west"}
