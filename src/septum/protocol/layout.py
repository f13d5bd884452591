"""Where each tensor lies in a file, and whether the file can be trusted: safetensors headers under strict limits.

Reads the header only and needs no numpy, so the silo's agent can check what its worker made. Everything is checked
before anything is allocated for tensors. Format: 8 bytes little-endian header size, JSON header, tensor bytes.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from septum.errors import TensorError

MAX_HEADER_BYTES = 4 * 2**20  # about 40,000 tensors; a header is read into memory as a whole
MAX_TENSORS = 20_000
MAX_RANK = 8
MAX_NAME_CHARS = 200
# What septum moves: parameters F32, sums F64, counts I64; the others occur in a silo's own carried state only.
ITEM_BYTES: Mapping[str, int] = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "U8": 1, "BOOL": 1}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_PREFIX_BYTES = 8
_SMALL_HEADER = 4096
_MAX_AXES = 2**48  # of an empty tensor's other axes, whose product numpy must be able to hold


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: its name, dtype as in ITEM_BYTES, shape, and first byte in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return self.count * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Layout:
    """All tensors of a file, in file order, without gap or overlap."""

    tensors: tuple[TensorSpec, ...]
    size_bytes: int

    @property
    def is_canonical(self) -> bool:
        """Whether the tensors lie as septum writes them: largest items first, then by name."""
        order = [(-ITEM_BYTES[spec.dtype], spec.name) for spec in self.tensors]
        return order == sorted(order)

    def region(self, prefix: str) -> tuple[TensorSpec, ...]:
        """The tensors whose names start with `prefix`, in file order."""
        return tuple(spec for spec in self.tensors if spec.name.startswith(prefix))


def header_size(start: bytes) -> int:
    """How many bytes of the file are prefix and header, from its first 8 bytes. Raises TensorError.

    >>> header_size(struct.pack("<Q", 16))
    24
    """
    if len(start) < _PREFIX_BYTES:
        raise TensorError(f"a tensor file of {len(start)} bytes is too short for a header")
    (size,) = struct.unpack("<Q", start[:_PREFIX_BYTES])
    if not 2 <= size <= MAX_HEADER_BYTES:
        raise TensorError(f"a tensor header of {size} bytes; allowed are 2 to {MAX_HEADER_BYTES}")
    return int(size) + _PREFIX_BYTES


def read_layout(start: bytes, file_bytes: int) -> Layout:
    """The layout of a file of `file_bytes` bytes that begins with `start` (prefix and header). Raises TensorError."""
    head = header_size(start)
    if len(start) < head:
        raise TensorError(f"the tensor header has {head} bytes, only {len(start)} are there")
    return _recent_layout(start[:head], file_bytes) if head <= _SMALL_HEADER else _layout(start, head, file_bytes)


@lru_cache(maxsize=64)
def _recent_layout(start: bytes, file_bytes: int) -> Layout:
    """Small headers are the same in every report of a round, and in every round: parsed once."""
    return _layout(start, len(start), file_bytes)


def _layout(start: bytes, head: int, file_bytes: int) -> Layout:
    specs = tuple(sorted(_specs(_header(start[_PREFIX_BYTES:head]), head), key=lambda spec: (spec.offset, spec.name)))
    end = head
    for spec in specs:
        if spec.offset != end:
            raise TensorError(f"tensor {spec.name!r} starts at byte {spec.offset}, the one before it ends at {end}")
        end += spec.size_bytes
    if end != file_bytes:
        raise TensorError(f"the tensors end at byte {end}, the file at byte {file_bytes}")
    return Layout(specs, file_bytes)


def _header(raw: bytes) -> Mapping[str, object]:
    try:
        header = json.loads(raw, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise TensorError(f"the tensor header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise TensorError("the tensor header is not a JSON object")
    header.pop("__metadata__", None)  # see read_metadata
    if len(header) > MAX_TENSORS:
        raise TensorError(f"{len(header)} tensors in one file, at most {MAX_TENSORS}")
    return header


def _no_duplicates(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice")
    return result


def _specs(header: Mapping[str, object], head: int) -> list[TensorSpec]:
    return [_spec(name, entry, head) for name, entry in header.items()]


def _spec(name: str, entry: object, head: int) -> TensorSpec:
    if len(name) > MAX_NAME_CHARS or not NAME.fullmatch(name):
        raise TensorError(f"{name[:60]!r} is no name for a tensor")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise TensorError(f"tensor {name!r}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise TensorError(f"tensor {name!r}: dtype {str(dtype)[:60]!r} is not allowed, only {', '.join(ITEM_BYTES)}")
    if not _naturals(shape) or len(shape) > MAX_RANK or (0 in shape and math.prod(filter(None, shape)) > _MAX_AXES):
        raise TensorError(f"tensor {name!r}: {str(shape)[:60]} is no shape")
    if not _naturals(offsets) or len(offsets) != 2:
        raise TensorError(f"tensor {name!r}: {str(offsets)[:60]} are no data offsets")
    spec = TensorSpec(name, dtype, tuple(shape), head + offsets[0])
    if offsets[1] - offsets[0] != spec.size_bytes:
        given = offsets[1] - offsets[0]
        raise TensorError(f"tensor {name!r}: {dtype} of shape {list(shape)} needs {spec.size_bytes} bytes, not {given}")
    return spec


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)


def read_metadata(start: bytes) -> Mapping[str, str]:
    """The texts that a file's header holds besides its tensors. `start`: prefix and header. Raises TensorError."""
    try:
        found = json.loads(start[_PREFIX_BYTES : header_size(start)]).get("__metadata__", {})
    except (ValueError, RecursionError, AttributeError) as error:
        raise TensorError(f"the tensor header is not a JSON object: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise TensorError("the metadata of this tensor file are no texts")
    return found


def write_header(
    tensors: Sequence[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Prefix and header of a file with these (name, dtype, shape), in this order; padded to align tensors."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in tensors:
        size = math.prod(shape) * ITEM_BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(entries, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    if len(raw) > MAX_HEADER_BYTES:
        raise TensorError(f"a header of {len(raw)} bytes for {len(tensors)} tensors is over {MAX_HEADER_BYTES}")
    return struct.pack("<Q", len(raw)) + raw
