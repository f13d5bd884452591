"""Which models stay: the newest, the best of each metric, and whatever shares their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.protocol.comparing import best_round
from septum.protocol.facts import Metrics
from septum.protocol.plan import Metric
from septum.protocol.retention import LEAST_NEWEST, superfluous, superfluous_of_silos
from septum.protocol.views import ModelView, SiloModelView


def model(round_, digest="", roc_auc=None, log_loss=0.7, measured=True):
    metrics = Metrics(10, 0.5, log_loss, roc_auc) if measured else None
    return ModelView("r1", round_, digest or f"blake3:{round_}", 8, metrics)


def test_the_newest_and_the_best_by_each_metric_stay():
    models = [
        model(0, roc_auc=0.5),
        model(1, roc_auc=0.9),
        model(2, roc_auc=0.6, log_loss=0.1),
        model(3, roc_auc=0.7),
        model(4, roc_auc=0.8),
        model(5, measured=False),
    ]
    assert [one.round for one in superfluous(models, 2)] == [3]  # 0 is the earliest of the best by accuracy
    assert superfluous(models, 3) == superfluous([], 2) == ()


def test_a_model_that_two_rounds_made_stays_when_one_of_them_does():
    models = [model(0, "same"), model(1), model(2), model(3), model(4, "same")]
    assert "same" not in {one.digest for one in superfluous(models, 2)}


def of_silo(round_, base):
    return SiloModelView("r1", round_, "east", f"own {round_}", 8, base, f"update {round_}", 1.0, None)


def test_silos_own_models_stay_with_that_of_their_round_and_so_does_what_they_began_with():
    models = [model(number, log_loss=0.1 if number == 2 else 0.7) for number in range(7)]
    own = [of_silo(number, models[number - 1].digest) for number in range(1, 7)]
    assert [one.round for one in superfluous_of_silos(models, 2, own)] == [1, 3, 4]  # 2 is the best by log loss
    assert [one.round for one in superfluous(models, 2)] == [1, 3, 4]
    assert [one.round for one in superfluous(models, 2, own)] == [3]  # 1 and 4 are what 2 and 5 began with


def test_fewer_than_a_run_needs_to_be_resumed_are_refused():
    with pytest.raises(ConfigError, match="2 models at least are kept, not 1"):
        superfluous([], LEAST_NEWEST - 1)


models_of_a_run = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.none() | st.floats(0, 1), st.floats(0, 9), st.booleans()), max_size=12
).map(lambda rows: [model(number, name, area, loss, told) for number, (name, area, loss, told) in enumerate(rows)])


@given(models_of_a_run, st.integers(2, 5))
def test_what_goes_shares_no_bytes_with_what_has_to_stay(models, newest):
    going = superfluous(models, newest)
    measured = {one.round: one.metrics for one in models if one.metrics}
    best = {best_round(measured, metric) for metric in Metric}
    staying = [one for one in models if one in models[-newest:] or one.round in best]
    assert not {one.digest for one in going} & {one.digest for one in staying}
    assert {one.digest for one in going} | {one.digest for one in staying} == {one.digest for one in models}
