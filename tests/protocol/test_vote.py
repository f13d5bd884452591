"""What a silo accepts, and what is made of the votes: numbers worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.protocol.facts import Metrics, Votes
from septum.protocol.plan import Metric, Vote
from septum.protocol.vote import ABSTAINS, Voter, ballot, objection, own_score

GOOD = (10.0, 8.0, 4.0, 0.9)  # rows, correct, summed log loss, ROC-AUC
BAD = (10.0, 5.0, 30.0, 0.5)


def test_a_silos_score_is_the_one_of_its_own_rows():
    assert [own_score(metric, GOOD) for metric in (Metric.ACCURACY, Metric.LOG_LOSS, Metric.ROC_AUC)] == [0.8, 0.4, 0.9]
    assert own_score(Metric.ROC_AUC, (10.0, 8.0, 4.0, math.nan)) is None
    assert own_score(Metric.LOG_LOSS, (0.0, 0.0, 0.0, math.nan)) is None


@pytest.mark.parametrize("metric", list(Metric))
def test_a_silo_accepts_what_is_not_worse_by_more_than_the_drop_whichever_way_is_better(metric):
    rule = Vote(metric=metric, max_drop=0.25)
    worse = -1 if metric.larger_is_better else 1
    assert ballot(rule, 0.5, 0.5 + worse * 0.25) == (1, 1)
    assert ballot(rule, 0.5, 0.5 + worse * 0.375) == (0, 1)
    assert ballot(rule, 0.5, 0.5 - worse * 9) == (1, 1)


def test_a_silo_votes_by_the_model_that_it_is_told_to_compare_with():
    voter = Voter(Vote())
    assert voter.vote("m0", "", GOOD) == ABSTAINS
    assert voter.vote("m1", "m0", BAD) == (0, 1)
    assert voter.vote("m1", "m0", BAD) == (0, 1)
    assert voter.vote("m2", "m1", BAD) == (1, 1)
    assert voter.vote("m2", "m0", BAD) == (0, 1)


def test_a_silo_that_does_not_know_the_model_before_abstains():
    assert Voter(Vote()).vote("m1", "m0", GOOD) == ABSTAINS
    voter = Voter(Vote())
    for at in range(20):
        voter.vote(f"m{at}", "", GOOD)
    assert voter.vote("new", "m0", GOOD) == ABSTAINS
    assert voter.vote("new", "m19", GOOD) == (1, 1)


def metrics(log_loss: float) -> Metrics:
    return Metrics(30, 0.5, log_loss, 0.5)


@pytest.mark.parametrize(
    ("accepts", "voters", "kept"),
    [(2, 3, True), (1, 3, False), (3, 4, True), (2, 4, False), (0, 0, True), (0, 1, False)],
)
def test_two_thirds_of_those_that_vote_have_to_accept(accepts, voters, kept):
    assert (objection(Vote(), Votes(accepts, voters), metrics(0.5), metrics(0.5)) == "") is kept


def test_a_model_that_is_worse_over_all_rows_is_not_kept_though_silos_accept_it():
    said = objection(Vote(max_drop=0.25), Votes(4, 4), metrics(0.5), metrics(0.875))
    assert said == "log_loss over all silos went from 0.5 to 0.875, 0.25 is allowed"
    assert objection(Vote(max_drop=0.25), Votes(4, 4), metrics(0.5), metrics(0.75)) == ""
    assert objection(Vote(), Votes(4, 4), None, metrics(99.0)) == ""


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.01, 1))
def test_one_accept_more_never_keeps_a_model_less(accepts, voters, share):
    rule = Vote(accepts=share)
    accepts = min(accepts, voters)
    if not objection(rule, Votes(accepts, voters + 1), None, metrics(1)):
        assert not objection(rule, Votes(accepts + 1, voters + 1), None, metrics(1))


@pytest.mark.parametrize("wrong", [{"accepts": 0}, {"accepts": 1.1}, {"max_drop": -1}, {"max_burnt": 0}])
def test_a_rule_that_makes_no_sense_cannot_exist(wrong):
    with pytest.raises(ConfigError, match=r"vote\."):
        Vote(**wrong)
