"""How the silos' payloads become statistics, a model and metrics: block by block, the same bits at any width.

Nothing here holds a whole model: updates and the base are read through `Source`s block by block (blocks.py), the new
model leaves as chunks. Silos are in canonical order (sorted by name), which the caller keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.evaluation import Evaluation, pooled
from septum.algorithms.gram import gram_matrix
from septum.algorithms.strategy import Strategy, too_few
from septum.errors import TensorError
from septum.protocol import contents, payload, tensors
from septum.protocol.blocks import Region, block_width, deltas, room, step_width, update_blocks
from septum.protocol.facts import Metrics, ModelMeasured
from septum.protocol.layout import Layout, write_header
from septum.protocol.messages import Blob, Stage
from septum.protocol.run_state import Combine, Combined
from septum.protocol.sources import BLOCK_WIDTH, Source, layout_of, read_bytes, small_tensors
from septum.protocol.tensors import DTYPES, Array

OPTIMIZER = "optimizer"  # the one tensor of a server optimizer's file: (coordinates, state vectors)


@dataclass(frozen=True, slots=True)
class Weighted:
    """One silo's payload and its weight in rows."""

    source: Source
    weight: int


@dataclass(frozen=True, slots=True)
class Writer:
    """A blob that is written in pieces: `write` each, then `finish` for its reference, or `abort`."""

    write: Callable[[bytes], None]
    finish: Callable[[], Blob]
    abort: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Blobs:
    """Where `perform` reads and writes.

    payload         a silo's report
    model           a model
    optimizer       a server optimizer's state
    keep_model      stores a model's chunks for good
    open_optimizer  begins to store a server optimizer's state
    """

    payload: Callable[[Blob], Source]
    model: Callable[[Blob], Source]
    optimizer: Callable[[Blob], Source]
    keep_model: Callable[[Iterator[bytes]], Blob]
    open_optimizer: Callable[[], Writer]


def perform(effect: Combine, strategy: Strategy, blobs: Blobs) -> Combined:
    """Do what the run machine asked for. Done twice it gives the same bits. Raises TensorError when it cannot be."""
    sources = {silo: blobs.payload(given.payload) for silo, given in sorted(effect.contributions.items())}
    where = (effect.stage, effect.round, effect.attempt)
    if effect.stage is Stage.PREPARE:
        return Combined(*where, model=blobs.keep_model(initial_model(sources)))
    measured_round = effect.round - (effect.stage is Stage.TRAIN)
    evaluations = {silo: evaluation_in(source) for silo, source in sources.items()}
    counted = {silo: one for silo, one in evaluations.items() if one.rows}  # of no rows: nothing was measured
    metrics = measured(measured_round, counted) if counted else None
    if effect.stage is Stage.EVALUATE:
        return Combined(*where, measured=metrics)
    if effect.base is None:
        raise TensorError(f"round {effect.round} has no model to start from")
    updates = [Weighted(source, effect.contributions[silo].weight) for silo, source in sources.items()]
    model, optimizer = keep_next(effect, strategy, blobs, blobs.model(effect.base), updates)
    return Combined(*where, model=model, optimizer=optimizer, measured=metrics)


def keep_next(
    effect: Combine, strategy: Strategy, blobs: Blobs, base: Source, updates: Sequence[Weighted]
) -> tuple[Blob, Blob | None]:
    """The next model, stored, and the server optimizer's state beside it if there is one."""
    if not strategy.state_names:
        return blobs.keep_model(next_model(strategy, base, None, updates, _no_state)), None
    before = None if effect.optimizer is None else blobs.optimizer(effect.optimizer)
    writer = blobs.open_optimizer()
    try:
        model = blobs.keep_model(next_model(strategy, base, before, updates, writer.write))
    except BaseException:
        writer.abort()
        raise
    return model, writer.finish()


def _no_state(chunk: bytes) -> None:
    raise TensorError(f"a strategy without state wrote {len(chunk)} bytes of it")


def check(
    stage: Stage,
    source: Source,
    base: Layout | None,
    *,
    initial: bool | None = None,
    masked: bool = False,
    noisy: bool | None = None,
    finite_from: int | None = None,
) -> None:
    """Refuse a silo's payload that could not be combined, naming the tensor. Raises TensorError. Reads it once.

    `initial`: whether this silo was asked for the initial model, `noisy`: whether for metrics with noise; None where
    that is not known. `finite_from`: the byte from which on its float32 numbers were seen to be finite while they came
    (finite_scan.py); these are not read.
    """
    layout = layout_of(source)
    if masked:
        contents.check_masked(stage, layout, base, initial=initial, noisy=noisy)
    else:
        contents.check_report(stage, layout, base, initial=initial, noisy=noisy)
    for spec in layout.tensors:
        if spec.name in (contents.BINS, contents.SUMS) or spec.name.startswith(contents.MASKED):
            continue
        if spec.dtype == "F32" and finite_from is not None and spec.offset >= finite_from:
            continue
        item = DTYPES[spec.dtype]
        buffer = np.empty(min(BLOCK_WIDTH, spec.count), item)
        for start in range(0, spec.count, BLOCK_WIDTH):
            block = buffer[: spec.count - start]
            source.read(spec.offset + item.itemsize * start, block.data.cast("B"))
            payload.check_finite(spec.name, block, start)
    if stage is not Stage.PREPARE and not masked:
        payload.read_evaluation(small_tensors(source, layout, "evaluation."))


def initial_model(prepared: Mapping[str, Source]) -> Iterator[bytes]:
    """Model 0, chunk by chunk: the initial parameters that one silo made, and the statistics summed over all silos.

    Silos in canonical order. Raises TensorError, at once, when no silo or more than one made an initial model, or when
    statistics do not fit together.
    """
    made: tuple[Source, Layout] | None = None
    sums: dict[str, payload.Doubles] = {}
    for silo, source in prepared.items():
        layout = layout_of(source)
        if layout.region(contents.INITIAL):
            if made is not None:
                raise TensorError(f"silo {silo!r} made an initial model, though another had made it")
            made = source, layout
        _add(sums, payload.read_statistics(small_tensors(source, layout, contents.STATISTICS)), silo)
    if made is None:
        raise TensorError(f"none of {', '.join(prepared)} made an initial model")
    return model_file(*made, payload.model_tensors({}, sums))


def model_file(source: Source, layout: Layout, statistics: Mapping[str, Array]) -> Iterator[bytes]:
    """The statistics, then the initial parameters as they lie in the silo's file: by name, with or without prefix."""
    first, count = float_region(layout, contents.INITIAL)
    order = tensors.file_order(statistics)
    yield write_header(
        [(name, tensors.dtype_of(name, statistics[name]), statistics[name].shape) for name in order]
        + [
            (spec.name.removeprefix(contents.INITIAL), spec.dtype, spec.shape)
            for spec in layout.region(contents.INITIAL)
        ]
    )
    for name in order:
        yield statistics[name].tobytes()
    for start in range(0, count, BLOCK_WIDTH):
        yield read_bytes(source, first + 4 * start, 4 * min(BLOCK_WIDTH, count - start))


def _add(sums: dict[str, payload.Doubles], own: Mapping[str, payload.Doubles], silo: str) -> None:
    if sums and sums.keys() != own.keys():
        raise TensorError(f"silo {silo!r} sent the statistics {sorted(own)}, others {sorted(sums)}")
    for name, array in own.items():
        if name in sums and sums[name].shape != array.shape:
            raise TensorError(f"statistics {name!r}: silo {silo!r} sent shape {array.shape}, others {sums[name].shape}")
        sums[name] = sums[name] + array if name in sums else array


def next_model(
    strategy: Strategy,
    base: Source,
    optimizer: Source | None,
    updates: Sequence[Weighted],
    keep_state: Callable[[bytes], None],
    width: int = 0,
) -> Iterator[bytes]:
    """The new model's file, chunk by chunk: base + strategy(weighted deltas). Silos in canonical order.

    The server optimizer's new state is given to `keep_state`, chunk by chunk, when the strategy has one. Any `width`
    gives the same bits; 0 takes a good one. Raises TensorError when a result is not finite, or when there are fewer
    updates than the strategy needs.
    """
    names = strategy.state_names
    first, count = float_region(layout_of(base), "")
    regions = [Region(update.source, *float_region(layout_of(update.source), contents.UPDATE)) for update in updates]
    if any(region.count != count for region in regions):
        raise TensorError(f"the model has {count} parameters, the updates {sorted({r.count for r in regions})}")
    weights = _weights(strategy, regions, [update.weight for update in updates], width or block_width(len(updates)))
    yield read_bytes(base, 0, first)  # the header, and the statistics that the model carries
    head = write_header([(OPTIMIZER, "F32", (count, len(names)))]) if names else b""
    if names:
        keep_state(head)
    width = width or step_width(strategy, len(updates))
    state = None if optimizer is None else Region(optimizer, len(head), count, len(names))
    parameters, memory = Region(base, first, count), room((1 + 2 * len(names)) * min(width, count))
    starts = range(0, count, width)
    for start, delta in zip(starts, deltas(strategy, regions, weights, width), strict=True):
        own, rows, columns = _cut(memory, len(delta), len(names))
        if state is None:
            before = strategy.start(len(delta))
        else:
            columns[...] = state.fill(start, rows).T
            before = dict(zip(names, columns, strict=True))
        model, after = strategy.step(parameters.fill(start, own), delta, before)
        yield model.tobytes()
        if names:
            np.stack([after[name] for name in names], axis=1, out=rows)
            keep_state(rows.tobytes())


def _cut(memory: payload.Floats, size: int, vectors: int) -> tuple[payload.Floats, payload.Floats, payload.Floats]:
    """Arrays of a block, one after another: base (size,), state (size, vectors), and its vectors (vectors, size)."""
    state, end = (1 + vectors) * size, (1 + 2 * vectors) * size
    return memory[:size], memory[size:state].reshape(size, vectors), memory[state:end].reshape(vectors, size)


def _weights(strategy: Strategy, regions: Sequence[Region], rows: Sequence[int], width: int) -> ArrayLike:
    """What the strategy combines the updates by: the silos' rows, or what it makes of their Gram matrix.

    The matrix takes a pass of its own over the updates. One update may be the mean of many, where a strategy needs no
    more than that: then their number says nothing.
    """
    why = too_few(strategy, len(regions)) if strategy.sees_updates else ""
    if why:
        raise TensorError(why, hint=strategy.needs.hint)
    if strategy.weigh is None:
        return rows
    return strategy.weigh(gram_matrix(update_blocks(regions, width), len(regions)), rows)


def evaluation_in(source: Source) -> Evaluation:
    """The evaluation in a `train` or `evaluate` report."""
    return payload.read_evaluation(small_tensors(source, layout_of(source), "evaluation."))


def measured(round_: int, evaluations: Mapping[str, Evaluation]) -> ModelMeasured:
    """How the model of `round_` does over all silos' test rows and in each silo. Silos in canonical order."""
    together = pooled(list(evaluations.values()))
    over_all = Metrics(together.rows, together.accuracy, together.log_loss, together.roc_auc, together.roc_auc_bound)
    return ModelMeasured(round_, over_all, {silo: _own(one) for silo, one in evaluations.items()})


def _own(one: Evaluation) -> Metrics:
    return Metrics(one.rows, one.correct / one.rows, one.log_loss_sum / one.rows, one.roc_auc)


def float_region(layout: Layout, prefix: str) -> tuple[int, int]:
    """First byte and number of the float32 elements under `prefix`, which lie in one piece."""
    specs = [spec for spec in layout.region(prefix) if spec.dtype == "F32"]
    if not specs:
        raise TensorError(f"there are no {prefix or 'float32'} tensors in the file")
    return specs[0].offset, sum(spec.count for spec in specs)
