"""Which histories are golden? Each function lives through one; its docstring tells the story. See record.py."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from tests.protocol.driving import (
    APP,
    CLEVELAND,
    FOUR,
    HUNGARY,
    OTHER_ROSTER,
    SWITZERLAND,
    THREE,
    Play,
    answer_of,
    blob,
    masked_plan_of,
    plan_of,
    report_of,
    result_of,
)

from septum.errors import ProtocolError
from septum.protocol.facts import SiloModel, StatisticsMade
from septum.protocol.messages import Await, Stage
from septum.protocol.plan import EarlyStopping, Masking, Metric, Plan, Private, Start, Vote
from septum.protocol.priority import Priority
from septum.protocol.query import ColumnAnswer, Query, QueryAnswer, QueryColumn
from septum.protocol.run_state import (
    Combined,
    CombineRefused,
    Dequeue,
    ModelLost,
    PayloadsLost,
    Prioritise,
    Resume,
    Step,
)


def happy_path() -> Play:
    """Three silos join, prepare, train two rounds and measure the last model."""
    play = Play()
    play.now = 1.5
    play.join(SWITZERLAND, CLEVELAND, HUNGARY)
    for value in (0.0, 0.61, 0.72, 0.81):
        play.now += 2.25
        play.report(*play.run.awaited)
        play.combine(accuracy=value, roc_auc=value + 0.1)
    return play


def straggler_and_deadline() -> Play:
    """Hungary misses the deadline of round 1; its late report brings it back, and counts for nothing."""
    play = Play().open(Stage.TRAIN, 1)
    late = report_of(play.run, HUNGARY)
    play.report(CLEVELAND, SWITZERLAND)
    play.after(99.5)
    play.after(1.0)
    play.combine()
    play.says(HUNGARY, late)
    play.report(CLEVELAND, SWITZERLAND)
    play.combine()
    play.finish_stage()
    return play


def a_silo_leaves_and_returns() -> Play:
    """Switzerland joins late, leaves in round 1, returns, and trains in round 2; a stranger is sent away."""
    play = Play()
    play.join(CLEVELAND, HUNGARY)
    play.after(60.0)
    play.join(SWITZERLAND)
    play.finish_stage()
    play.report(CLEVELAND)
    play.leave(SWITZERLAND, "backup")
    with contextlib.suppress(ProtocolError):
        play.says("zurich", Await())
    play.here(SWITZERLAND)
    play.report(HUNGARY)
    play.combine()
    play.finish_stage()
    play.finish_stage()
    return play


def masked_models_are_voted_down() -> Play:
    """The model of round 1 is voted down in round 2, that of round 4 is worse over all rows, the last one is kept."""
    play = Play(masked_plan_of(rounds=6, vote=Vote())).open(Stage.TRAIN, 1)
    play.finish_voted(0, 0)
    play.finish_voted(1)
    play.finish_voted(0, 0, log_loss=0.7)
    play.finish_voted(3, log_loss=0.65)
    play.finish_voted(4, log_loss=0.85)
    play.finish_voted(0, 0)
    play.finish_voted(3)
    return play


def stop_and_resume() -> Play:
    """Stopped while round 2 was combined; resumed, the result of the life before is not taken, and the run finishes."""
    play = Play().open(Stage.TRAIN, 2)
    play.report(*THREE)
    play.after(3.0)
    play.stop()
    old = play.combine()
    play.after(3600.0)
    play.resume()
    play.here(CLEVELAND)
    play.join(HUNGARY, SWITZERLAND)
    play.do(old)
    play.finish_stage()
    play.finish_stage()
    return play


def early_stopping() -> Play:
    """Of fifty rounds it takes four: the log loss has not improved for two models in a row."""
    play = Play(plan_of(rounds=50, early_stopping=EarlyStopping(Metric.LOG_LOSS, 2, 0.01))).open(Stage.TRAIN, 1)
    for value in (0.7, 0.6, 0.595, 0.61):
        play.finish_stage(log_loss=value)
    play.finish_stage(log_loss=0.6)
    return play


def quorum_lost_and_failed() -> Play:
    """Cleveland refuses, Hungary's app raises, then Hungary leaves: the run gathers again, and nobody comes."""
    play = Play().open(Stage.TRAIN, 1)
    play.refuse(CLEVELAND, "the project's approval was withdrawn")
    play.fail(HUNGARY, "ValueError: the loss is not finite")
    play.report(SWITZERLAND)
    play.leave(HUNGARY, "maintenance")
    play.report(SWITZERLAND)
    play.after(59.0)
    play.after(1.0)
    return play


def pause_over_a_deadline() -> Play:
    """A pause outlasts the deadline; the reports under way are kept, and the rest of the time is given after it."""
    play = Play().open(Stage.TRAIN, 1)
    play.after(30.0)
    play.report(CLEVELAND)
    play.pause()
    play.after(500.0)
    play.report(HUNGARY)
    play.resume()
    play.after(69.0)
    play.after(1.0)
    play.combine()
    return play


def combining_fails_once() -> Play:
    """The coordinator's disk is full: the run pauses with that reason, and combines again when it is resumed."""
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    play.combine_fails("no space left on device")
    play.after(600.0)
    play.resume()
    play.combine()
    return play


def the_initial_model_is_made_by_the_next_silo() -> Play:
    """Cleveland cannot prepare, so Hungary makes the initial model; a report from another model is turned away."""
    play = Play()
    play.join(*THREE)
    play.report(HUNGARY, SWITZERLAND)
    play.fail(CLEVELAND, "DataError: heart.csv has no column 'chol'")
    play.report(HUNGARY, SWITZERLAND)
    play.fail(CLEVELAND, "DataError: heart.csv has no column 'chol'")
    play.combine()
    with contextlib.suppress(ProtocolError):
        play.report(CLEVELAND, base=blob("another model").digest)
    play.finish_stage()
    return play


def problems_are_told_until_the_next_report() -> Play:
    """Switzerland misses a deadline, and reports again; what ails Hungary and Cleveland is still told."""
    play = Play(plan_of(attempts=4)).open(Stage.TRAIN, 1)
    play.report(CLEVELAND, HUNGARY)
    play.after(100.0)
    play.combine()
    play.here(SWITZERLAND)
    play.fail(HUNGARY, "ValueError: the loss is not finite")
    play.leave(CLEVELAND, "maintenance until 06:00")
    play.after(60.0)
    play.report(SWITZERLAND)
    return play


def masked_happy_path() -> Play:
    """Two silos train one round in masked steps and measure the model; what came late or twice changes nothing."""
    play = Play(masked_plan_of((CLEVELAND, HUNGARY), rounds=1))
    play.join(HUNGARY, CLEVELAND)
    while play.run.outcome is None:
        play.now += 0.25
        said = answer_of(play.run, CLEVELAND)
        play.says(CLEVELAND, said)
        play.says(CLEVELAND, said)
        play.answer(HUNGARY)
        if play.run.combining:
            play.combine(accuracy=0.75)
    return play


def masked_silos_drop_out_at_every_step() -> Play:
    """One silo has another roster, one is late with its work, one leaves after it; the sum is over the rest."""
    silos = (*FOUR, "zurich")
    play = Play(masked_plan_of(silos, quorum=4, rounds=1))
    play.join(*silos)
    play.answer("zurich", roster=OTHER_ROSTER)
    play.answer(*FOUR)
    play.on_to(Step.UNMASK)
    play.answer(CLEVELAND, HUNGARY, SWITZERLAND)
    play.after(0.5)
    play.answer("long-beach")
    play.combine()
    play.on_to(Step.WORK).answer(*FOUR)
    play.after(100.0)
    play.leave(SWITZERLAND, "maintenance")
    play.answer(CLEVELAND, HUNGARY)
    play.after(20.0)
    return play


def masked_a_sum_that_was_begun_is_asked_of_the_same_silos() -> Play:
    """Three of four are in the sum; a payload is lost, it makes no model, a stop: the same three are asked."""
    play = Play(masked_plan_of(attempts=4)).open(Stage.TRAIN, 1).on_to(Step.WORK)
    play.answer(CLEVELAND, HUNGARY, SWITZERLAND)
    play.after(100.0)
    play.here("long-beach")
    play.do(PayloadsLost(Stage.TRAIN, 1, 1, (HUNGARY,)))
    play.on_to(Step.UNMASK).answer(CLEVELAND, HUNGARY, SWITZERLAND)
    play.do(CombineRefused(Stage.TRAIN, 1, 2, "shares do not fit together"))
    play.on_to(Step.AGREE)
    play.stop()
    play.resume()
    play.here(*FOUR)
    play.finish_stage()
    return play


def masked_a_model_is_lost_while_the_next_sum_is_begun() -> Play:
    """It is made again of all four; then the three over whom the next sum had been begun are asked, and no other."""
    play = Play(masked_plan_of()).open(Stage.TRAIN, 2).on_to(Step.WORK)
    play.answer(CLEVELAND, HUNGARY, SWITZERLAND)
    play.after(100.0)
    play.here("long-beach")
    assert play.run.model is not None
    play.do(ModelLost(play.run.model.digest, "rotten"))
    play.finish_stage()
    play.finish_stage()
    return play


def private_parameters_and_models_personalised() -> Play:
    """The plan names what is each silo's own; the run goes on as any other, and what is private is not in it."""
    private = Private(("head.*", "norm?"), Start.CONTINUE, personalise=3)
    play = Play(plan_of(private=private))
    play.join(SWITZERLAND, CLEVELAND, HUNGARY)
    for _ in range(4):
        play.finish_stage()
    return play


def masked_a_query_is_answered_by_those_who_are_left() -> Play:
    """One silo refuses; the first sum cannot be and is tried again, over the same silos; with the answer it is over."""
    query = Query((QueryColumn("age", "years", True, 0.0, 120.0, moments=True, cuts=(60.0,)),))
    play = Play(Plan("heart", APP, {}, FOUR, rounds=1, quorum=3, deadline_s=100.0, masking=Masking(), query=query))
    play.join(CLEVELAND, HUNGARY, SWITZERLAND)
    play.refuse("long-beach", "no queries about this app")
    play.on_to(Step.UNMASK).answer(CLEVELAND, HUNGARY, SWITZERLAND)
    play.do(CombineRefused(Stage.PREPARE, 0, 1, "it does not add up"))
    play.stop()
    play.resume()
    play.here(CLEVELAND, HUNGARY, SWITZERLAND)
    while not play.run.combining:
        play.answer(*play.run.awaited)
    column = ColumnAnswer("age", 60, 0, 52.5, 9.25, groups=(40, 20))
    answer = QueryAnswer(60, (CLEVELAND, HUNGARY, SWITZERLAND), (column,))
    play.do(Combined(Stage.PREPARE, 0, play.run.attempt, answered=StatisticsMade(query, answer)))
    return play


def refusals_are_gathered_before_a_run_fails() -> Play:
    """Two of three refuse, and the third is heard as well; after a resume it is away, and nobody waits for it."""
    play = Play(plan_of(quorum=2))
    play.refuse(CLEVELAND)
    play.now += 1.0
    play.refuse(HUNGARY)
    play.now += 1.0
    play.join(SWITZERLAND)
    play.resume()
    play.refuse(HUNGARY, "too few rows")
    play.refuse(CLEVELAND)
    return play


def a_run_waits_in_the_queue() -> Play:
    """It is stopped in round 2 and resumed into the queue: silos that knock are sent away, its priority goes up."""
    play = Play().open(Stage.TRAIN, 2)
    play.stop()
    play.do(Resume(queued_at=1_800_000_000.25))
    play.here(CLEVELAND)
    play.refuse(HUNGARY)
    play.do(Prioritise(Priority.HIGH))
    play.after(10_000)
    play.do(Dequeue())
    play.join(CLEVELAND, SWITZERLAND)
    play.finish_stage()
    play.finish_stage()
    return play


def silos_own_models_are_kept() -> Play:
    """Each silo's own model of both rounds is kept; Hungary misses the second, so of it there is none of that round."""
    play = Play(plan_of(keep_silo_models=True, quorum=2))
    play.join(SWITZERLAND, CLEVELAND, HUNGARY)
    play.finish_stage()
    for silos in (THREE, (CLEVELAND, SWITZERLAND)):
        play.report(*silos)
        if not play.run.combining:
            play.after(100.5)
        effect = play.combines[-1]
        kept = {
            silo: SiloModel(blob(f"{silo} {effect.round}"), given.payload, 0.5 * effect.round)
            for silo, given in effect.contributions.items()
        }
        play.do(replace(result_of(effect), kept=kept))
    play.finish_stage()
    return play


STORIES = (
    happy_path,
    straggler_and_deadline,
    a_silo_leaves_and_returns,
    stop_and_resume,
    early_stopping,
    quorum_lost_and_failed,
    pause_over_a_deadline,
    combining_fails_once,
    the_initial_model_is_made_by_the_next_silo,
    problems_are_told_until_the_next_report,
    masked_happy_path,
    masked_silos_drop_out_at_every_step,
    masked_a_sum_that_was_begun_is_asked_of_the_same_silos,
    masked_a_model_is_lost_while_the_next_sum_is_begun,
    masked_models_are_voted_down,
    private_parameters_and_models_personalised,
    masked_a_query_is_answered_by_those_who_are_left,
    refusals_are_gathered_before_a_run_fails,
    a_run_waits_in_the_queue,
    silos_own_models_are_kept,
)
