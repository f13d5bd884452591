"""What holds in every history of a run?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from tests.protocol.driving import Play, answer_of, masked_plan_of, plan_of
from tests.protocol.histories import SILOS, World, effects_of, is_over, lives, plans, play, serve

from septum.protocol import stages
from septum.protocol.closing import ENOUGH_S, enough
from septum.protocol.codec import dumps, from_json, loads, to_json, to_tagged_json, union_from_json
from septum.protocol.facts import ModelLost as ModelLostFact
from septum.protocol.facts import ModelMade, RunEnded, RunResumed, SiloReported, StageOpened
from septum.protocol.facts import PayloadsLost as PayloadsLostFact
from septum.protocol.messages import (
    Await,
    Barrier,
    Blob,
    Evaluate,
    Failure,
    Join,
    Leave,
    Outcome,
    Prepare,
    Refuse,
    Stage,
    Train,
)
from septum.protocol.plan import Plan
from septum.protocol.run import create, instruction
from septum.protocol.run_state import (
    Combine,
    Combined,
    CombineFailed,
    Dequeue,
    Discard,
    Effect,
    Event,
    Exchange,
    FromSilo,
    ModelLost,
    Note,
    PayloadsLost,
    Phase,
    Presence,
    Resume,
    Run,
    Step,
    Tick,
)

pytestmark = pytest.mark.laws

laws = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_STAGES = list(Stage)


def _work(stage: Stage, round_: int, attempt: int) -> tuple[int, int, int]:
    return _STAGES.index(stage), round_, attempt


def _step_of(run: Run) -> Step | None:
    return None if run.exchange is None else run.exchange.step


def steps_in(plan: Plan) -> int:
    """How often everybody has to answer in one attempt."""
    return 1 if plan.masking is None else len(Step)


def answered_in(run: Run) -> list[str]:
    """Who has said what the step at hand asks for."""
    if run.exchange is None or run.exchange.step is Step.WORK:
        return list(run.reports)
    said = {"keys": "adverts", "shares": "sealed", "agree": "signatures", "unmask": "reveals"}
    return list(getattr(run.exchange, said[run.exchange.step.value]))


def _notes(effects: list[Effect], kind: type | tuple[type, ...]) -> list[Any]:
    return [effect.fact for effect in effects if isinstance(effect, Note) and isinstance(effect.fact, kind)]


# --- each round once and in order ----------------------------------------------------------------------------------


@laws
@given(lives())
def test_every_history_makes_each_model_once_and_in_order_unless_the_disk_loses_it(world):
    effects = effects_of(play(world.run.plan, world.history))

    rounds: list[int] = []
    for fact in _notes(effects, (ModelMade, ModelLostFact)):
        if isinstance(fact, ModelLostFact):
            assert fact.round == rounds.pop()
        else:
            assert fact.round == len(rounds)
            rounds.append(fact.round)

    event(f"{len(rounds)} models, {world.run.phase.value}")
    assert len(rounds) <= world.run.plan.rounds + 1
    assert world.run.finished == max(0, len(rounds) - 1)
    assert (world.run.model is None) == (not rounds)


@laws
@given(lives())
def test_a_lost_model_is_followed_by_the_one_before_it(world):
    models: list[Blob | None] = [None]
    for step in play(world.run.plan, world.history):
        for fact in _notes(list(step.effects), (ModelMade, ModelLostFact)):
            if isinstance(fact, ModelMade):
                models.append(fact.model)
            else:
                models.pop()
        assert step.after.model == models[-1]


@laws
@given(lives())
def test_attempts_are_opened_in_order_and_none_twice(world):
    """A model that the disk lost takes a run back, to attempts that its round has not had."""
    works: list[tuple[int, int, int]] = []
    had: set[tuple[int, int, int]] = set()
    for fact in _notes(effects_of(play(world.run.plan, world.history)), (StageOpened, ModelLostFact)):
        if isinstance(fact, ModelLostFact):
            works = []
        else:
            works.append(_work(fact.stage, fact.round, fact.attempt))
            assert works[-1] not in had
            had.add(works[-1])
            assert works == sorted(works)


@laws
@given(lives())
def test_reports_are_combined_once_an_attempt_unless_combining_failed_or_lost_a_payload(world):
    moved = play(world.run.plan, world.history)
    for before, step_ in ((step.before, step) for step in moved):
        for combine in (effect for effect in step_.effects if isinstance(effect, Combine)):
            repeated = before.combining
            by_operator = isinstance(step_.event, Resume) and before.reason
            of_the_rest = isinstance(step_.event, PayloadsLost)
            assert not repeated or by_operator or of_the_rest or (isinstance(step_.event, Tick) and before.retrying)
            assert (combine.stage, combine.round, combine.attempt) == (
                step_.after.stage,
                step_.after.round,
                step_.after.attempt,
            )


@laws
@given(lives())
def test_contributions_are_the_accepted_reports_of_the_cohort_in_canonical_order(world):
    effects = effects_of(play(world.run.plan, world.history))
    cohorts = {_work(f.stage, f.round, f.attempt): f.cohort for f in _notes(effects, StageOpened)}
    accepted: dict[tuple[int, int, int], list[str]] = {work: [] for work in cohorts}
    for effect in effects:
        match effect:
            case Note(SiloReported() as fact):
                accepted[_work(fact.stage, fact.round, fact.attempt)].append(fact.silo)
                continue
            case Note(PayloadsLostFact() as fact):
                for silo in fact.silos:
                    accepted[_work(fact.stage, fact.round, fact.attempt)].remove(silo)
                continue
            case Combine() as combine:
                work = _work(combine.stage, combine.round, combine.attempt)
            case _:
                continue
        assert list(combine.contributions) == sorted(accepted[work])
        assert set(combine.contributions) <= set(cohorts[work])
        of_any = combine.stage is Stage.EVALUATE and combine.exchange is None
        assert len(combine.contributions) >= (1 if of_any else world.run.plan.quorum)
        if combine.stage is Stage.PREPARE and combine.exchange is None:
            assert cohorts[work][(combine.attempt - 1) % len(cohorts[work])] in combine.contributions


@laws
@given(lives())
def test_only_the_result_of_this_attempt_becomes_the_model(world):
    for step in play(world.run.plan, world.history):
        if step.after.model != step.before.model and not isinstance(step.event, ModelLost):
            assert isinstance(step.event, Combined)
            assert step.before.combining
            assert (step.event.round, step.event.attempt) == (step.before.round, step.before.attempt)


@laws
@given(lives())
def test_a_run_ends_once_in_each_life(world):
    effects = effects_of(play(world.run.plan, world.history))
    for one, next_ in pairwise(_notes(effects, (RunEnded, RunResumed))):
        assert not (isinstance(one, RunEnded) and isinstance(next_, RunEnded))


# --- delivery ------------------------------------------------------------------------------------------------------


@laws
@given(lives())
def test_delivering_everything_twice_changes_nothing(world):
    once = play(world.run.plan, world.history)
    twice = play(world.run.plan, [moment for moment in world.history for _ in range(2)])

    assert effects_of(twice) == effects_of(once)
    assert twice[-1:] == [] or twice[-1].after == once[-1].after


@laws
@given(plan=plans(), seed=st.integers(0, 2**32))
def test_any_order_of_delivery_with_any_repeats_makes_the_same_models(plan, seed):
    """Requests race, break and are sent again; while no deadline passes, the result is that of the orderly run."""
    plan, network = replace(plan, early_stopping=None), Random(seed)
    orderly = Play(plan).open(Stage.EVALUATE, plan.rounds)
    orderly.finish_stage()
    world = World(create("run-1", plan, 0.0)[0])

    while not is_over(world.run):
        if world.history and network.random() < 0.4:
            world.deliver(network.choice(world.history)[0])
        elif world.run.combining:
            world.move(("combine", 6, 0.0))
        else:
            silo = network.choice(world.run.awaited or plan.silos)
            world.move(("work" if world.run.stage else "join", plan.silos.index(silo), 0.0))

    made = _notes(effects_of(play(plan, world.history)), ModelMade)
    assert made == orderly.facts_of(ModelMade)
    assert world.run.measured is not None


@laws
@given(world=lives(), data=st.data())
def test_work_of_another_attempt_is_never_counted(world, data):
    assume(world.sent)
    for _ in range(5):
        repeat, run = data.draw(st.sampled_from(world.sent)), world.run
        match repeat.message:
            case Join() | Await() | Leave() | Refuse():
                continue
            case work if (work.stage, work.round, work.attempt) != (run.stage, run.round, run.attempt):
                world.deliver(repeat)
                assert world.run.reports in ({}, run.reports)
                assert world.run.failures in ({}, run.failures)
                assert world.run.exchange in (None, Exchange(), run.exchange)


@laws
@given(plan=plans(), stage=st.sampled_from(Stage), data=st.data())
def test_the_order_of_events_at_one_barrier_changes_neither_the_state_nor_what_is_combined(plan, stage, data):
    plan = replace(plan, early_stopping=None)
    start = Play(plan).open(stage, {Stage.PREPARE: 0, Stage.TRAIN: 1}.get(stage, plan.rounds))
    if plan.masking is not None:
        start.on_to(data.draw(st.sampled_from(Step)))
    run = start.run
    said = []
    for silo in run.cohort:
        failure = Failure(run.stage, run.round, run.attempt, f"{silo} raised")
        choice = data.draw(st.sampled_from([answer_of(run, silo)] * 2 + [failure, Leave("maintenance")]))
        said += [FromSilo(silo, choice)] * data.draw(st.integers(1, 2))

    outcomes = []
    for order in (said, data.draw(st.permutations(said))):
        world = World(run, now=start.now)
        for each in order:
            world.deliver(each)
        outcomes.append((world.run, world.combines))

    assert outcomes[0] == outcomes[1]
    assert all(list(combine.contributions) == sorted(combine.contributions) for combine in outcomes[1][1])


@laws
@given(plan=plans(), data=st.data())
def test_the_order_in_which_silos_join_changes_nothing(plan, data):
    runs = []
    for order in (plan.silos, data.draw(st.permutations(plan.silos))):
        play_ = Play(plan)
        play_.join(*order)
        runs.append(play_.run)

    assert runs[0] == runs[1]


# --- states --------------------------------------------------------------------------------------------------------


def waits(run):
    return run.phase is Phase.QUEUED


@laws
@given(lives())
def test_in_every_state_something_can_happen(world):
    """A run that has not ended waits for a deadline, for its reports, in the queue, or for its operator."""
    for run in (step.after for step in play(world.run.plan, world.history)):
        assert (run.phase is Phase.ENDED) == is_over(run)
        if run.retrying:
            assert run.paused
            assert run.combining or run.deadline is None
        else:
            assert (run.deadline is None) == (is_over(run) or run.paused or run.combining or waits(run))
        assert (run.remaining_s is not None) == (run.paused and not run.combining and not waits(run))
        if run.stage is not None:
            assert run.combining == (run.awaited == ())


@laws
@given(lives())
def test_who_is_awaited_has_answered_or_has_failed_are_three_parts_of_the_cohort(world):
    """In a masked run those who failed in an earlier step are in the cohort no more."""
    for run in (step.after for step in play(world.run.plan, world.history)):
        failures = run.failures if run.exchange is None else run.failures.keys() & set(run.cohort)
        parts = [*run.awaited, *answered_in(run), *failures]
        assert sorted(parts) == list(run.cohort)
        assert set(run.awaited) <= set(run.active)
        if run.stage is None:
            assert run.cohort == ()


@laws
@given(lives())
def test_time_and_deadlines_never_go_back(world):
    for step in play(world.run.plan, world.history):
        before, after = step.before, step.after
        assert after.now >= before.now
        same = (before.phase, before.round, before.attempt) == (after.phase, after.round, after.attempt)
        hurried = enough(after) or stages.is_hopeless(after)
        if same and before.deadline is not None and after.deadline is not None and not hurried:
            assert after.deadline >= before.deadline or _step_of(before) is not _step_of(after)
        if after.deadline is not None:
            assert after.deadline - after.now <= max(after.plan.gather_s, after.plan.deadline_s)
            assert after.combining or not enough(after) or after.deadline - after.now <= ENOUGH_S


@laws
@given(lives())
def test_an_illegal_event_changes_nothing(world):
    run, _ = create("run-1", world.run.plan, 0.0)
    for step in play(world.run.plan, world.history):
        before = dumps(to_json(step.before))
        if step.illegal:
            assert step.after == step.before
            assert dumps(to_json(step.before)) == before == dumps(to_json(run))
        run = step.after


@laws
@given(lives())
def test_no_event_changes_the_state_it_was_given(world):
    """States are shared with whoever reads them: a step makes a new one."""
    runs: list[tuple[Run, bytes]] = []
    for step in play(world.run.plan, world.history):
        runs.append((step.before, dumps(to_json(step.before))))

    assert all(dumps(to_json(run)) == seen for run, seen in runs)


@settings(laws, max_examples=30)
@given(lives())
def test_states_events_and_effects_survive_the_store(world):
    for step in play(world.run.plan, world.history):
        assert from_json(Run, loads(dumps(to_json(step.after)))) == step.after
        assert union_from_json(Event, loads(dumps(to_tagged_json(step.event)))) == step.event
        for effect in step.effects:
            assert union_from_json(Effect, loads(dumps(to_tagged_json(effect)))) == effect


# --- instructions --------------------------------------------------------------------------------------------------


@laws
@given(lives())
def test_no_silo_is_asked_for_work_that_it_has_reported(world):
    done: set[tuple[str, object]] = set()
    for step in play(world.run.plan, world.history):
        done |= {
            (fact.silo, _work(fact.stage, fact.round, fact.attempt))
            for fact in _notes(list(step.effects), SiloReported)
        }
        for lost in _notes(list(step.effects), PayloadsLostFact):
            done -= {(silo, _work(lost.stage, lost.round, lost.attempt)) for silo in lost.silos}
        for silo in step.after.plan.silos:
            match instruction(step.after, silo):
                case Prepare(attempt=attempt):
                    assert (silo, _work(Stage.PREPARE, 0, attempt)) not in done
                case Train(round=round_, attempt=attempt):
                    assert (silo, _work(Stage.TRAIN, round_, attempt)) not in done
                case Evaluate(round=round_, attempt=attempt):
                    assert (silo, _work(Stage.EVALUATE, round_, attempt)) not in done


@laws
@given(lives())
def test_only_awaited_silos_of_a_run_that_is_not_paused_are_asked_for_work(world):
    for run in (step.after for step in play(world.run.plan, world.history)):
        asked = {s for s in run.plan.silos if isinstance(instruction(run, s), Prepare | Train | Evaluate)}
        steps = {s for s in run.plan.silos if isinstance(instruction(run, s), Barrier)}
        awaited = set() if run.paused else set(run.awaited)
        at_work = _step_of(run) in (None, Step.WORK)
        assert (asked, steps) == ((awaited, set()) if at_work else (set(), awaited))
        if run.stage is Stage.PREPARE and at_work and asked and len(run.awaited) == len(run.cohort):
            assert [instruction(run, silo).initial for silo in run.cohort].count(True) == 1


@laws
@given(lives())
def test_a_silo_that_refused_is_not_asked_again_in_the_same_life(world):
    for run in (step.after for step in play(world.run.plan, world.history)):
        refused = {silo for silo, presence in run.presence.items() if presence is Presence.REFUSED}
        assert not refused & set(run.awaited)


# --- an end --------------------------------------------------------------------------------------------------------


def _let_go_on(world: World) -> None:
    if world.run.paused or world.run.outcome in (Outcome.STOPPED, Outcome.FAILED):
        world.deliver(Resume())
    if waits(world.run):
        world.deliver(Dequeue())
    if world.run.combining:
        world.move(("combine", 6, 0.0))


@laws
@given(lives())
def test_when_all_silos_are_silent_a_run_ends_after_a_bounded_time(world):
    _let_go_on(world)
    start, plan = world.run.now, world.run.plan

    while not is_over(world.run):
        if world.run.combining:
            world.move(("combine", 6, 0.0))
        else:
            world.now = world.run.deadline
            world.move(("tick", 0, 0.0))
        barrier_s = 0.0 if plan.masking is None else plan.masking.barrier_s
        assert world.run.now - start <= 2 * (plan.gather_s + plan.deadline_s + barrier_s)


@laws
@given(world=lives(), data=st.data())
def test_when_all_silos_keep_answering_a_run_finishes(world, data):
    assume(Presence.REFUSED not in world.run.presence.values() and world.run.outcome is not Outcome.FINISHED)
    world.move(("stop", 0, 0.0))
    world.deliver(Resume())  # with all attempts again

    for _ in range((2 * world.run.plan.rounds + 6) * steps_in(world.run.plan)):
        order = data.draw(st.permutations(world.run.plan.silos))
        serve(world, order)
        world.move(("tick", 0, 1.0))

    assert world.run.outcome is Outcome.FINISHED


@laws
@given(quorum=st.integers(1, 3), rounds=st.integers(1, 3), masked=st.booleans(), data=st.data())
def test_when_a_quorum_keeps_answering_a_run_finishes_whatever_the_others_do(quorum, rounds, masked, data):
    """The faithful come first in the plan, so one of them makes the initial model within the attempts."""
    quorum = 3 if masked else quorum
    plan = (masked_plan_of if masked else plan_of)(SILOS, quorum=quorum, rounds=rounds, attempts=len(SILOS))
    faithful, others = SILOS[:quorum], SILOS[quorum:]
    world = World(create("run-1", plan, 0.0)[0])

    pause_s = 19.0 if masked else 61.0  # the faithful answer within the 20 s of a masked step, whoever opens it
    for _ in range((4 * rounds + 20) * 3 * steps_in(plan)):
        serve(world, faithful)
        others_do = st.sampled_from(["work", "fail", "leave", "join", "silent", "refuse"])
        for silo in others:
            name = data.draw(others_do)
            if name != "silent":
                world.move((name, SILOS.index(silo), 0.0))
        if world.run.combining:
            world.move(("combine", 6, 0.0))
        world.now += pause_s
        world.move(("tick", 0, 0.0))
        if is_over(world.run):
            break

    assert world.run.outcome is Outcome.FINISHED
    assert world.run.finished == rounds


@laws
@given(world=lives())
def test_effects_that_wait_belong_to_the_state(world):
    """What is in the outbox when the coordinator dies can be performed after it: the state still knows it."""
    for step in play(world.run.plan, world.history):
        for effect in step.effects:
            if isinstance(effect, Combine):
                assert step.after.combining
                assert effect.base == step.after.model
            if isinstance(effect, Discard):
                assert (effect.stage, effect.round) != (step.after.stage, step.after.round)
        if isinstance(step.event, CombineFailed):
            assert step.after.combining == step.before.combining
