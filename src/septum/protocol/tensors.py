"""How named arrays become bytes and back: the safetensors layout, canonical, never pickle.

Equal arrays give equal bytes: tensors are written by item size (largest first, so each lies aligned) and then by name,
the header is canonical and there is no metadata. Any safetensors reader can open the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from septum.errors import TensorError
from septum.protocol.layout import ITEM_BYTES, NAME, Layout, header_size, read_layout, write_header

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]
DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def encode(tensors: Tensors) -> bytes:
    """The file that holds `tensors`. Raises TensorError for a dtype that has no place in one.

    >>> sorted(decode(encode({"w": np.ones(2, np.float32)})))
    ['w']
    """
    return b"".join(pieces(tensors))


def pieces(tensors: Tensors) -> Iterator[memoryview]:
    """The same bytes one after another: the header, then each tensor as it lies in memory, not copied."""
    yield memoryview(header(tensors))
    for name in file_order(tensors):
        if tensors[name].size:
            yield np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8).data


def header(tensors: Tensors) -> bytes:
    """The first bytes of the file; the tensors follow in `file_order`."""
    return write_header([(name, dtype_of(name, tensors[name]), tensors[name].shape) for name in file_order(tensors)])


def file_order(tensors: Tensors) -> list[str]:
    """Names as they lie in the file: largest items first, then by name."""
    for name in tensors:
        if not NAME.fullmatch(name):
            raise TensorError(f"{name!r} is no name for a tensor", hint="use letters, digits and _ . / -")
    return sorted(tensors, key=lambda name: (-ITEM_BYTES[dtype_of(name, tensors[name])], name))


def dtype_of(name: str, array: Array) -> str:
    """The dtype's name in the file, as in DTYPES. Raises TensorError for others."""
    try:
        return _NAMES[array.dtype.newbyteorder("<")]
    except KeyError:
        raise TensorError(
            f"tensor {name!r} is {array.dtype}; possible are {', '.join(str(dtype) for dtype in _NAMES)}",
            hint=f"convert it: {name}.astype(numpy.float32)",
        ) from None


def decode(data: bytes | memoryview) -> dict[str, Array]:
    """The arrays in `data`, as read-only views on it (no copy). Raises TensorError."""
    view = memoryview(data)
    layout = layout_of(view)
    return {spec.name: _array(view, spec.dtype, spec.offset, spec.count).reshape(spec.shape) for spec in layout.tensors}


def layout_of(view: memoryview) -> Layout:
    """The checked layout of a whole file in memory."""
    return read_layout(bytes(view[: header_size(bytes(view[:8]))]), len(view))


def _array(view: memoryview, dtype: str, offset: int, count: int) -> Array:
    array: Array = np.frombuffer(view, DTYPES[dtype], count, offset)
    array.flags.writeable = False
    return array
