"""How a run goes on when a model is voted down: from the model before, over the same silos, and not for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.driving import CLEVELAND, FOUR, HUNGARY, Play, masked_plan_of, plan_of

from septum.errors import ConfigError
from septum.protocol import facts
from septum.protocol.facts import ModelMade, ModelMeasured, Votes
from septum.protocol.messages import Outcome, Stage
from septum.protocol.plan import EarlyStopping, Vote
from septum.protocol.run_state import ModelLost, Phase
from septum.protocol.views import models_of


def play(rounds: int = 6, **changes: Any) -> Play:
    return Play(masked_plan_of(rounds=rounds, vote=Vote(), **changes)).open(Stage.TRAIN, 1)


def finish(run: Play, accepts: int = 4, voters: int = 4, log_loss: float = 0.7) -> None:
    run.finish_voted(accepts, voters, log_loss=log_loss)


def on_to_work(run: Play) -> None:
    while not run.run.at_work:
        run.answer(*run.run.awaited)


def asked(run: Play) -> Any:
    on_to_work(run)
    return run.asked()[CLEVELAND]


def test_the_first_model_is_not_voted_on_and_each_later_one_against_the_one_before():
    run = play(rounds=2)
    first = run.run.model
    assert asked(run).against == ""
    finish(run, accepts=0, voters=0)
    second = run.run.model
    assert (run.run.round, asked(run).against) == (2, first.digest)
    finish(run)
    assert (run.run.phase, asked(run).against) == (Phase.EVALUATE, second.digest)
    finish(run)
    assert (run.run.outcome, run.run.burnt) == (Outcome.FINISHED, 0)
    assert run.run.previous.model == second


def test_a_model_that_is_voted_down_is_dropped_with_what_was_trained_from_it():
    run = play()
    kept = (run.run.model, run.run.optimizer)
    finish(run, 0, 0)
    bad, ahead_of = run.run.model, run.run.optimizer
    finish(run, accepts=1)
    assert (run.run.model, run.run.optimizer, run.run.measured.log_loss) == (*kept, 0.7)
    assert (run.run.round, run.run.finished, run.run.burnt) == (3, 2, 1)
    work = asked(run)
    assert (work.round, work.model, work.burnt, work.against) == (3, kept[0], 2, "")
    (measured,) = [fact for fact in run.facts_of(ModelMeasured) if fact.round == 1]
    assert measured.votes == Votes(1, 4, "1 of 4 silos accept it")
    assert [made.model for made in run.facts_of(ModelMade)][-2:] == [bad, kept[0]]
    assert ahead_of not in (run.run.optimizer, None)
    assert [view.digest for view in models_of("r", run.facts)] == [kept[0].digest, kept[0].digest]


def test_a_model_that_many_accept_but_that_is_worse_over_all_rows_is_dropped_too():
    run = play()
    kept = run.run.model
    finish(run, 0, 0, log_loss=0.5)
    finish(run, 4, 4, log_loss=0.75)
    assert (run.run.model, run.run.measured.log_loss) == (kept, 0.5)


def test_after_that_a_model_that_is_accepted_is_built_on_and_the_count_begins_again():
    run = play()
    finish(run, 0, 0)
    finish(run, 0)  # rounds 1 and 2 are burnt
    finish(run, 0, 0)  # round 3 trains from the first model again: nothing to vote on
    new = run.run.model
    assert (run.run.round, run.run.burnt, asked(run).burnt) == (4, 1, 0)
    finish(run)
    assert (run.run.round, run.run.burnt, run.run.previous.model) == (5, 0, new)


def test_its_next_sum_is_over_exactly_the_silos_of_the_first_one():
    """Journals refuse another sum about the same model over almost the same silos."""
    run = play()
    on_to_work(run)
    run.leave(HUNGARY)
    three = tuple(silo for silo in FOUR if silo != HUNGARY)
    finish(run, 0, 0)
    assert run.run.cohort == three
    run.here(HUNGARY)
    run.after(0)
    finish(run, 0)
    assert (run.run.round, run.run.burned) == (3, three)
    assert run.run.cohort == three
    assert HUNGARY in run.run.active


def test_after_so_many_in_a_row_the_run_fails_and_says_why_with_the_last_good_model():
    run = play(rounds=20)
    kept = run.run.model
    for _ in range(3):
        finish(run, 0, 0)
        finish(run, 1)
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason == "3 models in a row were voted down, the last one because 1 of 4 silos accept it"
    assert (run.run.model, run.run.finished) == (kept, 6)
    run.resume()
    run.here(*FOUR)
    assert (run.run.stage, run.run.round) == (Stage.TRAIN, 7)


def test_when_the_last_model_is_voted_down_the_run_finishes_with_the_one_before():
    run = play(rounds=1)
    kept = run.run.model
    finish(run, 0, 0, log_loss=0.5)
    finish(run, 0)
    assert (run.run.outcome, run.run.model, run.run.measured.log_loss) == (Outcome.FINISHED, kept, 0.5)
    assert run.run.reason == "the last model was voted down (0 of 4 silos accept it): the one before it is kept"
    assert models_of("r", run.facts)[-1].digest == kept.digest


def test_a_burnt_round_is_one_of_the_plans_rounds():
    run = play(rounds=2)
    kept = run.run.model
    finish(run, 0, 0)
    finish(run, 0)
    assert (run.run.phase, asked(run).model, asked(run).against) == (Phase.EVALUATE, kept, "")
    finish(run, 0, 0)
    assert (run.run.outcome, run.run.model) == (Outcome.FINISHED, kept)


def test_what_a_dropped_model_measured_does_not_count_for_early_stopping():
    run = play(early_stopping=EarlyStopping(patience=1))
    finish(run, 0, 0)
    best = run.run.best
    finish(run, 0)
    assert run.run.best == best


def test_the_model_that_was_put_back_can_be_lost_which_only_an_operator_can_mend():
    run = play()
    finish(run, 0, 0)
    finish(run, 0)
    run.do(ModelLost(run.run.model.digest, "rotten"))
    assert (run.run.paused, run.run.phase) == (True, Phase.TRAIN)


def test_a_run_without_a_vote_keeps_whatever_was_made():
    run = Play(masked_plan_of(rounds=3)).open(Stage.TRAIN, 2)
    model = run.run.model
    assert asked(run).against == ""
    finish(run, 0, 4, log_loss=99.0)
    assert (run.run.round, run.run.previous.model) == (3, model)


def test_a_vote_is_for_masked_runs():
    with pytest.raises(ConfigError, match="a vote is for masked runs"):
        plan_of(vote=Vote())


@given(st.lists(st.booleans(), max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_model_that_is_kept_was_made_from_one_that_was_kept(votes):
    """The chain of models is never broken, however the votes go."""
    run = play(rounds=30)
    parent, accepted = {}, {run.run.model}
    for accepts in votes:
        if run.run.outcome is not None:
            break
        base, candidate = run.run.model, run.run.previous is not None and run.run.previous.model is not None
        assert run.run.round == run.run.finished + 1
        finish(run, 4 if accepts else 0, 4 if candidate else 0)
        if candidate and not accepts:
            assert run.run.model == parent[base]
            continue
        accepted.add(base)
        parent[run.run.model] = base
    assert run.run.model in accepted or parent[run.run.model] in accepted
    assert len(run.facts_of(facts.RunEnded)) == (run.run.outcome is not None)
