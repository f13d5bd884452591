"""What is a silo's own model of a round? The model that the round began with, plus the silo's update, to float32.

It is never written while a round is at work: the update is there already, and the model is put together from both when
somebody asks for it (docs/decisions/0030). Its digest is known from the beginning, so whoever gets it can check it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from blake3 import blake3

from septum.errors import TensorError
from septum.protocol.combine import float_region
from septum.protocol.contents import UPDATE
from septum.protocol.facts import SiloModel
from septum.protocol.messages import Blob
from septum.protocol.payload import Floats
from septum.protocol.plan import Plan
from septum.protocol.sources import BLOCK_WIDTH, Source, layout_of, read_bytes

BLOCKS = 8  # of BLOCK_WIDTH floats that are read at one time: 1 MiB


def kept_model(base: Source, update: Source, sent: Blob) -> SiloModel:
    """What is remembered of a silo's model; `sent` names the update. One pass over both, with a few MiB at one time."""
    hasher, squares = blake3(), 0.0
    first, count, _ = _regions(base, update)
    hasher.update(read_bytes(base, 0, first))
    for model, own in _blocks(base, update):
        hasher.update(model.data.cast("B"))
        squares += float(np.einsum("i,i->", own, own, dtype=np.float64))
    made = Blob(f"blake3:{hasher.hexdigest()}", first + 4 * count)
    return SiloModel(made, sent.without_bytes(), math.sqrt(squares))


def silo_model(base: Source, update: Source) -> Iterator[bytes]:
    """The file of a silo's model, chunk by chunk: header and statistics as in the model that the round began with.

    Raises TensorError when the two do not fit together.
    """
    first, _, _ = _regions(base, update)
    yield read_bytes(base, 0, first)
    for model, _ in _blocks(base, update):
        yield model.tobytes()


def why_none(plan: Plan) -> str:
    """Why no silo's own model of a run is at the coordinator; empty where they are.

    >>> from septum.protocol.plan import AppRef
    >>> why_none(Plan("p", AppRef("a", "1", "blake3:0"), {}, ("x", "y"), 1))
    'the run was not to keep them'
    """
    if plan.keep_silo_models:
        return ""
    return "the run was not to keep them" if plan.masking is None else "the run was masked: they never left the silos"


def _regions(base: Source, update: Source) -> tuple[int, int, int]:
    """Where the parameters begin in the model, how many there are, and where they begin in the update."""
    first, count = float_region(layout_of(base), "")
    own, also = float_region(layout_of(update), UPDATE)
    if count != also:
        raise TensorError(f"the model has {count} parameters, the update {also}")
    return first, count, own


def _blocks(base: Source, update: Source) -> Iterator[tuple[Floats, Floats]]:
    """The same coordinates of the silo's model and of its update, block by block; good until the next is asked for."""
    first, count, own = _regions(base, update)
    width = min(count, BLOCKS * BLOCK_WIDTH)
    buffer = np.empty((2, width), np.float32)
    for start in range(0, count, width):
        block = buffer[:, : min(width, count - start)]
        for source, offset, row in ((base, first, block[0]), (update, own, block[1])):
            source.read(offset + 4 * start, row.data.cast("B"))
        with np.errstate(over="ignore"):  # a silo's model may have an infinity though the federation's has none
            np.add(block[0], block[1], out=block[0])
        yield block[0], block[1]
