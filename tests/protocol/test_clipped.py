"""Does clipping keep every payload's update within its norm, and change nothing else?"""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.protocol.masking import evaluated, rows, trained

from septum.errors import TensorError
from septum.privacy.clipping import BLOCK
from septum.protocol import payload, tensors
from septum.protocol.clipped import clip, factor_for, pieces
from septum.protocol.sources import Source, source_of

F = np.float32

element = st.floats(-(2.0**60), 2.0**60, width=32)
updates = st.dictionaries(
    st.sampled_from(["bias", "weight", "layer.0", "layer.1"]),
    st.tuples(st.integers(0, 3), st.integers(0, 4)).flatmap(lambda shape: arrays(F, shape, elements=element)),
    max_size=4,
)
norms = st.floats(1e-6, 1e6)


def updated(data):
    found = tensors.decode(data)
    return {name.removeprefix("update."): one for name, one in found.items() if name.startswith("update.")}


def exact_norm(update):
    return math.sqrt(math.fsum(float(x) ** 2 for tensor in update.values() for x in tensor.ravel()))


def test_the_norm_is_of_all_tensors_together():
    # norm sqrt(9 + 0 + 16) = 5, clipped to 1: (3/5, 0, 4/5); each tensor alone has norm 3 or 4
    clipped = updated(clip(trained({"w": F([3, 0]), "b": F([[4]])}), 1.0))
    assert clipped["w"] == pytest.approx([0.6, 0.0], rel=1e-6)
    assert clipped["b"] == pytest.approx(np.array([[0.8]]), rel=1e-6)
    assert updated(clip(trained({"w": F([3]), "b": F([4])}), 4.5))["b"].item() < 4


@given(updates, norms)
def test_the_norm_after_clipping_is_never_above_the_limit_and_uses_all_of_it(update, max_norm):
    clipped = exact_norm(updated(clip(trained(update), max_norm)))
    assert clipped <= max_norm * (1 + 1e-15)  # the tolerance is the test's own square root
    if exact_norm(update) > max_norm:
        assert clipped >= max_norm * (1 - 1e-6)


@given(updates, norms)
def test_clipping_twice_is_clipping_once_and_what_is_short_enough_keeps_its_bytes(update, max_norm):
    data = trained(update)
    once = clip(data, max_norm)
    assert clip(once, max_norm) == once
    assert (once is data) == (exact_norm(update) <= max_norm)


@given(updates, norms)
def test_direction_and_all_that_is_beside_the_update_stay(update, max_norm):
    data = trained(update)
    before, after = tensors.decode(data), tensors.decode(clip(data, max_norm))
    norm = exact_norm(update)
    factor = min(1.0, max_norm / norm) if norm else 1.0
    assert list(after) == list(before)
    for name, tensor in before.items():
        assert (after[name].shape, after[name].dtype) == (tensor.shape, tensor.dtype)
        if name.startswith("update."):
            np.testing.assert_allclose(after[name], tensor.astype(np.float64) * factor, rtol=1e-6, atol=1e-30)
        else:
            assert after[name].tobytes() == tensor.tobytes()


@pytest.mark.parametrize("sizes", [(BLOCK,), (BLOCK - 1, 2), (BLOCK + 1, BLOCK), (1, 3 * BLOCK, 5)])
def test_blocks_come_to_the_same_as_the_whole(sizes):
    rng = np.random.default_rng(1)
    update = {f"t{number}": rng.normal(size=size).astype(F) for number, size in enumerate(sizes)}
    clipped = updated(clip(trained(update), 0.5))
    assert exact_norm(clipped) == pytest.approx(0.5, rel=1e-6)
    wanted = 0.5 / exact_norm(update) * (1 - 2.0**-22)
    for name, tensor in update.items():
        assert np.array_equal(clipped[name], (tensor.astype(np.float64) * wanted).astype(F))


def test_no_whole_update_is_in_memory():
    count = 4_000_000  # 16 MB, which the source makes as it is read
    data = trained({"w": np.zeros(count, F)})
    head, size = data[: -4 * count], len(data)

    def read(offset: int, buffer: memoryview) -> None:
        part = head[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        buffer[len(part) :] = b"\x00\x00\x80\x3f" * ((len(buffer) - len(part)) // 4)

    del data
    source = Source(size, read)
    tracemalloc.start()
    factor = factor_for(source, 1.0)
    written = sum(len(piece) for piece in pieces(source, factor))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (written, factor) == (size, pytest.approx(1 / 2000, rel=1e-6))
    assert peak < 4_000_000


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_by_tensor(bad):
    with pytest.raises(TensorError, match="tensor 'b' of the update has a NaN or an infinity"):
        clip(trained({"a": F([1]), "b": F([1, bad])}), 1.0)


def test_an_update_that_is_not_float32_is_refused():
    data = tensors.encode({"update.w": np.ones(2), **payload.evaluation_tensors(evaluated(*rows(1)))})
    with pytest.raises(TensorError, match=r"'update\.w' of the update is F64"):
        factor_for(source_of(data), 1.0)
