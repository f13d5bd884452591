"""The file of a masked result, and what its sum is: exact for counts and statistics, within a bound for the update."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.masking import bare, evaluated, masked, rows, scale, trained, unmasker

from septum.adapters.identity.masking_primitives import openssl
from septum.algorithms.roc_auc import COARSE_BIN_COUNT, bin_counts, dense_counts
from septum.errors import SecAggError, TensorError
from septum.protocol import combine, payload, tensors
from septum.protocol.contents import MASKED_BINS
from septum.protocol.layout import write_header
from septum.protocol.masked import layout_digest, masked_layout, masked_pieces, sums
from septum.protocol.messages import Stage
from septum.protocol.sources import BLOCK_WIDTH, layout_of, source_of
from septum.secagg.fixed_point import from_wide, mean, quantise
from septum.secagg.masks import Mask, Masker

UPDATE = {"b": np.array([0.5, -0.25], np.float32), "a.w": np.array([[1.0, 0.0, -1.0]], np.float32)}
STATISTICS = {"scale.n": np.array(3.0), "scale.total": np.array([1.5, -1e-3])}


def test_the_number_of_bins_is_the_one_of_the_histogram():
    assert MASKED_BINS == COARSE_BIN_COUNT == len(dense_counts(bin_counts([0.0], [1])))


# --- the file ------------------------------------------------------------------------------------------------------


def read(data: bytes) -> dict[str, np.ndarray]:
    assert layout_of(source_of(data)).is_canonical
    return tensors.decode(data)


def test_a_masked_training_result_holds_sums_weight_counts_and_the_weighted_update_and_nothing_else():
    evaluation = evaluated(*rows(5))
    found = read(bare(Stage.TRAIN, trained(UPDATE, evaluation), 40, scale(3)))
    assert {name: (str(array.dtype), array.shape) for name, array in found.items()} == {
        "masked.evaluation.sums": ("uint64", (3, 2)),
        "masked.weight": ("uint64", (1, 2)),
        "masked.evaluation.bins": ("uint32", (COARSE_BIN_COUNT, 2)),
        "masked.update.a.w": ("uint32", (1, 3)),
        "masked.update.b": ("uint32", (2,)),
    }
    assert list(found)[:3] == ["masked.evaluation.sums", "masked.weight", "masked.evaluation.bins"]
    loss = evaluation.log_loss_sum
    assert from_wide(found["masked.evaluation.sums"]).tolist() == [30.0, evaluation.correct, pytest.approx(loss)]
    assert from_wide(found["masked.weight"]).tolist() == [40.0]
    assert found["masked.evaluation.bins"].tolist() == dense_counts(evaluation.bins).tolist()
    assert found["masked.update.b"].tolist() == quantise(UPDATE["b"], 40, scale(3))[0].tolist()


def test_a_masked_preparation_holds_statistics_and_weight_as_sums_and_the_initial_model_as_it_is():
    plain = tensors.encode(payload.prepared_tensors(STATISTICS, {"w": np.array([2.0, 3.0], np.float32)}))
    found = read(bare(Stage.PREPARE, plain, 7, scale(3)))
    assert {name: array.shape for name, array in found.items()} == {
        "masked.statistics.scale.n": (2,),
        "masked.statistics.scale.total": (2, 2),
        "masked.weight": (1, 2),
        "initial.w": (2,),
    }
    assert from_wide(found["masked.statistics.scale.total"]).tolist() == [1.5, pytest.approx(-1e-3, abs=2**-64)]
    assert found["initial.w"].tolist() == [2.0, 3.0]


def test_a_masked_evaluation_holds_no_weight_and_no_auc_of_its_silo():
    plain = tensors.encode(payload.evaluation_tensors(evaluated(*rows(5))))
    assert set(read(bare(Stage.EVALUATE, plain, 0, scale(3)))) == {"masked.evaluation.sums", "masked.evaluation.bins"}


@pytest.mark.parametrize("stage", Stage)
def test_the_layout_that_silos_sign_is_that_of_the_masked_vector(stage):
    """Whether the initial model is in the file makes no difference: it is not masked."""
    parameters = {"w": np.ones(4, np.float32)}
    plains = {
        Stage.PREPARE: payload.prepared_tensors(STATISTICS, parameters),
        Stage.TRAIN: payload.update_tensors(UPDATE, evaluated(*rows(1))),
        Stage.EVALUATE: payload.evaluation_tensors(evaluated(*rows(1))),
    }
    plain = tensors.encode(plains[stage])
    digest = masked_layout(stage, layout_of(source_of(plain)))
    assert digest == layout_digest(layout_of(source_of(bare(stage, plain, 3, scale(2)))))
    if stage is Stage.PREPARE:
        without = tensors.encode(payload.prepared_tensors(STATISTICS, None))
        assert digest == masked_layout(stage, layout_of(source_of(without)))
    if stage is Stage.TRAIN:
        other = tensors.encode(payload.update_tensors({"a.w": UPDATE["a.w"]}, evaluated(*rows(1))))
        assert digest != masked_layout(stage, layout_of(source_of(other)))


MODEL = layout_of(source_of(tensors.encode(payload.model_tensors(UPDATE, STATISTICS))))
TRAINED = tensors.decode(bare(Stage.TRAIN, trained(UPDATE), 3, scale(2)))
PREPARED = tensors.decode(
    bare(
        Stage.PREPARE, tensors.encode(payload.prepared_tensors(STATISTICS, {"w": np.ones(2, np.float32)})), 3, scale(2)
    )
)
EVALUATED = {
    name: TRAINED[f"masked.evaluation.{name[18:]}"] for name in TRAINED if name.startswith("masked.evaluation")
}


def changed(good: dict[str, np.ndarray], **replaced: object) -> bytes:
    merged = {**good, **{name.replace("__", "."): array for name, array in replaced.items()}}
    return tensors.encode({name: array for name, array in merged.items() if array is not None})


BIG = np.zeros((2**21 + 1, 2), np.uint64)
WRONG = [
    (Stage.TRAIN, TRAINED, {"masked__update__b": np.ones(2, np.float32)}, r"'masked\.update\.b' is F32, expected U32"),
    (Stage.TRAIN, TRAINED, {"masked__update__b": np.ones(3, np.uint32)}, r"has shape \[3\], expected \[2\]"),
    (Stage.TRAIN, TRAINED, {"masked__update__b": None}, r"'masked\.update\.b' is missing"),
    (Stage.TRAIN, TRAINED, {"masked__update__c": np.ones(2, np.uint32)}, r"'masked\.update\.c' was not asked for"),
    (Stage.TRAIN, TRAINED, {"update__b": UPDATE["b"]}, r"'update\.b' was not asked for"),
    (Stage.TRAIN, TRAINED, {"evaluation__sums": np.ones(4)}, r"'evaluation\.sums' was not asked for"),
    (Stage.TRAIN, TRAINED, {"masked__weight": None}, r"'masked\.weight' is missing"),
    (Stage.TRAIN, TRAINED, {"masked__weight": np.ones((1, 2), np.int64)}, r"is I64, expected U64"),
    (Stage.TRAIN, TRAINED, {"masked__weight": np.ones(2, np.uint64)}, r"has shape \[2\], expected \[1, 2\]"),
    (Stage.TRAIN, TRAINED, {"masked__evaluation__sums": np.ones((4, 2), np.uint64)}, r"expected \[3, 2\]"),
    (Stage.TRAIN, TRAINED, {"masked__evaluation__bins": np.ones((9, 2), np.uint32)}, r"expected \[3585, 2\]"),
    (Stage.EVALUATE, EVALUATED, {"masked__weight": np.ones((1, 2), np.uint64)}, r"'masked\.weight' was not asked for"),
    (Stage.EVALUATE, EVALUATED, {"masked__evaluation__bins": None}, r"'masked\.evaluation\.bins' is missing"),
    (Stage.PREPARE, PREPARED, {"masked__weight": None}, r"'masked\.weight' is missing"),
    (Stage.PREPARE, PREPARED, {"masked__statistics__x": np.ones(2, np.uint32)}, "is U32 of shape"),
    (Stage.PREPARE, PREPARED, {"masked__statistics__x": np.ones((2, 3), np.uint64)}, "pairs of U64 are needed"),
    (Stage.PREPARE, PREPARED, {"masked__statistics__x": np.ones((), np.uint64)}, "pairs of U64 are needed"),
    (Stage.PREPARE, PREPARED, {"masked__statistics__x": BIG}, "masked statistics of .* bytes, at most 33554432"),
    (Stage.PREPARE, PREPARED, {"statistics__x": np.ones(2)}, r"'statistics\.x' was not asked for"),
    (Stage.PREPARE, PREPARED, {"initial__w": np.ones(2)}, r"'initial\.w' \(F64\) cannot be a parameter"),
    (Stage.PREPARE, PREPARED, {"initial__statistics__x": np.ones(2, np.float32)}, "cannot be a parameter"),
    (Stage.PREPARE, PREPARED, {"initial__w": np.array([1, math.inf], np.float32)}, "holds inf at element 1"),
    (Stage.PREPARE, PREPARED, {"initial__w": None}, "though the initial model was asked for"),
]


@pytest.mark.parametrize(("stage", "good", "replaced", "message"), WRONG)
def test_a_wrong_masked_result_is_refused_naming_the_tensor(stage, good, replaced, message):
    base = MODEL if stage is Stage.TRAIN else None
    combine.check(stage, source_of(changed(good)), base, initial=True, masked=True)
    with pytest.raises(TensorError, match=message):
        combine.check(stage, source_of(changed(good, **replaced)), base, initial=True, masked=True)


def test_an_initial_model_of_a_silo_that_was_not_asked_for_it_is_refused():
    with pytest.raises(TensorError, match=r"'initial\.w' was not asked for"):
        combine.check(Stage.PREPARE, source_of(changed(PREPARED)), None, initial=False, masked=True)


def test_tensors_in_another_order_are_refused_because_they_would_be_added_to_the_wrong_ones():
    names = [("masked.weight", "U64", (1, 2)), ("masked.statistics.x", "U64", (1, 2))]
    with pytest.raises(TensorError, match="canonical order"):
        combine.check(Stage.PREPARE, source_of(write_header(names) + bytes(32)), None, masked=True)


def test_a_plain_result_is_no_masked_one_and_a_masked_one_no_plain_one():
    for stage, plain, hidden in (
        (Stage.TRAIN, trained(UPDATE), changed(TRAINED)),
        (Stage.PREPARE, tensors.encode(payload.prepared_tensors(STATISTICS, None)), changed(PREPARED)),
    ):
        base = MODEL if stage is Stage.TRAIN else None
        for data, is_masked in ((plain, True), (hidden, False)):
            with pytest.raises(TensorError, match="was not asked for"):
                combine.check(stage, source_of(data), base, masked=is_masked)


# --- sums ----------------------------------------------------------------------------------------------------------

floats = st.floats(-1.0, 1.0, width=32)
parts = st.integers(1, 12).flatmap(
    lambda width: st.lists(
        st.tuples(st.lists(floats, min_size=width, max_size=width), st.integers(1, 1000)), min_size=2, max_size=5
    )
)


@given(parts, st.sampled_from([1.0, 2.5, 1000.0]))
def test_the_mean_of_the_sum_is_within_the_stated_bound_of_the_mean(given_, clip):
    updates = [np.array(values, np.float32) * np.float32(clip) for values, _ in given_]
    weights = [weight for _, weight in given_]
    by = scale(len(given_), clip=clip)
    results = [bare(Stage.TRAIN, trained({"w": one}), w, by) for one, w in zip(updates, weights, strict=True)]
    total = sums([source_of(data) for data in results], None)
    assert total.numbers["weight"].tolist() == [sum(weights)]
    found = mean(np.concatenate(list(total.update)), sum(weights), by)
    exact = sum(w * one.astype(np.float64) for one, w in zip(updates, weights, strict=True)) / sum(weights)
    n, cap = len(given_), len(given_) * 1000
    bound = n * clip / 2**32 * cap / sum(weights) * (1 + n / 2**30)
    assert (np.abs(found - exact) <= bound + 2.0**-24 * np.abs(exact)).all()


@pytest.mark.parametrize("silos", [2, 5])
@pytest.mark.parametrize("width", [1, 1_000, BLOCK_WIDTH])
def test_a_sum_without_its_masks_is_the_sum_of_the_bare_vectors_bit_for_bit_at_any_width(silos, width):
    count = 3 if width == 1 else 2 * BLOCK_WIDTH + 11
    rng = np.random.default_rng(silos)
    by, weights = scale(silos), [100 + silo for silo in range(silos)]
    plains = [
        trained({"w": rng.uniform(-1, 1, count).astype(np.float32)}, evaluated(*rows(silo))) for silo in range(silos)
    ]
    open_ = sums([source_of(bare(Stage.TRAIN, p, w, by)) for p, w in zip(plains, weights, strict=True)], None)
    hidden = [source_of(data) for data in masked(Stage.TRAIN, plains, weights, by)]
    taken_off = sums(hidden, unmasker(silos), width)
    for name, values in open_.numbers.items():
        assert taken_off.numbers[name].tobytes() == values.tobytes()
    assert (open_.counts == taken_off.counts).all()
    update = np.concatenate(list(open_.update))
    assert np.concatenate(list(taken_off.update)).tobytes() == update.tobytes()
    assert open_.numbers["evaluation.sums"][0] == 30 * silos
    assert int(open_.counts.sum()) == 30 * silos


def test_no_masked_vector_looks_like_the_bare_one_anywhere():
    plain = trained({"w": np.zeros(50_000, np.float32)})
    open_ = np.frombuffer(bare(Stage.TRAIN, plain, 9, scale(2))[-200_000:], np.uint32)
    (hidden, _) = (
        np.frombuffer(data[-200_000:], np.uint32) for data in masked(Stage.TRAIN, [plain] * 2, [9, 9], scale(2))
    )
    assert (open_ == hidden).sum() < 5
    assert abs(hidden.astype(np.float64).mean() / 2**32 - 0.5) < 0.02


def test_the_masks_of_one_silo_too_few_leave_noise():
    by, plain = scale(3), trained({"w": np.full(1000, 0.5, np.float32)})
    hidden = [source_of(data) for data in masked(Stage.TRAIN, [plain] * 3, [10] * 3, by)]
    update = np.concatenate(list(sums(hidden[:2], unmasker(2)).update))
    assert np.std(mean(update, 20, by)) > 0.5


@given(st.lists(st.lists(st.floats(-1e15, 1e15), min_size=3, max_size=3), min_size=2, max_size=5))
def test_statistics_are_summed_exactly_and_rounded_once(values):
    """Whole numbers and fractions of 2^-64 lose nothing on the way; math.fsum is the sum rounded once."""
    plains = [tensors.encode(payload.prepared_tensors({"s.x": np.array(one)}, None)) for one in values]
    total = sums([source_of(bare(Stage.PREPARE, plain, 5, scale(len(values)))) for plain in plains], None)
    rounded = [[round(v * 2**64) / 2**64 if abs(v) < 2**-11 else v for v in one] for one in values]
    assert total.numbers["statistics.s.x"].tolist() == [math.fsum(column) for column in zip(*rounded, strict=True)]
    assert total.counts is None
    assert list(total.update) == []


def test_results_of_two_layouts_make_no_sum():
    one, other = (bare(Stage.TRAIN, trained({"w": np.ones(size, np.float32)}), 3, scale(2)) for size in (2, 3))
    with pytest.raises(TensorError, match="do not have one layout"):
        sums([source_of(one), source_of(other)], None)


# --- what may not be masked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "weight", "message"),
    [
        (np.ones(5, np.float32), 1001, "a weight of 1001 rows; the plan's cap is 1000"),
        (np.ones(5, np.float32), 0, "a weight of 0 rows"),
        (np.array([1, np.nan], np.float32), 10, "a NaN or an infinity"),
        (np.array([1, -np.inf], np.float32), 10, "a NaN or an infinity"),
        (np.full(2000, 1.5, np.float32), 10, "2000 of 2000 coordinates of the update are beyond the clip"),
    ],
)
def test_a_result_that_a_sum_could_not_hold_is_not_masked(update, weight, message):
    with pytest.raises(SecAggError, match=message):
        bare(Stage.TRAIN, trained({"w": update}), weight, scale(2))


def test_clipping_is_counted_over_all_blocks_of_the_update():
    update = np.zeros(4 * BLOCK_WIDTH, np.float32)
    update[:: BLOCK_WIDTH // 30] = 2.0  # 124 of 131,072 are fewer than one in a thousand
    bare(Stage.TRAIN, trained({"w": update}), 10, scale(2))
    update[:140] = 2.0
    with pytest.raises(SecAggError, match="beyond the clip"):
        bare(Stage.TRAIN, trained({"w": update}), 10, scale(2))


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**62])
def test_a_statistic_that_a_sum_could_not_hold_is_not_masked(value):
    plain = tensors.encode(payload.prepared_tensors({"s.x": np.array([value])}, None))
    with pytest.raises(SecAggError, match="not finite, or beyond"):
        bare(Stage.PREPARE, plain, 10, scale(2))


# --- memory --------------------------------------------------------------------------------------------------------


def peak_of(work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_masking_and_summing_take_a_few_blocks_whatever_the_size_of_the_model():
    by = scale(4)
    peaks = {}
    for count in (4 * BLOCK_WIDTH, 64 * BLOCK_WIDTH):
        plain = source_of(trained({"w": np.full(count, 0.25, np.float32)}))

        def mask(plain=plain) -> None:
            for piece in masked_pieces(Stage.TRAIN, plain, 10, by, Masker([Mask(bytes(32), 1)], openssl())):
                assert len(piece) <= 4 * BLOCK_WIDTH

        one = source_of(b"".join(masked_pieces(Stage.TRAIN, plain, 10, by, None)))

        def add(one=one, count=count) -> None:
            total = sums([one] * 4, unmasker(4))
            assert sum(len(block) for block in total.update) == count

        peaks[count] = peak_of(mask), peak_of(add)
    small, large = peaks.values()
    assert large[0] < small[0] + 100_000
    assert large[1] < small[1] + 100_000
    assert max(large) < 2_000_000  # of an update of 8.4 MB
