"""Is a number that is not finite never overlooked while a payload passes, in whatever pieces?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import TensorError
from septum.protocol import tensors
from septum.protocol.finite_scan import FiniteScan
from septum.protocol.sources import layout_of, source_of


def payload(**changed):
    """A file as silos send them: counts and sums before the numbers; the sums may hold NaN."""
    content = {
        "evaluation.bins": np.array([[-1, 2, 3]], np.int64),
        "evaluation.sums": np.array([5, 3, 1.5, np.nan]),
        "update.a": np.arange(7, dtype=np.float32),
        "update.b": np.float32([3e38, 3e38]),
    }
    return tensors.encode({**content, **changed})


def scanned(data, sizes, size_bytes=None):
    """What a scan says of bytes that pass in pieces of these sizes, the last one of what is left."""
    scan, chunks, at = FiniteScan(len(data) if size_bytes is None else size_bytes), [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    chunks.append(data[at:])
    assert b"".join(scan.over(chunks)) == data
    return scan.finite_from


pieces = st.lists(st.integers(0, 60), max_size=30)


@given(pieces)
def test_finite_numbers_are_seen_to_be_finite_in_any_pieces(sizes):
    data = payload()
    first = next(spec for spec in layout_of(source_of(data)).tensors if spec.dtype == "F32")
    assert scanned(data, sizes) == first.offset


@given(pieces, st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 8))
def test_a_number_that_is_not_finite_is_never_overlooked(sizes, bad, place):
    numbers = np.arange(9, dtype=np.float32)
    numbers[place] = bad
    assert scanned(payload(**{"update.a": numbers[:7], "update.b": numbers[7:]}), sizes) is None


@pytest.mark.parametrize("size", [0, 10**9])
def test_of_a_file_that_is_not_of_the_announced_size_nothing_is_said(size):
    assert scanned(payload(), [], size) is None


@pytest.mark.parametrize("data", [b"", b"no", b"\xff" * 100, payload()[:-1], payload()[:40]])
def test_of_what_is_no_such_file_nothing_is_said(data):
    with pytest.raises(TensorError):
        layout_of(source_of(data))
    assert scanned(data, [3]) is None


def test_of_a_file_without_float32_numbers_nothing_is_said():
    assert scanned(tensors.encode({"evaluation.sums": np.zeros(4)}), []) is None
