"""From payloads to the next model: equal to a plain loop bit for bit, and wrong payloads are refused by name."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.algorithms.evaluation import Evaluation
from septum.algorithms.gram import gram_matrix
from septum.algorithms.roc_auc import bin_counts, roc_auc
from septum.algorithms.rule import Need
from septum.algorithms.strategy import strategy, strategy_names
from septum.errors import TensorError
from septum.protocol import blocks, combine, payload, tensors
from septum.protocol.combine import Weighted
from septum.protocol.messages import Stage
from septum.protocol.sources import layout_of, source_of

COUNTS = Evaluation(3, 2, 1.5, 0.5, np.array([[-1, 1, 0], [2, 1, 1]], np.int64))


def model_with(*sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    parameters = {f"layer{i}.w": rng.normal(size=size).astype(np.float32) for i, size in enumerate(sizes)}
    return payload.model_tensors(parameters, {"scale.sum": np.array([1.0, 2.0])})


def updates_for(model: dict[str, np.ndarray], silos: int, round_: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng([2, round_])
    parameters, _ = payload.split_model(model)
    return [{name: rng.normal(size=a.shape).astype(np.float32) for name, a in parameters.items()} for _ in range(silos)]


def report(update: dict[str, np.ndarray], evaluation: Evaluation = COUNTS) -> bytes:
    return tensors.encode(payload.update_tensors(update, evaluation))


def step(name: str, model: bytes, optimizer: bytes | None, reports: list[bytes], weights: list[int], width: int):
    kept: list[bytes] = []
    chunks = combine.next_model(
        strategy(name),
        source_of(model),
        None if optimizer is None else source_of(optimizer),
        [Weighted(source_of(data), weight) for data, weight in zip(reports, weights, strict=True)],
        kept.append,
        width,
    )
    return b"".join(chunks), b"".join(kept) or None


@pytest.mark.parametrize("name", strategy_names())
def test_a_model_combined_in_blocks_of_any_width_equals_the_plain_loop_bit_for_bit(name):
    model = model_with(70_001, 13, 1)
    weights = [199, 172, 30, 85, 303, 7]
    rule = strategy(name)
    flat = np.concatenate([payload.split_model(model)[0][key] for key in sorted(payload.split_model(model)[0])])
    state = rule.start(len(flat))
    outputs = {width: (tensors.encode(model), None) for width in (1_000, 10_000, 64_000)}
    for round_ in range(3):
        deltas = updates_for(model, len(weights), round_)
        block = np.stack([np.concatenate([delta[key] for key in sorted(delta)]) for delta in deltas])
        used = weights if rule.weigh is None else rule.weigh(gram_matrix([block], len(block)), weights)
        flat, state = rule.step(flat, rule.combine(block, used), state)
        reports = [report(delta) for delta in deltas]
        outputs = {w: step(name, m, o, reports, weights, w) for w, (m, o) in outputs.items()}
    for width, (data, _) in outputs.items():
        parameters, statistics = payload.split_model(tensors.decode(data))
        assert np.concatenate([parameters[key] for key in sorted(parameters)]).tobytes() == flat.tobytes(), width
        assert statistics["scale.sum"].tolist() == [1.0, 2.0]
    assert len(set(outputs.values())) == 1


@pytest.mark.laws
@pytest.mark.parametrize("name", ["fedavg", "median", "multi-krum"])
def test_a_block_of_many_silos_takes_no_more_memory_than_one_of_a_few(name):
    size, peaks = 100_000, {}
    model = tensors.encode(payload.model_tensors({"w": np.zeros(size, np.float32)}, {}))
    update = source_of(report({"w": np.ones(size, np.float32)}))
    for silos in (32, 400):
        updates = [Weighted(update, 1)] * silos
        tracemalloc.start()
        for chunk in combine.next_model(strategy(name), source_of(model), None, updates, print):
            assert len(chunk) <= 4 * blocks.step_width(strategy(name), silos)
        peaks[silos] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    matrices = 4 * 8 * 400**2 if name == "multi-krum" else 0  # the Gram matrix, and what is made of it
    assert peaks[400] < peaks[32] + 500_000 + matrices
    # None where updates are added up; the median sorts a copy of one, and pieces of 2 MiB are summed to a Gram matrix.
    held = {"fedavg": 0, "median": 2, "multi-krum": 1.5}[name]
    assert peaks[400] < held * 4 * blocks.BLOCK_FLOATS + 2_000_000 + matrices


@pytest.mark.parametrize(
    ("name", "silos", "why"),
    [
        ("krum", 4, r"krum with f = 1 needs the updates of n >= 2f \+ 3 = 5 silos .*; there are 4"),
        ("multi-krum", 1, "multi-krum with f = 1 needs .* = 5 silos .*; there are 1"),
        ("trimmed-mean", 2, "trimmed-mean with trim = 1 needs .* = 3 silos, or nothing is left; there are 2"),
    ],
)
def test_a_round_with_fewer_reports_than_the_rule_needs_makes_no_model(name, silos, why):
    model = model_with(5)
    reports = [report(update) for update in updates_for(model, silos)]
    with pytest.raises(TensorError, match=why) as caught:
        step(name, tensors.encode(model), None, reports, [1] * silos, 3)
    assert caught.value.hint
    enough = [report(update) for update in updates_for(model, 5)]
    step(name, tensors.encode(model), None, enough, [1] * 5, 3)


def test_a_strategy_of_the_mean_is_content_with_one_update_that_is_a_mean():
    needy = replace(strategy("fedavg"), needs=Need(9, "nine"))
    model = model_with(5)
    (update,) = updates_for(model, 1)
    chunks = combine.next_model(
        needy, source_of(tensors.encode(model)), None, [Weighted(source_of(report(update)), 1)], print
    )
    expected = model["layer0.w"] + update["layer0.w"]
    assert tensors.decode(b"".join(chunks))["layer0.w"].tobytes() == expected.tobytes()


def test_nothing_of_a_model_is_written_before_too_few_reports_are_noticed():
    model = tensors.encode(model_with(5))
    updates = [Weighted(source_of(report(update)), 1) for update in updates_for(model_with(5), 4)]
    with pytest.raises(TensorError):
        next(combine.next_model(strategy("krum"), source_of(model), None, updates, print))


def test_krum_moves_the_model_by_one_silos_update_bit_for_bit():
    model = model_with(50)
    updates = updates_for(model, 5)
    data, _ = step("krum", tensors.encode(model), None, [report(update) for update in updates], [9, 1, 1, 1, 1], 7)
    moved = tensors.decode(data)["layer0.w"].tobytes()
    assert moved in [(model["layer0.w"] + update["layer0.w"]).tobytes() for update in updates]


def test_the_initial_model_has_one_silos_parameters_and_everybodys_sums():
    parts = {
        "a": payload.prepared_tensors({"s.n": np.array([2.0])}, {"w": np.ones(2, np.float32)}),
        "b": payload.prepared_tensors({"s.n": np.array([3.0])}, None),
    }
    data = b"".join(combine.initial_model({silo: source_of(tensors.encode(part)) for silo, part in parts.items()}))
    parameters, statistics = payload.split_model(tensors.decode(data))
    assert parameters["w"].tolist() == [1.0, 1.0]
    assert statistics["s.n"].tolist() == [5.0]


def test_an_initial_model_is_the_file_that_its_tensors_encode_to_whatever_its_size():
    rng = np.random.default_rng(5)
    made = {name: rng.normal(size=size).astype(np.float32) for name, size in (("b", 70_000), ("a.w", 3), ("a", 1))}
    sums = {"z.sum": np.array([1.0, 2.0]), "a.n": np.array([7.0])}
    part = source_of(tensors.encode(payload.prepared_tensors(sums, made)))
    chunks = list(combine.initial_model({"s": part}))
    assert b"".join(chunks) == tensors.encode(payload.model_tensors(made, sums))
    assert max(len(chunk) for chunk in chunks) <= 4 * blocks.WIDEST  # no copy of the whole anywhere


def test_two_initial_models_none_or_unlike_statistics_are_refused():
    one = source_of(tensors.encode(payload.prepared_tensors({"s.n": np.ones(1)}, {"w": np.ones(1, np.float32)})))
    none = source_of(tensors.encode(payload.prepared_tensors({"s.n": np.ones(1)}, None)))
    other = source_of(tensors.encode(payload.prepared_tensors({"s.n": np.ones(2)}, None)))
    with pytest.raises(TensorError, match="'b' made an initial model, though"):
        combine.initial_model({"a": one, "b": one})
    with pytest.raises(TensorError, match="none of a, b"):
        combine.initial_model({"a": none, "b": none})
    with pytest.raises(TensorError, match=r"'s\.n': silo 'b' sent shape \(2,\)"):
        combine.initial_model({"a": one, "b": other})


def test_metrics_over_silos_come_from_summed_counts():
    rng = np.random.default_rng(3)
    logits = [rng.normal(size=n) for n in (40, 25)]
    labels = [(rng.random(n) < 0.4).astype(np.float32) for n in (40, 25)]
    parts = {
        silo: Evaluation(len(z), int(((z > 0) == (y > 0.5)).sum()), 2.0, roc_auc(z, y), bin_counts(z, y))
        for silo, z, y in zip("ab", logits, labels, strict=True)
    }
    fact = combine.measured(7, parts)
    exact = roc_auc(np.concatenate(logits), np.concatenate(labels))
    assert fact.round == 7
    assert fact.metrics.rows == 65
    assert fact.metrics.accuracy == (parts["a"].correct + parts["b"].correct) / 65
    assert fact.metrics.log_loss == 4.0 / 65
    assert exact is not None
    assert fact.metrics.roc_auc is not None
    assert abs(fact.metrics.roc_auc - exact) <= fact.metrics.roc_auc_bound <= 0.002
    assert fact.silos["b"].roc_auc == parts["b"].roc_auc


MODEL = model_with(3, 2)
GOOD = payload.update_tensors(updates_for(MODEL, 1)[0], COUNTS)


def changed(**replaced: object) -> dict[str, object]:
    merged = {**GOOD, **{name.replace("__", "."): array for name, array in replaced.items()}}
    return {name: array for name, array in merged.items() if array is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(update__layer0__w=np.ones(4, np.float32)), r"'update\.layer0\.w' has shape \[4\], expected \[3\]"),
        (changed(update__layer0__w=np.ones((3, 1), np.float32)), r"has shape \[3, 1\]"),
        (changed(update__layer0__w=np.ones(3)), r"'update\.layer0\.w' is F64, expected F32"),
        (changed(update__layer1__w=None), r"'update\.layer1\.w' is missing"),
        (changed(update__layer9__w=np.ones(3, np.float32)), r"'update\.layer9\.w' was not asked for"),
        (changed(update__layer1__w=np.array([1, math.nan], np.float32)), r"'update\.layer1\.w' holds nan at element 1"),
        (changed(update__layer0__w=np.array([math.inf, 0, 0], np.float32)), r"holds inf at element 0"),
        (changed(evaluation__sums=None), r"'evaluation\.sums' is missing"),
        (changed(evaluation__sums=np.array([3, 4, 1.5, 0.5])), "cannot be"),
        (changed(evaluation__sums=np.array([math.inf, 4, 1.5, 0.5])), "cannot be"),
        (changed(evaluation__sums=np.array([3, 2, -1.5, 0.5])), "cannot be"),
        (changed(evaluation__sums=np.array([3, 2, 1.7e308, 0.5])), "cannot be"),  # with another silo's: infinity
        (changed(evaluation__sums=np.array([2.0**40, 2, 1.5, 0.5])), "cannot be"),
        (changed(evaluation__sums=np.array([3, 2, 1.5, 1.5])), r"ROC-AUC of 1\.5"),
        (changed(evaluation__bins=np.array([[0, 1, 1]], np.int64)), "not the counts of 3 rows"),
        (changed(evaluation__bins=np.array([[0, 4, -1]], np.int64)), "not the counts of 3 rows"),
        (changed(evaluation__bins=np.array([[2, 1, 1], [1, 1, 0]], np.int64)), "bins rise"),
        (changed(evaluation__bins=np.array([[2**40, 2, 1]], np.int64)), "bins rise"),
        (changed(evaluation__bins=np.array([3], np.int64)), "has shape"),
    ],
)
def test_a_wrong_report_is_refused_naming_the_tensor(content, message):
    base = layout_of(source_of(tensors.encode(MODEL)))
    combine.check(Stage.TRAIN, source_of(tensors.encode(GOOD)), base)
    with pytest.raises(TensorError, match=message):
        combine.check(Stage.TRAIN, source_of(tensors.encode(content)), base)


def test_a_nan_far_behind_the_first_block_is_found_and_placed():
    model = model_with(200_000)
    update = updates_for(model, 1)[0]
    update["layer0.w"][199_998] = np.nan
    base = layout_of(source_of(tensors.encode(model)))
    with pytest.raises(TensorError, match="holds nan at element 199998"):
        combine.check(Stage.TRAIN, source_of(report(update)), base)


def test_tensors_in_another_order_are_refused_because_they_would_be_added_to_the_wrong_ones():
    swapped = {"b": np.ones(1, np.float32), "a": np.zeros(1, np.float32)}
    base = layout_of(source_of(tensors.encode(swapped)))
    good = report({"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)})
    head = len(good) - 8
    bad = (
        good[:head]
        .replace(b"update.a", b"update.X")
        .replace(b"update.b", b"update.a")
        .replace(b"update.X", b"update.b")
    )
    with pytest.raises(TensorError, match="canonical order"):
        combine.check(Stage.TRAIN, source_of(bad + good[head:]), base)


def test_a_prepare_report_holds_statistics_and_an_initial_model_only():
    good = payload.prepared_tensors({"s.n": np.ones(1)}, {"w": np.ones(1, np.float32)})
    combine.check(Stage.PREPARE, source_of(tensors.encode(good)), None)
    for content, message in (
        ({**good, "rows": np.ones(3)}, "was not asked for"),
        ({**good, "initial.w": np.ones(1)}, "is F64, expected F32"),
        ({**good, "statistics.s.n": np.array([np.nan])}, "holds nan"),
        ({**good, "initial.": np.ones(1, np.float32)}, "'' is no name for a parameter"),
        ({**good, "initial.statistics.s": np.ones(1, np.float32)}, "is no name for a parameter"),
        ({**good, "statistics.s.n": np.ones(3 * 2**20)}, "at most"),
    ):
        with pytest.raises(TensorError, match=message):
            combine.check(Stage.PREPARE, source_of(tensors.encode(content)), None)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_one_silos_update_alone_moves_the_model_by_exactly_that_update(width, seed):
    model = model_with(5)
    rng = np.random.default_rng(seed)
    delta = {"layer0.w": rng.normal(size=5).astype(np.float32)}
    data, state = step("fedavg", tensors.encode(model), None, [report(delta)], [7], width)
    expected = model["layer0.w"] + delta["layer0.w"]
    assert tensors.decode(data)["layer0.w"].tobytes() == expected.tobytes()
    assert state is None


def test_a_model_that_is_not_finite_is_not_made():
    model = tensors.encode(model_with(2))
    huge = {"layer0.w": np.full(2, 3e38, np.float32)}
    data, _ = step("fedavg", model, None, [report(huge)], [1], 10)
    with pytest.raises(TensorError, match="not finite"):
        step("fedavg", data, None, [report(huge)], [1], 10)


def test_updates_of_another_length_than_the_model_are_refused():
    model = tensors.encode(model_with(3))
    with pytest.raises(TensorError, match="3 parameters"):
        step("fedavg", model, None, [report({"layer0.w": np.ones(2, np.float32)})], [1], 10)


def test_an_evaluation_survives_the_way_through_a_payload():
    for evaluation in (COUNTS, replace(COUNTS, roc_auc=None)):
        found = combine.evaluation_in(source_of(tensors.encode(payload.evaluation_tensors(evaluation))))
        assert replace(found, bins=COUNTS.bins) == replace(evaluation, bins=COUNTS.bins)
        assert found.bins.tolist() == COUNTS.bins.tolist()
