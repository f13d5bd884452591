"""Metrics with noise: what one row can change, what is said without the noise, and that told errors are true."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.masking import Store

from septum.algorithms.log_loss import log_loss_sum
from septum.algorithms.roc_auc import roc_auc
from septum.errors import ConfigError, TensorError
from septum.privacy.noise import SIGMA
from septum.protocol import combine, payload, tensors
from septum.protocol.codec import dumps, from_json, to_json
from septum.protocol.contents import NOISY, NOISY_LENGTH
from septum.protocol.masked import Beside, masked_pieces, scale_of
from septum.protocol.messages import Stage
from septum.protocol.metrics_combine import asked_of, perform
from septum.protocol.noisy_metrics import EDGES, LARGEST_LOSS, count_with_noise, metrics_of, unit_of, units
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.run_state import Combine, Contribution
from septum.protocol.sources import source_of

PRIVACY = Privacy(5.0, metrics_epsilon=2.0)
NOISE = PRIVACY.metrics
ROWS = st.lists(st.tuples(st.floats(width=32), st.booleans()), max_size=8)


def people(rows, seed=0):
    """Logits and labels of a model that is right in four of five."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows).astype(np.float32)
    return rng.normal(np.where(labels > 0.5, 0.8, -0.8), 1.0), labels


def exact(logits, labels):
    return units(lambda row: float(logits[row]), labels, unit_of(NOISE))


def seeded(seed):
    return np.random.default_rng(seed).bytes


@given(rows=ROWS, one=st.tuples(st.floats(width=32), st.booleans()))
def test_a_row_that_is_added_changes_the_numbers_by_no_more_than_the_noise_is_made_for(rows, one):
    """Also where the model has gone wild."""
    before, after = (
        exact([logit for logit, _ in some], np.array([label for _, label in some], np.float32))
        for some in (rows, [*rows, one])
    )
    length = math.sqrt(sum(int(value) ** 2 for value in after - before))
    assert length <= SIGMA / NOISE.noise_multiplier
    assert length >= unit_of(NOISE) * math.sqrt(2)  # right or wrong, and a bin


def test_a_row_that_the_model_finds_least_likely_needs_all_of_the_noise():
    changed = exact([-9.0], np.ones(1, np.float32)).astype(float)
    assert np.sqrt(changed @ changed) == pytest.approx(SIGMA / NOISE.noise_multiplier, rel=1e-6)


def test_numbers_worked_out_by_hand():
    """Logits 0 and 1 of a negative and a positive: one is wrong by the rule that 0 is no, log 2 and log(1 + 1/e)."""
    found = exact([0.0, 1.0], np.array([0, 1], np.float32))
    unit = unit_of(NOISE)
    assert found[:2].tolist() == [2 * unit, 0]
    assert found[2] == pytest.approx(unit * (math.log(2) + math.log1p(1 / math.e)) / LARGEST_LOSS, abs=2)
    bins = found[3:].reshape(2, -1) // unit
    assert [np.flatnonzero(row).tolist() for row in bins] == [[EDGES.index(0.0)], [EDGES.index(1.0)]]
    assert len(found) == NOISY_LENGTH == 3 + 2 * (len(EDGES) + 1)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_without_the_noise_they_say_what_the_exact_metrics_say(seed):
    logits, labels = people(300, seed)
    found = metrics_of(exact(logits, labels).astype(float), 1, NOISE)
    assert found.rows == 300
    assert found.accuracy == pytest.approx(((logits > 0) == (labels > 0.5)).mean())
    assert found.log_loss == pytest.approx(log_loss_sum(logits, labels) / 300, abs=1e-3)  # a few are beyond the cut
    assert found.roc_auc == pytest.approx(roc_auc(logits, labels), abs=0.02)


def test_the_errors_that_are_told_are_the_true_ones_also_of_several_silos():
    logits, labels = people(1200)
    halves = [(logits[half::2], labels[half::2]) for half in (0, 1)]
    found = []
    for seed in range(200):
        sums = sum(
            count_with_noise(lambda row, x=x: float(x[row]), y, NOISE, seeded([seed, at]))
            for at, (x, y) in enumerate(halves)
        )
        found.append(metrics_of(sums, 2, NOISE))
    without = metrics_of(exact(logits, labels).astype(float), 1, NOISE)
    for name in ("accuracy", "log_loss", "roc_auc"):
        off = np.array([(getattr(one, name) - getattr(without, name)) / getattr(one.noise, name) for one in found])
        assert abs(off.mean()) < 0.3, name
        assert off.std() == pytest.approx(1, abs=0.2), name


def test_of_too_few_rows_nothing_is_told_and_of_few_no_roc_auc():
    logits, labels = people(600)
    assert metrics_of(exact(logits[:5], labels[:5]).astype(float), 4, NOISE) is None
    some = metrics_of(exact(logits[:100], labels[:100]).astype(float), 4, NOISE)
    assert some.roc_auc is None
    assert some.noise.accuracy > 0
    assert metrics_of(np.full(NOISY_LENGTH, -1e9), 4, NOISE) is None


@pytest.mark.parametrize("sums", [np.zeros(3), np.full(NOISY_LENGTH, np.nan)])
def test_numbers_that_are_none_are_refused(sums):
    with pytest.raises(TensorError, match="35 numbers"):
        metrics_of(sums, 1, NOISE)


# --- over silos ----------------------------------------------------------------------------------------------------


def plan_of(masked, privacy=PRIVACY):
    app = AppRef("heart", "1", "sha256:" + "0" * 64)
    return Plan("p", app, {}, ("east", "north", "south"), 1, masking=Masking() if masked else None, privacy=privacy)


def sent(at):
    logits, labels = people(200, at)
    noisy = count_with_noise(lambda row: float(logits[row]), labels, NOISE, seeded(at))
    return {"evaluation.bins": np.zeros((0, 3), np.int64), "evaluation.sums": np.zeros(4), NOISY: noisy}


def combined(masked, results):
    plan, store, given = plan_of(masked), Store(), {}
    for silo, content in zip(plan.silos, results, strict=True):
        data = tensors.encode(content)
        combine.check(Stage.EVALUATE, source_of(data), None, noisy=NOISY in content)
        if masked:
            data = b"".join(masked_pieces(Stage.EVALUATE, source_of(data), 0, scale_of(plan), None, Beside()))
            combine.check(Stage.EVALUATE, source_of(data), None, masked=True, noisy=NOISY in content)
        given[silo] = Contribution(store.keep(data), 0)
    effect = Combine(Stage.EVALUATE, 1, 1, None, None, given, None)
    return perform(effect, plan, store.blobs())


@pytest.mark.parametrize("masked", [False, True])
def test_the_sum_over_silos_is_the_same_under_masks_and_without(masked):
    results = [sent(at) for at in range(3)]
    measured = combined(masked, results).measured
    assert (measured.round, measured.silos) == (1, {})
    assert measured.metrics == metrics_of(sum(one[NOISY] for one in results), 3, NOISE)


@pytest.mark.parametrize("masked", [False, True])
def test_silos_that_send_none_are_named_as_what_is_wrong(masked):
    results = [sent(at) for at in range(3)]
    for one in results:
        del one[NOISY]
    with pytest.raises(TensorError, match="no metrics with noise"):
        combined(masked, results)


def test_they_are_taken_where_the_plan_asks_for_them_and_nowhere_else():
    content = tensors.encode(sent(0))
    with pytest.raises(TensorError, match=r"'evaluation\.noisy' was not asked for"):
        combine.check(Stage.EVALUATE, source_of(content), None, noisy=False)
    without = tensors.encode(payload.evaluation_tensors(combine.evaluation_in(source_of(content))))
    with pytest.raises(TensorError, match=r"'evaluation\.noisy' is missing"):
        combine.check(Stage.EVALUATE, source_of(without), None, noisy=True)
    asks, asks_not = plan_of(masked=True), plan_of(masked=True, privacy=Privacy(5.0))
    assert [asked_of(asks, stage) for stage in Stage] == [stage is Stage.EVALUATE for stage in Stage]
    assert not any(asked_of(asks_not, stage) for stage in Stage)


# --- the plan ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "says"), [(0.0, "between"), (21.0, "between"), (5.0, "leave nothing of the target 5")]
)
def test_a_part_that_is_none_is_refused(epsilon, says):
    with pytest.raises(ConfigError, match=says):
        Privacy(5.0, metrics_epsilon=epsilon)


def test_where_an_app_trains_by_itself_there_are_none():
    with pytest.raises(ConfigError, match="the app trains by itself"):
        Privacy(5.0, strength=Strength.ATTESTED, metrics_epsilon=1.0)


def test_a_plan_without_metrics_has_the_bytes_that_it_had():
    assert dumps(to_json(Privacy(5.0))) == (
        b'{"batch":64,"clip":1.0,"delta":null,"learning_rate":0.2,"mode":"record_dp","steps":1,'
        b'"strength":"enforced","target_epsilon":5.0}'
    )
    assert from_json(Privacy, to_json(PRIVACY)) == PRIVACY
    assert replace(PRIVACY, metrics_epsilon=None).metrics is None
