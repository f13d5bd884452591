"""Tensor files: what is read back, and everything that is refused before it is allocated."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load, save

from septum.errors import TensorError
from septum.protocol import tensors
from septum.protocol.layout import MAX_HEADER_BYTES, MAX_TENSORS, read_layout

pytestmark = pytest.mark.laws

NAMES = st.text("abcdefghij_.", min_size=1, max_size=8).filter(lambda name: name[0] not in "./-")
DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.int32])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, max_side=4)
TENSORS = st.dictionaries(NAMES, DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)), max_size=6)


def file_with(header: object, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def tensor(dtype: str = "F32", shape: tuple[int, ...] = (2,), start: int = 0, end: int = 8) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@given(TENSORS)
def test_what_is_written_is_read_back_bit_for_bit(content):
    read = tensors.decode(tensors.encode(content))
    assert read.keys() == content.keys()
    for name, array in content.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


@given(TENSORS)
def test_the_safetensors_library_reads_what_we_write_and_we_read_what_it_writes(content):
    theirs = load(tensors.encode(content))
    assert {name: array.tobytes() for name, array in theirs.items()} == {n: a.tobytes() for n, a in content.items()}
    ours = tensors.decode(save({name: np.ascontiguousarray(array) for name, array in content.items()}))
    assert {name: array.tobytes() for name, array in ours.items()} == {n: a.tobytes() for n, a in content.items()}


@given(TENSORS)
def test_equal_tensors_give_equal_bytes_in_whatever_order_they_are_named(content):
    assert tensors.encode(content) == tensors.encode(dict(reversed(content.items())))


def test_arrays_read_from_a_file_cannot_be_written():
    read = tensors.decode(tensors.encode({"w": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match="read-only"):
        read["w"][0] = 1


def test_a_dtype_that_has_no_place_in_a_file_is_named():
    with pytest.raises(TensorError, match="'w' is complex128"):
        tensors.encode({"w": np.zeros(2, complex)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short"),
        (b"1234567", "too short"),
        (struct.pack("<Q", 1), "1 bytes; allowed"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "allowed are"),
        (struct.pack("<Q", 2**63) + b"{}", "allowed are"),
        (struct.pack("<Q", 100) + b"{}", "only 10 are there"),
        (file_with(b"\xff\xfe"), "not JSON"),
        (file_with(b"[" * 100_000), "not JSON"),
        (file_with([]), "not a JSON object"),
        (file_with(b'{"w":1,"w":2}'), "stands twice"),
        (file_with({"w": 1}), "expected dtype, shape"),
        (file_with({"w": tensor() | {"more": 1}}, bytes(8)), "expected dtype, shape"),
        (file_with({"": tensor()}, bytes(8)), "no name"),
        (file_with({"w": tensor(shape=(0, 2**47, 2**47), end=0)}), "is no shape"),
        (file_with({"../x": tensor()}, bytes(8)), "no name"),
        (file_with({"w" * 201: tensor()}, bytes(8)), "no name"),
        (file_with({"w": tensor("F16", (4,))}, bytes(8)), "dtype 'F16'"),
        (file_with({"w": tensor(["F32"])}, bytes(8)), "dtype"),
        (file_with({"w": tensor(shape=(-2,))}, bytes(8)), "no shape"),
        (file_with({"w": tensor(shape=(True, 2))}, bytes(8)), "no shape"),
        (file_with({"w": tensor(shape=(1,) * 9)}, bytes(8)), "no shape"),
        (file_with({"w": tensor(shape=(2**47, 2**47), end=8)}, bytes(8)), "needs"),
        (file_with({"w": tensor(start=-8, end=0)}, bytes(8)), "no data offsets"),
        (file_with({"w": tensor(end=4)}, bytes(4)), "needs 8 bytes, not 4"),
        (file_with({"w": tensor(start=8, end=16)}, bytes(16)), "the one before it ends"),
        (file_with({"a": tensor(), "b": tensor(start=4, end=12)}, bytes(12)), "the one before it ends"),
        (file_with({"w": tensor()}, bytes(7)), "the file at byte"),
        (file_with({"w": tensor()}, bytes(9)), "the file at byte"),
        (file_with({f"t{i}": tensor(shape=(0,), end=0) for i in range(MAX_TENSORS + 1)}), "at most"),
    ],
)
def test_a_malformed_file_is_refused_with_its_reason(data, message):
    with pytest.raises(TensorError, match=message):
        read_layout(data, len(data))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_tensor_errors_only(data):
    with pytest.raises(TensorError):
        read_layout(data, len(data) + 1)
