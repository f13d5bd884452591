"""Updates are read and added up one after another: the same bits as side by side, and nothing more is read or held."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.algorithms.strategy import strategy, strategy_names
from septum.algorithms.weighted_mean import mean_summands, sum_summands, weighted_mean, weighted_sum
from septum.errors import StorageError, TensorError
from septum.protocol import blocks
from septum.protocol.blocks import Region
from septum.protocol.sources import Source, source_of

HEAD = 12  # bytes before the numbers: files have a header


def regions_of(block):
    return [Region(source_of(bytes(HEAD) + row.tobytes()), HEAD, block.shape[1]) for row in block]


def normal(silos, width):
    return np.random.default_rng(width).normal(size=(silos, width)).astype(np.float32)


@given(silos=st.integers(1, 5), count=st.integers(1, 60), width=st.integers(1, 70))
def test_a_sum_read_silo_by_silo_has_the_bits_of_one_over_whole_vectors(silos, count, width):
    block, weights = normal(silos, count), list(range(3, 3 + silos))
    found = [delta.copy() for delta in blocks.summed(regions_of(block), mean_summands(weights), width)]
    assert np.concatenate(found).tobytes() == weighted_mean(block, weights).tobytes()
    assert [len(delta) for delta in found[:-1]] == [width] * (len(found) - 1)
    beside = np.concatenate([part.copy() for part in blocks.update_blocks(regions_of(block), width)], axis=1)
    assert beside.tobytes() == block.tobytes()


def test_a_single_silos_minus_zero_stays_one():
    block = np.array([[-0.0, 1.0]], np.float32)
    (found,) = blocks.summed(regions_of(block), mean_summands([7]), 9)
    assert found.tobytes() == block.tobytes()


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategys_delta_has_the_bits_of_its_rule_over_whole_vectors(name):
    block, weights = normal(7, 1_001), np.array([5, 1, 0, 2, 9, 4, 3], np.float64)
    rule = strategy(name)
    for width in (100, 1_001, 5_000):
        found = np.concatenate([delta.copy() for delta in blocks.deltas(rule, regions_of(block), weights, width)])
        assert found.tobytes() == rule.combine(block, weights).tobytes(), width


def unreadable(width):
    def read(offset: int, buffer: memoryview) -> None:
        raise StorageError(f"{len(buffer)} bytes at {offset} cannot be read")

    return Region(Source(HEAD + 4 * width, read), HEAD, width)


def test_an_update_whose_factor_is_zero_is_not_read():
    block = normal(3, 50)
    regions = [regions_of(block)[0], unreadable(50), regions_of(block)[2]]
    factors = [0.5, 0.0, -2.0]
    found = np.concatenate([delta.copy() for delta in blocks.summed(regions, sum_summands(factors), 20)])
    assert found.tobytes() == weighted_sum(block, factors).tobytes()
    assert [delta.tolist() for delta in blocks.summed([unreadable(3)] * 2, sum_summands([0, 0]), 2)] == [[0, 0], [0]]


@pytest.mark.parametrize("name", ["fedavg", "median"])
def test_an_update_that_cannot_be_read_ends_it_with_that_error(name):
    short = Region(source_of(bytes(HEAD + 4 * 49)), HEAD, 50)
    for broken, error in ((unreadable(50), StorageError), (short, TensorError)):
        regions = [*regions_of(normal(2, 50)), broken]
        with pytest.raises(error):
            list(blocks.deltas(strategy(name), regions, [1, 1, 1], 20))


def test_what_is_added_up_takes_two_vectors_of_memory_however_many_silos_there_are():
    width = 10_000
    regions = regions_of(normal(1, 50_000)) * 300
    tracemalloc.start()
    for _ in blocks.summed(regions, mean_summands([1] * 300), width):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 4 * width + 100_000


def test_many_silos_make_blocks_narrower_only_where_they_lie_side_by_side():
    assert blocks.step_width(strategy("krum"), 4_000) == blocks.step_width(strategy("fedavg"), 1) == blocks.WIDEST
    assert blocks.step_width(strategy("median"), 4_000) == blocks.BLOCK_FLOATS // 4_000


@pytest.mark.parametrize("floats", [1, 17, 100_000])
def test_memory_begins_with_a_cache_line(floats):
    for _ in range(5):
        memory = blocks.room(floats)
        assert memory.shape == (floats,)
        assert memory.ctypes.data % 64 == 0
