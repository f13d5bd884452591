"""What holds in every history of a masked run? Beside what holds in every history (test_run_laws.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from tests.protocol.driving import (
    key_of,
)
from tests.protocol.histories import Moved, World, lives, play

from septum.protocol import facts
from septum.protocol.messages import Agree, Evaluate, Failure, Masked, Prepare, Report, Stage, Train
from septum.protocol.run import instruction
from septum.protocol.run_state import (
    Combine,
    Exchange,
    FromSilo,
    Run,
    Step,
)
from septum.secagg.context import threshold

pytestmark = pytest.mark.laws

laws = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_STEPS = list(Step)


def moves_of(world: World) -> list[Moved]:
    return play(world.run.plan, world.history)


def place_of(run: Run) -> tuple[object, ...]:
    return run.phase, run.round, run.attempt


@laws
@given(lives(masked=True))
def test_nothing_is_combined_without_a_quorum_of_survivors_and_enough_shares_to_unmask_their_sum(world):
    plan, combined = world.run.plan, 0
    for move in moves_of(world):
        for effect in (effect for effect in move.effects if isinstance(effect, Combine)):
            exchange, survivors = effect.exchange, set(effect.contributions)
            assert exchange is not None
            assert len(survivors) >= plan.quorum
            assert len(exchange.reveals) >= threshold(len(plan.silos))
            assert set(exchange.reveals) <= set(exchange.signatures) <= survivors
            assert survivors <= set(exchange.bundled) <= set(exchange.adverts) <= set(plan.silos)
            assert len(set(exchange.rosters.values())) == 1
            combined += 1
    event(f"{min(combined, 4)} combined")


@laws
@given(lives(masked=True))
def test_within_an_attempt_the_cohort_only_shrinks_and_steps_only_go_on(world):
    for move in moves_of(world):
        before, after = move.before, move.after
        if before.exchange is not None and after.exchange is not None and place_of(before) == place_of(after):
            assert set(after.cohort) <= set(before.cohort)
            assert _STEPS.index(after.exchange.step) >= _STEPS.index(before.exchange.step)


@laws
@given(lives(masked=True))
def test_of_one_model_silos_are_asked_to_sign_one_list_of_survivors_ever(world):
    """Two sums over almost the same silos would tell one silo's numbers. Also after the model made of it was lost.

    But for a list that each of its silos was asked to sign and said no to: none of them has written it down.
    """
    asked: dict[str, tuple[str, ...]] = {}
    said_no: dict[tuple[object, ...], set[str]] = {}
    for move in moves_of(world):
        run, base = move.after, move.after.model.digest if move.after.model else ""
        match move:
            case Moved(FromSilo(silo, Failure(attempt=attempt)), Run(exchange=Exchange(step=Step.AGREE)) as before):
                if silo in before.awaited and attempt == before.attempt:
                    said_no.setdefault(place_of(before), set()).add(silo)
        if said_no.get(place_of(move.before), set()) >= set(asked.get(base, ("nobody",))):
            del asked[base]
        for silo in run.plan.silos:
            if isinstance(told := instruction(run, silo), Agree):
                assert asked.setdefault(base, told.survivors) == told.survivors
    event(f"{min(len(asked), 4)} lists")


@laws
@given(lives(masked=True))
def test_an_attempt_after_a_list_was_signed_asks_exactly_its_silos(world):
    for move in moves_of(world):
        opened = [fact for fact in notes_of(move) if isinstance(fact, facts.StageOpened)]
        made = [fact for fact in notes_of(move) if isinstance(fact, facts.ModelMade | facts.ModelLost)]
        if opened and move.before.burned and not made:
            assert opened[0].cohort == move.before.burned
        if move.before.burned and not made:
            assert move.after.burned == move.before.burned


@laws
@given(lives(masked=True))
def test_what_silos_said_in_an_attempt_is_never_of_another_one(world):
    for run in (move.after for move in moves_of(world)):
        exchange = run.exchange or Exchange()
        where = (run.stage or Stage.PREPARE, run.round, run.attempt)
        for silo, advert in exchange.adverts.items():
            assert advert.encryption == key_of(silo, *where)
        for silo, signature in exchange.signatures.items():
            assert signature == 2 * key_of(silo, *where)
        for silo, reveal in exchange.reveals.items():
            assert set(reveal.seeds.values()) == {b"\0" + key_of(silo, *where)}


@laws
@given(lives(masked=True))
def test_work_begins_only_where_each_silo_of_it_has_what_all_the_others_sealed(world):
    """Whether keys and shares were exchanged in the attempt itself or ahead of it."""
    for run in (move.after for move in moves_of(world)):
        for silo in run.plan.silos:
            if isinstance(told := instruction(run, silo), Prepare | Train | Evaluate):
                assert run.exchange.bundled == tuple(sorted(run.exchange.sealed))
                assert set(told.sealed) == set(run.exchange.bundled) - {silo}
                assert silo in run.exchange.bundled
                assert len(run.exchange.bundled) >= run.plan.quorum


@laws
@given(lives(masked=True))
def test_an_attempt_that_begins_with_its_work_was_prepared_by_exactly_its_silos(world):
    begun = 0
    for move in moves_of(world):
        exchange, cohort = move.after.exchange, list(move.after.cohort)
        opened = [fact for fact in notes_of(move) if isinstance(fact, facts.StageOpened)]
        if opened and exchange is not None and exchange.step is Step.WORK:
            assert list(exchange.bundled) == sorted(exchange.adverts) == sorted(exchange.sealed) == cohort
            assert len(set(exchange.rosters.values())) == 1
            assert all(sorted((*to, silo)) == cohort for silo, to in exchange.sealed.items())
            assert move.after.ahead is None
            begun += 1
    event(f"{min(begun, 4)} begun with the work")


@laws
@given(lives())
def test_a_plain_result_never_enters_a_masked_run_nor_a_masked_one_a_plain_run(world):
    wrong = Report if world.run.plan.masking else Masked
    for move in moves_of(world):
        match move.event:
            case FromSilo(_, message) if isinstance(message, wrong):
                assert move.after.reports == move.before.reports
                assert not [fact for fact in notes_of(move) if isinstance(fact, facts.SiloReported)]


def notes_of(move: Moved) -> list[Any]:
    return [effect.fact for effect in move.effects if hasattr(effect, "fact")]
