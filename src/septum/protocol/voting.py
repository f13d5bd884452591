"""How does a run go on when its newest model is voted down? From the model before it. See docs/decisions/0016.

A model is measured by the silos when they begin the next round, so the vote on it is counted when that round's sum is
opened. What was trained from a model that is not kept is dropped with it: two rounds are burnt, the one that made it
and the one that found out. The next one has a number of its own, so an app that draws at random draws anew.
"""

from __future__ import annotations

from dataclasses import replace

from septum.protocol import facts, stages
from septum.protocol.facts import ModelMeasured, Votes
from septum.protocol.messages import Outcome, Stage
from septum.protocol.run_state import Discard, Effect, Note, Run
from septum.protocol.stages import Step
from septum.protocol.vote import objection

BURNT = 2  # rounds: the one that made a model which is voted down, and the one that found out


def burnt(run: Run) -> int:
    """How many rounds just before the open one came to nothing."""
    return BURNT if run.burnt and run.previous is None else 0


def voted(run: Run, measured: ModelMeasured) -> ModelMeasured:
    """What was measured, and in it why the model is voted down, if it is."""
    if run.plan.vote is None or not stages.against(run) or run.edges:  # which is about a model that was kept
        return measured
    votes = measured.votes or Votes(0, 0)
    return replace(measured, votes=replace(votes, down=objection(run.plan.vote, votes, run.measured, measured.metrics)))


def put_back(run: Run, stage: Stage, measured: ModelMeasured, notes: tuple[Effect, ...]) -> Step:
    """Go on from the model before. Its next sum is over exactly the silos of the first one: journals refuse others."""
    base, rule, votes = run.previous, run.plan.vote, measured.votes
    assert base is not None
    assert base.model is not None
    assert rule is not None
    assert votes is not None
    run = replace(
        run,
        model=base.model,
        optimizer=base.optimizer,
        finished=run.round,
        previous=None,
        burnt=run.burnt + 1,
        attempt=run.numbered,
        forgiven=run.numbered,
        burned=base.silos,
        burned_later=run.begun,  # should the same model be made once more, its sum was begun over these
        exchange=None,
    )
    notes = (*notes, Note(measured), Note(facts.ModelMade(run.round, base.model)))
    if stage is Stage.EVALUATE:
        reason = f"the last model was voted down ({votes.down}): the one before it is kept"
        return stages.then((run, notes), lambda r: stages.end(r, Outcome.FINISHED, reason))
    if run.burnt >= rule.max_burnt:
        reason = f"{run.burnt} models in a row were voted down, the last one because {votes.down}"
        return stages.then((run, notes), lambda r: stages.end(r, Outcome.FAILED, reason))
    return stages.then((run, (*notes, Discard(stage, measured.round + 1))), stages.open_next)
