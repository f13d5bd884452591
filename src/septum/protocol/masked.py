"""How does a silo's result become the vector that is masked, and how do such vectors become sums?

A masked result is a file like a plain one. Its sums (rows, correct, log loss, statistics, the weight) are words of 128
bits, two U64 each; its counts per logit bin and its update are U32 words. The update is weighted before it is masked,
so the coordinator adds up and divides by the summed weight. See docs/decisions/0011. Without masks the same arithmetic
makes the sums of a simulated run, so both give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from septum.algorithms.roc_auc import counts_between, dense_counts
from septum.errors import TensorError
from septum.protocol import payload
from septum.protocol.codec import Json, dumps
from septum.protocol.contents import BINS, INITIAL, MASKED, NOISY, STATISTICS, SUMS, UPDATE, VOTE, WEIGHT
from septum.protocol.layout import Layout, TensorSpec, write_header
from septum.protocol.messages import Stage
from septum.protocol.plan import Plan, digest_of
from septum.protocol.sources import BLOCK_WIDTH, Source, layout_of, small_tensors
from septum.protocol.vote import Ballot
from septum.secagg.fixed_point import Scale, add_wide, check_clipped, from_wide, quantise, to_wide
from septum.secagg.masks import Masker

Wide = NDArray[np.uint64]  # (sums, 2): low and high 64 bits
Words = NDArray[np.uint32]
Entry = tuple[str, str, tuple[int, ...]]  # a tensor's name, dtype and shape


def scale_of(plan: Plan) -> Scale:
    """The fixed-point scale that a plan asks for."""
    assert plan.masking is not None
    return Scale(len(plan.silos), plan.masking.max_weight, plan.masking.max_update)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a masked result is asked for beside what all are. It is bound to the masks, as the layout is.

    Else a coordinator that asks each silo for something else would find one silo's vote or scores in the sum.

    against  digest of the model with which the one that is measured is compared in the vote; empty without one
    edges    of the slots in which scores are counted; empty for the usual bins
    """

    against: str = ""
    edges: tuple[int, ...] = ()


NOTHING_ELSE = Asked()


def layout_digest(layout: Layout, asked: Asked = NOTHING_ELSE) -> str:
    """The name of a masked vector's layout: silos whose vectors differ in it cannot agree on a sum."""
    return _digest(_vector(layout), asked)


def masked_layout(stage: Stage, plain: Layout, asked: Asked = NOTHING_ELSE, *, vote: bool = False) -> str:
    """`layout_digest` of the result that a plain one becomes; `vote`: in a run with a vote."""
    return _digest([entry for entry in _entries(stage, plain, vote) if entry[0].startswith(MASKED)], asked)


def _vector(layout: Layout) -> list[Entry]:
    """What is masked of a masked result."""
    return [(spec.name, spec.dtype, spec.shape) for spec in _masked(layout)]


def _digest(entries: Sequence[Entry], asked: Asked) -> str:
    named: list[Json] = [[name, dtype, list(shape)] for name, dtype, shape in entries]
    return digest_of(dumps(named if asked == NOTHING_ELSE else [*named, asked.against, list(asked.edges)]))


@dataclass(frozen=True, slots=True)
class Beside:
    """What a silo puts into a masked result beside the plain one: its vote in a run with votes; see `Asked.edges`."""

    vote: Ballot | None = None
    edges: tuple[int, ...] = ()


NOTHING_BESIDE = Beside()


def masked_pieces(
    stage: Stage, plain: Source, weight: int, scale: Scale, masker: Masker | None, beside: Beside = NOTHING_BESIDE
) -> Iterator[bytes]:
    """The masked result, piece by piece; without a masker the same numbers, bare.

    Raises SecAggError when the result may not be masked: too many coordinates to clip, too many rows, a number that is
    not finite. What was made by then says nothing, for it is masked; the caller drops it.
    """
    layout = layout_of(plain)
    yield write_header(_entries(stage, layout, beside.vote is not None))
    wide = _wide(stage, plain, layout, _counts(stage, weight, beside.vote), scale)
    if masker is not None:
        masker.wide(wide)
    yield wide.tobytes()
    yield from _clear(plain, layout)
    for words in chain(_histogram(stage, plain, layout, beside.edges), _words(plain, layout, weight, scale)):
        if masker is not None:
            masker.words(words)
        yield words.tobytes()


def _counts(stage: Stage, weight: int, vote: Ballot | None) -> list[float]:
    """What is summed behind the sums of a result, in the order of its names: the vote, and the weight."""
    votes = () if vote is None or stage is Stage.PREPARE else vote
    return [*map(float, votes), *([] if stage is Stage.EVALUATE else [float(weight)])]


def _entries(stage: Stage, plain: Layout, vote: bool) -> list[Entry]:
    """Name, dtype and shape of a masked result's tensors, in the order of its file."""
    match stage:
        case Stage.PREPARE:
            wide = [(spec.name, (*spec.shape, 2)) for spec in plain.region(STATISTICS)] + [(WEIGHT, (1, 2))]
            words = []
        case Stage.TRAIN:
            wide = [(SUMS, (3, 2)), (WEIGHT, (1, 2))]
            words = [(BINS, _BINS), *((spec.name, spec.shape) for spec in plain.region(UPDATE))]
        case Stage.EVALUATE:
            wide, words = [(SUMS, (3, 2))], [(BINS, _BINS)]
            wide += [(NOISY, (*spec.shape, 2)) for spec in plain.region(NOISY)]
    if vote and stage is not Stage.PREPARE:
        wide.append((VOTE, (2, 2)))
    clear = [(spec.name, spec.dtype, spec.shape) for spec in plain.region(INITIAL)]
    return [
        *((MASKED + name, "U64", shape) for name, shape in sorted(wide)),
        *clear,
        *((MASKED + name, "U32", shape) for name, shape in sorted(words)),
    ]


_BINS = dense_counts(np.empty((0, 3), np.int64)).shape


def _wide(stage: Stage, plain: Source, layout: Layout, counts: Sequence[float], scale: Scale) -> Wide:
    tensors = small_tensors(plain, layout, STATISTICS if stage is Stage.PREPARE else SUMS)
    if stage is Stage.PREPARE:
        values = [np.asarray(tensors[name], np.float64).reshape(-1) for name in sorted(tensors)]
    else:
        noisy = small_tensors(plain, layout, NOISY)  # before the sums, as its name is
        values = [*(np.asarray(one, np.float64) for one in noisy.values()), np.asarray(tensors[SUMS], np.float64)[:3]]
    values.append(np.array(counts, np.float64))
    return to_wide(np.concatenate(values), scale.silos)


def _clear(plain: Source, layout: Layout) -> Iterator[bytes]:
    """The initial model, made before any data were looked at: it travels as it is."""
    for spec in layout.region(INITIAL):
        for start in range(0, spec.size_bytes, 4 * BLOCK_WIDTH):
            buffer = bytearray(min(4 * BLOCK_WIDTH, spec.size_bytes - start))
            plain.read(spec.offset + start, memoryview(buffer))
            yield bytes(buffer)


def _histogram(stage: Stage, plain: Source, layout: Layout, edges: tuple[int, ...]) -> Iterator[Words]:
    if stage is Stage.PREPARE:
        return
    counts = small_tensors(plain, layout, BINS)[BINS].astype(np.int64)
    yield (counts_between(counts, edges) if edges else dense_counts(counts)).reshape(-1)


def _words(plain: Source, layout: Layout, weight: int, scale: Scale) -> Iterator[Words]:
    region = layout.region(UPDATE)
    if not region:
        return
    count, clipped = sum(spec.count for spec in region), 0
    for start in range(0, count, BLOCK_WIDTH):
        block = np.empty(min(BLOCK_WIDTH, count - start), np.float32)
        plain.read(region[0].offset + 4 * start, block.data.cast("B"))
        words, cut = quantise(block, weight, scale)
        clipped += cut
        yield words
    check_clipped(clipped, count)


def evaluation_sums(plain: Source) -> list[float]:
    """Rows, correct ones, summed log loss and ROC-AUC (NaN without one) of a result that is not masked yet."""
    sums = small_tensors(plain, layout_of(plain), SUMS)[SUMS]
    return [float(value) for value in np.asarray(sums, np.float64)]


# --- sums ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sums:
    """The sum of several silos' vectors, read once and in order.

    numbers   the sums by tensor, without MASKED: float64
    counts    (COARSE_BIN_COUNT, 2) rows per logit bin; None for `prepare`
    update    blocks of the summed, weighted update as words, in file order; empty but for `train`
    """

    numbers: Mapping[str, payload.Doubles]
    counts: Words | None
    update: Iterator[Words]


def sums(sources: Sequence[Source], masker: Masker | None, width: int = BLOCK_WIDTH) -> Sums:
    """The sum of masked results that have one layout; `masker` takes the masks off. Raises TensorError."""
    layouts = [layout_of(source) for source in sources]
    wanted = _vector(layouts[0])
    for layout in layouts[1:]:
        if _vector(layout) != wanted:
            raise TensorError("the masked results of these silos do not have one layout")
    wide, words = _specs(layouts[0], "U64"), _specs(layouts[0], "U32")
    numbers = _numbers(sources, layouts, wide, masker)
    blocks = _summed_words(sources, [_first(layout, "U32") for layout in layouts], _sizes(words, width), masker)
    counts = next(blocks).reshape(_BINS) if words else None
    return Sums(numbers, counts, blocks)


def _masked(layout: Layout) -> tuple[TensorSpec, ...]:
    return layout.region(MASKED)


def _specs(layout: Layout, dtype: str) -> list[TensorSpec]:
    return [spec for spec in _masked(layout) if spec.dtype == dtype]


def _first(layout: Layout, dtype: str) -> int:
    return next((spec.offset for spec in _specs(layout, dtype)), 0)


def _sizes(words: Sequence[TensorSpec], width: int) -> list[int]:
    """The counts, which come first, in one block; then the update in blocks of a width."""
    if not words:
        return []
    count = sum(spec.count for spec in words[1:])
    return [words[0].count, *(min(width, count - start) for start in range(0, count, width))]


def _numbers(
    sources: Sequence[Source], layouts: Sequence[Layout], wide: Sequence[TensorSpec], masker: Masker | None
) -> dict[str, payload.Doubles]:
    count = sum(spec.count for spec in wide) // 2
    total, one = np.zeros((count, 2), np.uint64), np.empty((count, 2), np.uint64)
    for source, layout in zip(sources, layouts, strict=True):
        source.read(_first(layout, "U64"), one.data.cast("B"))
        add_wide(total, one)
    if masker is not None:
        masker.wide(total)
    values = from_wide(total)
    ends = list(accumulate(spec.count // 2 for spec in wide))
    starts = [0, *ends]
    return {
        spec.name.removeprefix(MASKED): values[start:end].reshape(spec.shape[:-1])
        for spec, start, end in zip(wide, starts, ends, strict=False)
    }


def _summed_words(
    sources: Sequence[Source], offsets: Sequence[int], sizes: Sequence[int], masker: Masker | None
) -> Iterator[Words]:
    """Block by block: the sum modulo 2^32 does not depend on the order of the silos."""
    done = 0
    for size in sizes:
        total, one = np.zeros(size, np.uint32), np.empty(size, np.uint32)
        for source, offset in zip(sources, offsets, strict=True):
            source.read(offset + 4 * done, one.data.cast("B"))
            total += one
        if masker is not None:
            masker.words(total)
        done += size
        yield total
