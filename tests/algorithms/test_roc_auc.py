"""Is ROC-AUC exact in a silo, and over silos within its bound, whatever the scale of the scores?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from septum.algorithms.roc_auc import (
    BIN_COUNT,
    COARSE_BIN_COUNT,
    COARSE_LARGEST_BIN,
    COARSER_BITS,
    LARGEST_BIN,
    MAX_ROWS,
    bin_counts,
    bin_index,
    binned_auc,
    counts_between,
    counts_of_dense,
    dense_counts,
    finer_edges,
    merge_counts,
    roc_auc,
)
from septum.errors import TensorError
from septum.protocol.facts import LARGE_BOUND

ROUNDING = 1e-15  # of one division in float64

logit = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-3, 3).map(float)
rows = st.lists(st.tuples(logit, st.booleans()), min_size=1, max_size=40)


def columns(pairs):
    return np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs])


def brute_force(scores, labels):
    """Every pair of a positive and a negative: 1 in order, 1/2 tied, 0 otherwise."""
    positives, negatives = scores[labels], scores[~labels]
    won = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return won / (len(positives) * len(negatives)) if len(positives) and len(negatives) else None


def realistic(n, shift, spread, seed):
    """Logits of a useful classifier: 30 % positives, one standard deviation apart."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.3
    return rng.normal(shift, spread, n) + labels * spread, labels


def test_six_rows_by_hand():
    # positives 3, 2, 1 against negatives 2, 1, 0: (3 + 2.5 + 1.5) / 9
    scores, labels = [3.0, 2.0, 1.0, 2.0, 1.0, 0.0], [1, 1, 1, 0, 0, 0]
    assert roc_auc(scores, labels) == 7 / 9


@pytest.mark.parametrize(("labels", "auc"), [([0, 0, 1, 1], 1.0), ([1, 1, 0, 0], 0.0)])
def test_perfect_and_reversed_orders(labels, auc):
    assert roc_auc([1, 2, 3, 4], labels) == auc
    assert binned_auc(bin_counts([1, 2, 3, 4], labels)) == (auc, 0.0)


def test_scores_that_are_all_equal_give_one_half():
    assert roc_auc([0.0] * 4, [0, 1, 0, 1]) == 0.5
    assert binned_auc(bin_counts([0.0] * 4, [0, 1, 0, 1])) == (0.5, 0.5)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_without_both_classes_there_is_no_auc(labels):
    scores = [0.5] * len(labels)
    assert roc_auc(scores, labels) is None
    assert binned_auc(bin_counts(scores, labels)) is None


@given(rows)
def test_the_auc_is_that_of_all_pairs(pairs):
    scores, labels = columns(pairs)
    assert roc_auc(scores, labels) == brute_force(scores, labels)


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_the_auc_is_that_of_scikit_learn(decimals):
    scores, labels = realistic(3_000, -1.0, 2.0, seed=decimals)
    scores = scores.round(decimals)  # 0 and 1 make ties
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_a_hundred_thousand_rows_do_not_overflow():
    scores, labels = np.arange(100_000.0), np.arange(100_000) >= 50_000
    assert roc_auc(scores, labels) == 1.0


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=30))
def test_a_larger_logit_never_has_a_smaller_bin(logits):
    bins = bin_index(np.sort(np.array(logits)))
    assert (np.diff(bins) >= 0).all()


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30))
def test_the_opposite_logit_has_the_opposite_bin(logits):
    assert (bin_index(-np.array(logits)) == -bin_index(np.array(logits))).all()


def test_bins_span_what_is_documented():
    ends = [-np.inf, -1e300, -4096, -(2.0**-16), -(2.0**-17), -0.0, 0.0, 1e-40, 2.0**-17, 2.0**-16, 4096, np.inf]
    assert bin_index(ends).tolist() == [-LARGEST_BIN] * 3 + [-1, 0, 0, 0, 0, 0, 1] + [LARGEST_BIN] * 2
    assert bin_index([4095.9]).item() == LARGEST_BIN
    assert bin_index([2047.9]).item() == LARGEST_BIN - 2**11
    assert bin_index(ends).dtype == np.int32


def test_a_dense_histogram_takes_what_the_docstring_says():
    assert BIN_COUNT == 2 * LARGEST_BIN + 1 == 114_689
    assert BIN_COUNT * 2 * 8 == 1_835_024
    assert "114,689" in bin_counts.__doc__
    assert "1.84 MB" in bin_counts.__doc__


def test_a_bin_is_a_two_thousandth_of_its_logit_wide():
    logits = np.float32(2.0) ** np.arange(-15, 12)
    assert (bin_index(logits * np.float32(1 + 2**-11)) == bin_index(logits) + 1).all()
    assert (bin_index(logits * np.float32(1 + 2**-12)) == bin_index(logits)).all()


def test_counts_by_hand():
    # 1.0 and 1.0001 share the bin 16 * 2048 + 1 ; 2.0 is 2048 bins further ; 0 is bin 0
    counts = bin_counts([2.0, 1.0, 1.0001, 0.0, -1.0], [1, 1, 0, 0, 0])
    assert counts.tolist() == [[-32769, 1, 0], [0, 1, 0], [32769, 1, 1], [34817, 0, 1]]
    assert counts.dtype == np.int64
    # positives 2.0 and 1.0 against negatives -1, 0, 1.0001: 3 + 2.5 of 6, off by at most 0.5 of 6
    assert binned_auc(counts) == (5.5 / 6, 0.5 / 6)


@given(rows)
def test_the_exact_auc_is_within_the_bound(pairs):
    scores, labels = columns(pairs)
    exact, binned = roc_auc(scores, labels), binned_auc(bin_counts(scores, labels))
    if exact is None:
        assert binned is None
    else:
        assert abs(binned[0] - exact) <= binned[1] + ROUNDING


@given(st.lists(rows | st.just([]), max_size=5))
def test_merging_is_counting_the_concatenation(silos):
    merged = merge_counts([bin_counts(*columns(silo)) for silo in silos])
    together = bin_counts(*columns([pair for silo in silos for pair in silo]))
    assert merged.tolist() == together.tolist()
    assert merged.dtype == np.int64


@given(rows)
def test_counts_lose_no_row_and_are_sorted_without_empty_bins(pairs):
    scores, labels = columns(pairs)
    counts = bin_counts(scores, labels)
    assert counts[:, 1].sum() == (~labels).sum()
    assert counts[:, 2].sum() == labels.sum()
    assert (np.diff(counts[:, 0]) > 0).all()
    assert (counts[:, 1:].sum(axis=1) > 0).all()


@pytest.mark.parametrize("scale", [1 / 30, 1.0, 30.0])
@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (-1.0, 2.0), (3.0, 1.0), (-5.0, 0.5)])
@pytest.mark.parametrize("n", [254, 5_000, 100_000])
def test_the_bound_stays_far_below_two_thousandths_for_realistic_scores(n, shift, spread, scale):
    scores, labels = realistic(n, shift, spread, seed=n)
    auc, bound = binned_auc(bin_counts(scores * scale, labels))
    assert bound < 0.0007  # the limit is 0.002
    assert abs(auc - roc_auc(scores * scale, labels)) <= bound + ROUNDING


def test_float32_logits_fall_into_the_bins_of_their_float64_values():
    scores, _ = realistic(1_000, 0.0, 1.0, seed=5)
    scores32 = scores.astype(np.float32)
    assert (bin_index(scores32) == bin_index(scores32.astype(np.float64))).all()


@settings(max_examples=30)
@given(rows, st.sampled_from([0.25, 2.0, 16.0]))
def test_scaling_by_a_power_of_two_changes_no_auc(pairs, factor):
    scores, labels = columns([(max(min(s, 100.0), -100.0), label) for s, label in pairs])
    scores = np.where(np.abs(scores) < 1e-3, 0, scores)  # away from where the exponent is clamped
    assert binned_auc(bin_counts(scores * factor, labels)) == binned_auc(bin_counts(scores, labels))


@pytest.mark.parametrize("call", [roc_auc, bin_counts])
def test_nan_is_refused_with_its_row(call):
    with pytest.raises(TensorError, match="1 of 3 logits are NaN, the first in row 1"):
        call([0.0, float("nan"), 1.0], [0, 1, 1])


def test_nan_has_no_bin():
    with pytest.raises(TensorError, match="NaN"):
        bin_index([float("nan")])


@pytest.mark.parametrize("call", [roc_auc, bin_counts])
@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([0.0, 1.0], [1], "2 logits came with labels"),
        ([0.0, 1.0], [1, 2], "row 1 has label 2"),
        ([0.0, 1.0], [0.5, 1], "row 0 has label 0.5"),
        ([[0.0, 1.0]], [[0, 1]], "one number a row"),
        (["a"], [1], "one number a row"),
        ([1j], [1], "one number a row"),
    ],
)
def test_rows_that_make_no_sense_are_refused(call, logits, labels, message):
    with pytest.raises(TensorError, match=message):
        call(logits, labels)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1.0, 1, 1]], "float64"),
        ([1, 1, 1], "shape"),
        ([[1, 1]], "shape"),
        ([[LARGEST_BIN + 1, 1, 1]], "bin outside"),
        ([[-LARGEST_BIN - 1, 1, 1]], "bin outside"),
        ([[np.iinfo(np.int64).min, 1, 1]], "bin outside"),
        ([[1, -1, 1]], "count outside"),
        ([[1, 1, 2**62]], "count outside"),
    ],
)
def test_counts_that_no_silo_can_have_made_are_refused_by_number(counts, message):
    good = bin_counts([1.0], [1])
    with pytest.raises(TensorError, match=f"histogram 1 of 2.*{message}"):
        merge_counts([good, np.array(counts)])


def test_more_rows_than_the_arithmetic_holds_are_refused():
    counts = np.array([[1, MAX_ROWS, 0], [2, 0, 1]])
    with pytest.raises(TensorError, match=f"counts {MAX_ROWS + 1} rows"):
        binned_auc(counts)


def test_as_many_rows_as_the_arithmetic_holds_are_exact():
    # half of the largest number of rows each, one class below the other
    counts = np.array([[1, MAX_ROWS // 2, 0], [2, 0, MAX_ROWS // 2]])
    assert binned_auc(counts) == (1.0, 0.0)


def test_bins_without_rows_are_dropped_and_unsorted_ones_sorted():
    merged = merge_counts([np.array([[7, 1, 2], [5, 0, 0], [-3, 1, 0], [7, 0, 1]])])
    assert merged.tolist() == [[-3, 1, 0], [7, 1, 3]]


def test_no_histogram_at_all_merges_to_an_empty_one():
    assert merge_counts([]).shape == (0, 3)
    assert binned_auc(merge_counts([])) is None


# --- the dense form that a masked sum carries ----------------------------------------------------------------------


@given(rows)
def test_the_exact_auc_is_within_the_bound_of_the_dense_counts_too(pairs):
    logits, labels = columns(pairs)
    counts = bin_counts(logits, labels)
    found = binned_auc(counts_of_dense(dense_counts(counts)))
    exact = brute_force(logits, labels)
    if exact is None:
        assert found is None
    else:
        auc, bound = found
        assert abs(auc - exact) <= bound + ROUNDING
        assert bound >= binned_auc(counts)[1]  # wider bins never know more


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (-2.0, 1.5), (5.0, 0.5)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_dense_counts_stay_within_their_bound_for_realistic_scores_also_thirty_times_too_large(shift, spread, scale):
    logits, labels = realistic(4000, shift, spread, seed=7)
    exact = roc_auc(scale * logits, labels)
    auc, bound = binned_auc(counts_of_dense(dense_counts(bin_counts(scale * logits, labels))))
    assert abs(auc - exact) <= bound
    assert bound <= (0.001 if shift == 0.0 else 0.02)  # with a mean ten deviations away, bins are coarse


@given(st.lists(rows, min_size=1, max_size=4))
def test_the_sum_of_dense_counts_is_the_dense_count_of_all_rows(silos):
    counts = [bin_counts(*columns(pairs)) for pairs in silos]
    added = sum(dense_counts(one).astype(np.int64) for one in counts)
    assert (added == dense_counts(merge_counts(counts))).all()
    assert added.sum() == sum(map(len, silos))
    assert (counts_of_dense(added.astype(np.uint32))[:, 1:].any(axis=1)).all()


def test_a_dense_bin_holds_thirty_two_fine_ones_and_zero_alone_the_smallest_logits():
    assert (COARSE_BIN_COUNT, 1 << COARSER_BITS) == (2 * COARSE_LARGEST_BIN + 1, 32)
    places = {bin_: int(dense_counts(np.array([[bin_, 0, 1]])).nonzero()[0][0]) - COARSE_LARGEST_BIN
              for bin_ in (-LARGEST_BIN, -33, -32, -1, 0, 1, 32, 33, LARGEST_BIN)}  # fmt: skip
    assert places == {
        -LARGEST_BIN: -COARSE_LARGEST_BIN, -33: -2, -32: -1, -1: -1, 0: 0, 1: 1, 32: 1, 33: 2,
        LARGEST_BIN: COARSE_LARGEST_BIN,
    }  # fmt: skip


def test_dense_counts_of_another_shape_or_beyond_their_words_are_refused():
    with pytest.raises(TensorError, match="must be"):
        counts_of_dense(np.zeros((COARSE_BIN_COUNT + 1, 2), np.uint32))
    two = np.array([[1, MAX_ROWS, 0], [2, 1, 0]])  # of one dense bin
    with pytest.raises(TensorError, match="rows in one bin"):
        dense_counts(two)
    assert dense_counts(np.array([[1, MAX_ROWS, 0]])).max() == MAX_ROWS


# --- counted once more -----------------------------------------------------------------------------------------------


@given(rows, st.sets(st.integers(-LARGEST_BIN + 1, LARGEST_BIN), max_size=50))
def test_between_any_edges_the_exact_auc_is_within_the_bound_and_no_row_is_lost(pairs, inner):
    logits, labels = columns(pairs)
    dense = counts_between(bin_counts(logits, labels), [-LARGEST_BIN, *sorted(inner)])
    assert dense.sum() == len(labels)
    exact, found = brute_force(logits, labels), binned_auc(counts_of_dense(dense))
    assert (found is None) == (exact is None)
    if exact is not None:
        assert abs(found[0] - exact) <= found[1] + ROUNDING


@given(st.lists(rows, min_size=1, max_size=4))
def test_counted_once_more_the_bound_is_never_larger(silos):
    counts = [bin_counts(*columns(pairs)) for pairs in silos]
    first = dense_counts(merge_counts(counts))
    edges = finer_edges(first)
    second = sum(counts_between(one, edges).astype(np.int64) for one in counts)
    before, after = (binned_auc(counts_of_dense(dense.astype(np.uint32))) for dense in (first, second))
    assert (before is None) == (after is None)
    if before is not None:
        assert after[1] <= before[1]
        assert abs(after[0] - before[0]) <= before[1] + ROUNDING


def counted_twice(logits, labels):
    counts = bin_counts(logits, labels)
    first = dense_counts(counts)
    second = counts_between(counts, finer_edges(first))
    return [binned_auc(counts_of_dense(dense)) for dense in (first, second)]


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (-2.0, 1.5), (5.0, 0.5), (-9.0, 1.0)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_counted_once_more_realistic_scores_are_known_to_two_thousandths(shift, spread, scale):
    """Also those of a rare disease, whose logits all lie far from zero: once they are not, by up to 0.014."""
    logits, labels = realistic(4000, shift, spread, seed=7)
    (_, once), (auc, twice) = counted_twice(scale * logits, labels)
    assert abs(auc - roc_auc(scale * logits, labels)) <= twice <= LARGE_BOUND
    assert shift != 5.0 or once > 3 * LARGE_BOUND


@pytest.mark.parametrize("spread", [1e-3, 1e-6, 0.0])
def test_of_scores_that_are_almost_the_same_the_bound_says_that_their_order_is_not_known(spread):
    logits, labels = realistic(4000, 5.0 / max(spread, 1e-9), 1.0, seed=7)
    logits = logits * spread if spread else np.full(len(labels), 5.0)
    _, (auc, bound) = counted_twice(logits, labels)
    assert abs(auc - roc_auc(logits, labels)) <= bound
    assert bound > 10 * LARGE_BOUND


@pytest.mark.parametrize("edges", [[], [0], [-LARGEST_BIN, 5, 5], [-LARGEST_BIN, 5, 4], list(range(-LARGEST_BIN, 0))])
def test_edges_that_leave_out_or_mix_scores_are_refused(edges):
    with pytest.raises(TensorError, match="edges of bins"):
        counts_between(bin_counts([1.0], [1]), edges)
