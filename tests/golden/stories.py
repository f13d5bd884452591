"""Which histories are golden? Each function lives through one; its docstring tells the story. See record.py."""

from __future__ import annotations

import contextlib

from tests.protocol.driving import CLEVELAND, HUNGARY, SWITZERLAND, THREE, Play, blob, plan_of, report_of

from septum.errors import ProtocolError
from septum.protocol.messages import Await, Stage
from septum.protocol.plan import EarlyStopping, Metric


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
)
