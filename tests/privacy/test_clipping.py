"""Does clipping keep every update within its norm, and change nothing else?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from septum.errors import ConfigError, TensorError
from septum.privacy.clipping import clip_l2

F = np.float32

element = st.floats(-(2.0**60), 2.0**60, width=32)
updates = st.dictionaries(
    st.sampled_from(["bias", "weight", "layer.0", "layer.1"]),
    st.tuples(st.integers(0, 3), st.integers(0, 4)).flatmap(lambda shape: arrays(F, shape, elements=element)),
    max_size=4,
)
norms = st.floats(1e-6, 1e6)


def exact_norm(update):
    return math.sqrt(math.fsum(float(x) ** 2 for tensor in update.values() for x in tensor.ravel()))


def test_a_long_update_by_hand():
    # norm sqrt(9 + 0 + 16) = 5, clipped to 1: (3/5, 0, 4/5)
    clipped, norm = clip_l2({"w": F([3, 0]), "b": F([[4]])}, max_norm=1.0)
    assert norm == 5.0
    assert clipped["w"] == pytest.approx([0.6, 0.0], rel=1e-6)
    assert clipped["b"] == pytest.approx(np.array([[0.8]]), rel=1e-6)


def test_the_norm_is_of_all_tensors_together():
    # each tensor alone has norm 3 or 4, below 4.5; together 5
    clipped, _ = clip_l2({"w": F([3]), "b": F([4])}, max_norm=4.5)
    assert clipped["w"].item() < 3
    assert clipped["b"].item() < 4


@pytest.mark.parametrize("max_norm", [5.0, 5.1, 1e9])
def test_an_update_that_is_short_enough_comes_back_as_it_is(max_norm):
    update = {"w": F([3, 0]), "b": F([4])}
    clipped, norm = clip_l2(update, max_norm)
    assert norm == 5.0
    assert all(clipped[name] is tensor for name, tensor in update.items())


@given(updates, norms)
def test_the_norm_after_clipping_is_never_above_the_limit(update, max_norm):
    clipped, before = clip_l2(update, max_norm)
    assert exact_norm(clipped) <= max_norm * (1 + 1e-15)  # the tolerance is the test's own square root
    assert before == pytest.approx(exact_norm(update), rel=1e-12)


@given(updates, norms)
def test_clipping_an_update_that_is_too_long_uses_the_whole_limit(update, max_norm):
    clipped, before = clip_l2(update, max_norm)
    if before > max_norm:
        assert exact_norm(clipped) >= max_norm * (1 - 1e-6)


@given(updates, norms)
def test_clipping_twice_is_clipping_once(update, max_norm):
    once, _ = clip_l2(update, max_norm)
    twice, _ = clip_l2(once, max_norm)
    assert all(twice[name].tobytes() == once[name].tobytes() for name in update)


@given(updates, norms)
def test_names_shapes_dtype_and_direction_stay(update, max_norm):
    clipped, before = clip_l2(update, max_norm)
    factor = min(1.0, max_norm / before) if before else 1.0
    assert list(clipped) == list(update)
    for name, tensor in update.items():
        assert clipped[name].shape == tensor.shape
        assert clipped[name].dtype == F
        np.testing.assert_allclose(clipped[name], tensor.astype(np.float64) * factor, rtol=1e-6, atol=1e-30)


@given(updates, norms)
def test_the_order_of_the_tensors_changes_no_bit(update, max_norm):
    one, norm = clip_l2(update, max_norm)
    other, norm_again = clip_l2(dict(reversed(update.items())), max_norm)
    assert norm == norm_again
    assert all(one[name].tobytes() == other[name].tobytes() for name in update)


@given(updates, norms)
def test_the_update_itself_is_left_alone(update, max_norm):
    before = {name: tensor.copy() for name, tensor in update.items()}
    clip_l2(update, max_norm)
    assert all(update[name].tobytes() == before[name].tobytes() for name in update)


def test_a_tensor_of_several_chunks_counts_as_a_whole():
    # 200,000 ones and a stride: the norm is sqrt(200,000), which float32 sums would miss
    tensor = np.ones((2, 200_000), F)[:, ::2]
    clipped, norm = clip_l2({"w": tensor}, max_norm=1.0)
    assert norm == math.sqrt(200_000)
    assert exact_norm(clipped) == pytest.approx(1.0, rel=1e-6)


def test_the_squares_of_large_values_do_not_overflow():
    clipped, norm = clip_l2({"w": F([3e38, 3e38])}, max_norm=1.0)
    assert norm == pytest.approx(3e38 * math.sqrt(2), rel=1e-6)
    assert clipped["w"] == pytest.approx([math.sqrt(0.5)] * 2, rel=1e-6)


def test_a_factor_too_small_for_float32_still_clips_to_the_limit():
    # 1e-6 / 3e38 is below the normal numbers of float32; the product is not
    clipped, _ = clip_l2({"w": F([3e38])}, max_norm=1e-6)
    assert clipped["w"] == pytest.approx([1e-6], rel=1e-6)


def test_an_update_of_zeros_or_without_tensors_has_norm_zero():
    assert clip_l2({"w": F([0, 0])}, 1.0)[1] == 0.0
    assert clip_l2({}, 1.0) == ({}, 0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_by_tensor(bad):
    with pytest.raises(TensorError, match="tensor 'b' of the update has a NaN or an infinity"):
        clip_l2({"a": F([1]), "b": F([1, bad])}, 1.0)


def test_a_tensor_that_is_not_float32_is_refused():
    with pytest.raises(TensorError, match="'w' of the update is float64"):
        clip_l2({"w": np.ones(2)}, 1.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_limits_nothing_is_refused(bad):
    with pytest.raises(ConfigError, match="finite number above 0"):
        clip_l2({"w": F([1])}, bad)
