"""Is the Gram matrix right, and are its bits independent of blocks and of the silos' order?"""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.algorithms.attackers import updates_of_silos

from septum.algorithms.gram import gram_matrix, piece_width, squared_distances
from septum.errors import TensorError

F = np.float32


def in_blocks(updates, width):
    buffer = np.empty((len(updates), width), F)  # reused, as the engine does
    for at in range(0, updates.shape[1], width):
        block = buffer[:, : min(width, updates.shape[1] - at)]
        block[...] = updates[:, at : at + width]
        yield block


def of(updates, width=None):
    return gram_matrix(in_blocks(updates, width or updates.shape[1]), len(updates))


def test_two_silos_by_hand():
    # <(1,2,2), (1,2,2)> = 9 ; <(1,2,2), (0,4,-1)> = 6 ; <(0,4,-1), (0,4,-1)> = 17
    assert of(F([[1, 2, 2], [0, 4, -1]])).tolist() == [[9.0, 6.0], [6.0, 17.0]]


@pytest.mark.parametrize("width", [1, 7, 1_000, 8_191, 8_193, 32_768])
@pytest.mark.parametrize("silos", [1, 2, 5, 40])
def test_any_block_width_gives_the_same_bits(silos, width):
    size = 20_011 if width > 7 else 8_300  # more than a piece either way
    updates = np.random.default_rng(3).normal(size=(silos, size)).astype(F)
    assert of(updates, width).tobytes() == of(updates).tobytes()


def test_a_permutation_of_the_silos_permutes_the_matrix_bit_for_bit():
    rng = np.random.default_rng(4)
    updates = (rng.normal(size=(23, 30_001)) * 10.0 ** rng.integers(-6, 6, size=(23, 1))).astype(F)
    order = rng.permutation(23)
    assert of(updates[order], 999).tobytes() == of(updates)[np.ix_(order, order)].tobytes()


def test_the_matrix_is_symmetric_bit_for_bit():
    matrix = of(np.random.default_rng(5).normal(size=(9, 12_345)).astype(F))
    assert matrix.tobytes() == np.ascontiguousarray(matrix.T).tobytes()


@given(updates_of_silos(), st.integers(1, 30))
def test_it_is_the_naive_product_exactly_where_that_is_exact(updates, width):
    wide = updates.astype(np.float64)  # whole numbers: no sum is rounded
    assert of(updates, width).tolist() == (wide @ wide.T).tolist()


def test_it_agrees_with_exact_sums_to_a_few_roundings():
    updates = np.random.default_rng(6).normal(size=(3, 50_000)).astype(F)
    found = of(updates, 4096)
    for i, a in enumerate(updates.astype(np.float64)):
        for j, b in enumerate(updates.astype(np.float64)):
            size = math.fsum(np.abs(a * b))
            assert abs(found[i, j] - math.fsum(a * b)) <= 1e-13 * size


def test_the_largest_updates_overflow_nothing():
    assert np.isfinite(of(np.full((2, 1000), 3e38, F))).all()


def test_memory_is_a_few_pieces_whatever_the_model():
    silos, peaks = 50, {}
    for blocks in (10, 100):
        block = np.ones((silos, 20_000), F)
        tracemalloc.start()
        gram_matrix((block for _ in range(blocks)), silos)
        peaks[blocks] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[100] < peaks[10] + 100_000
    assert peaks[100] < 2 * 8 * silos * piece_width(silos)


@pytest.mark.parametrize("block", [np.ones((2, 3)), np.ones((3, 3), F), np.ones(2, F)])
def test_a_block_of_another_kind_is_refused(block):
    with pytest.raises(TensorError, match=r"a block is \(2, width\) float32"):
        gram_matrix([block], 2)


@given(updates_of_silos())
def test_squared_distances_are_those_of_the_vectors(updates):
    wide = updates.astype(np.float64)
    expected = [[float(((a - b) ** 2).sum()) for b in wide] for a in wide]
    assert squared_distances(of(updates)).tolist() == expected


def test_a_distance_that_rounding_made_negative_is_0():
    almost = np.array([[1.0, 1.0 + 2**-52], [1.0 + 2**-52, 1.0]])
    assert squared_distances(almost).tolist() == [[0.0, 0.0], [0.0, 0.0]]
