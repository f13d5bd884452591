"""A run that asks for statistics: silos prepare their sums, and with the answer it is over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.protocol.test_query import PLAN, QUERY, answered, people

from septum.errors import ProtocolError
from septum.protocol import facts
from septum.protocol.facts import StatisticsMade
from septum.protocol.messages import End, Failure, Join, MakeKeys, Outcome, Prepare, Stage, blob_of
from septum.protocol.privacy import Mode, Strength
from septum.protocol.query import Noise
from septum.protocol.run import create, instruction, step
from septum.protocol.run_state import (
    Combine,
    Combined,
    CombineRefused,
    Discard,
    FromSilo,
    Note,
    Phase,
    Resume,
    Stop,
    Tick,
)
from septum.protocol.run_state import Step as MaskStep
from septum.protocol.views import run_view

ANSWER = StatisticsMade(QUERY, answered(QUERY, people(np.random.default_rng(0), 100)))


def at_work():
    """All silos have joined, and are asked for their sums."""
    run, _ = create("r1", PLAN, 0.0)
    for silo in PLAN.silos:
        run, _ = step(run, FromSilo(silo, Join(PLAN.digest)), 1.0)
    assert run.exchange is not None
    return replace(run, exchange=replace(run.exchange, step=MaskStep.WORK))


def combining():
    return replace(at_work(), combining=True, deadline=None)


def test_silos_make_keys_and_prepare_and_nobody_an_initial_model():
    run, _ = create("r1", PLAN, 0.0)
    for silo in PLAN.silos:
        run, _ = step(run, FromSilo(silo, Join(PLAN.digest)), 1.0)
    assert instruction(run, "a") == MakeKeys(Stage.PREPARE, 0, 1)
    asked = [instruction(at_work(), silo) for silo in PLAN.silos]
    assert [one.initial for one in asked if isinstance(one, Prepare)] == [False] * 3
    assert [one.ahead for one in asked if isinstance(one, Prepare)] == [None] * 3  # nothing follows


def test_with_the_answer_the_run_is_over_and_its_payloads_go():
    run, effects = step(combining(), Combined(Stage.PREPARE, 0, 1, answered=ANSWER), 2.0)
    assert (run.outcome, run.model, run.phase) == (Outcome.FINISHED, None, Phase.ENDED)
    assert [effect.fact for effect in effects if isinstance(effect, Note)] == [
        ANSWER,
        facts.RunEnded(Outcome.FINISHED, ""),
    ]
    assert [effect for effect in effects if isinstance(effect, Discard)] == [Discard(Stage.PREPARE, 0)]
    assert instruction(run, "a") == End(Outcome.FINISHED, "")


def test_an_answer_that_comes_twice_changes_nothing():
    run, _ = step(combining(), Combined(Stage.PREPARE, 0, 1, answered=ANSWER), 2.0)
    assert step(run, Combined(Stage.PREPARE, 0, 1, answered=ANSWER), 3.0) == (replace(run, now=3.0), ())


def test_a_model_is_no_answer():
    with pytest.raises(ProtocolError, match="asks for statistics"):
        step(combining(), Combined(Stage.PREPARE, 0, 1, model=blob_of(b"model")), 2.0)


def test_sums_that_cannot_be_are_tried_again_and_then_the_run_has_failed():
    run = combining()
    for attempt in range(1, PLAN.attempts + 1):
        refused = CombineRefused(Stage.PREPARE, 0, attempt, "it does not add up")
        run, _ = step(replace(run, combining=True), refused, 2.0)
    assert run.outcome is Outcome.FAILED
    assert "it does not add up" in run.reason


def test_one_that_was_stopped_asks_anew_when_it_is_resumed():
    run, _ = step(at_work(), Stop(), 2.0)
    assert run.outcome is Outcome.STOPPED
    run, _ = step(run, Resume(), 3.0)
    assert run.outcome is None
    for silo in PLAN.silos:
        run, _ = step(run, FromSilo(silo, Join(PLAN.digest)), 4.0)
    assert (run.phase, run.attempt) == (Phase.PREPARE, 2)


def test_a_silo_that_cannot_count_is_waited_for_no_longer():
    run = at_work()
    run, _ = step(run, FromSilo("a", Failure(Stage.PREPARE, 0, 1, "no table")), 2.0)
    assert "a" not in run.awaited
    run, effects = step(run, Tick(), 1e9)
    assert not [effect for effect in effects if isinstance(effect, Combine)]


def test_a_query_with_noise_promises_its_epsilon_to_each_silos_rows():
    assert run_view(at_work(), created_at=1.0).privacy is None
    plan = replace(PLAN, query=replace(QUERY, min_cell=1, noise=Noise(2.0, 1e-6)))
    run, _ = create("r1", plan, 0.0)
    promised = run_view(run, created_at=1.0).privacy
    assert (promised.mode, promised.strength) == (Mode.RECORD, Strength.ENFORCED)
    assert (dict(promised.epsilon), promised.delta) == (dict.fromkeys(PLAN.silos, 2.0), 1e-6)
