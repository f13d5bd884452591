"""How the silos' payloads become statistics, a model and metrics: block by block, the same bits at any width.

Nothing here holds a whole model: updates and the base are read through `Source`s into one (silos, width) block, the
new model leaves as chunks. Silos are in canonical order (sorted by name), which the caller keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from septum.algorithms.evaluation import Evaluation, pooled
from septum.algorithms.strategy import Strategy, strategy
from septum.errors import TensorError
from septum.protocol import contents, payload, tensors
from septum.protocol.facts import Metrics, ModelMeasured
from septum.protocol.layout import MAX_HEADER_BYTES, Layout, TensorSpec, header_size, read_layout, write_header
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import Plan
from septum.protocol.run_state import Combine, Combined
from septum.protocol.tensors import DTYPES, Array

BLOCK_WIDTH = 64 * 1024  # float32 per silo and block: 256 KiB, so that the blocks of a few silos stay in the L2 cache
OPTIMIZER = "optimizer"  # the one tensor of a server optimizer's file: (coordinates, state vectors)


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes that can be read anywhere: `read(offset, buffer)` fills the buffer or raises TensorError."""

    size_bytes: int
    read: Callable[[int, memoryview], None]


@dataclass(frozen=True, slots=True)
class Weighted:
    """One silo's payload and its weight in rows."""

    source: Source
    weight: int


def source_of(data: bytes) -> Source:
    """A source over bytes in memory.

    >>> buffer = bytearray(2)
    >>> source_of(b"abcd").read(1, memoryview(buffer)); bytes(buffer)
    b'bc'
    """
    view = memoryview(data)

    def read(offset: int, buffer: memoryview) -> None:
        if offset + len(buffer) > len(view):
            raise TensorError(f"bytes {offset} to {offset + len(buffer)} were wanted of {len(view)}")
        buffer[:] = view[offset : offset + len(buffer)]

    return Source(len(view), read)


def strategy_of(plan: Plan) -> Strategy:
    """The strategy that a plan names. Raises ConfigError for a name or setting that does not exist.

    >>> from septum.protocol.plan import AppRef
    >>> strategy_of(Plan("x", AppRef("a", "1", "sha256:0"), {}, ("s1",), rounds=1)).name
    'fedavg'
    """
    return strategy(plan.strategy.name, plan.strategy.settings)


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
    keep_model: Callable[[Iterable[bytes]], Blob]
    open_optimizer: Callable[[], Writer]


def perform(effect: Combine, strategy: Strategy, blobs: Blobs) -> Combined:
    """Do what the run machine asked for. Done twice it gives the same bits. Raises TensorError when it cannot be."""
    sources = {silo: blobs.payload(given.payload) for silo, given in sorted(effect.contributions.items())}
    where = (effect.stage, effect.round, effect.attempt)
    if effect.stage is Stage.PREPARE:
        return Combined(*where, model=blobs.keep_model([initial_model(sources)]))
    measured_round = effect.round - (effect.stage is Stage.TRAIN)
    metrics = measured(measured_round, {silo: evaluation_in(source) for silo, source in sources.items()})
    if effect.stage is Stage.EVALUATE:
        return Combined(*where, measured=metrics)
    if effect.base is None:
        raise TensorError(f"round {effect.round} has no model to start from")
    updates = [Weighted(source, effect.contributions[silo].weight) for silo, source in sources.items()]
    base = blobs.model(effect.base)
    if not strategy.state_names:
        model = blobs.keep_model(next_model(strategy, base, None, updates, _no_state))
        return Combined(*where, model=model, measured=metrics)
    before = None if effect.optimizer is None else blobs.optimizer(effect.optimizer)
    writer = blobs.open_optimizer()
    try:
        model = blobs.keep_model(next_model(strategy, base, before, updates, writer.write))
    except BaseException:
        writer.abort()
        raise
    return Combined(*where, model=model, optimizer=writer.finish(), measured=metrics)


def _no_state(chunk: bytes) -> None:
    raise TensorError(f"a strategy without state wrote {len(chunk)} bytes of it")


def layout_of(source: Source) -> Layout:
    """The checked layout of a file. Raises TensorError."""
    start = _read(source, 0, min(8, source.size_bytes))
    head = header_size(start)
    if head > min(source.size_bytes, MAX_HEADER_BYTES + 8):
        raise TensorError(f"the tensor header has {head} bytes, the file {source.size_bytes}")
    return read_layout(_read(source, 0, head), source.size_bytes)


def check(stage: Stage, source: Source, base: Layout | None, *, initial: bool | None = None) -> None:
    """Refuse a silo's payload that could not be combined, naming the tensor. Raises TensorError. Reads it once.

    `initial`: whether this silo was asked for the initial model; None where that is not known.
    """
    layout = layout_of(source)
    contents.check_report(stage, layout, base, initial=initial)
    for spec in layout.tensors:
        if spec.name in (contents.BINS, contents.SUMS):
            continue
        for start in range(0, spec.count, BLOCK_WIDTH):
            block = _elements(source, spec, start, min(BLOCK_WIDTH, spec.count - start))
            payload.check_finite(spec.name, block, start)
    if stage is not Stage.PREPARE:
        payload.read_evaluation(_small_tensors(source, layout, "evaluation."))


def initial_model(prepared: Mapping[str, Source]) -> bytes:
    """Model 0: the initial parameters that one silo made, and the statistics summed over all. Silos in canonical order.

    Raises TensorError when no silo or more than one made an initial model, or statistics do not fit together.
    """
    parameters: dict[str, Array] = {}
    sums: dict[str, payload.Doubles] = {}
    for silo, source in prepared.items():
        content = _small_tensors(source, layout_of(source), "")
        made = {name: array for name, array in content.items() if name.startswith(contents.INITIAL)}
        if made and parameters:
            raise TensorError(f"silo {silo!r} made an initial model, though another had made it")
        parameters |= {name.removeprefix(contents.INITIAL): array for name, array in made.items()}
        _add(sums, payload.read_statistics(content), silo)
    if not parameters:
        raise TensorError(f"none of {', '.join(prepared)} made an initial model")
    floats = {name: array.astype(np.float32, copy=False) for name, array in parameters.items()}
    return tensors.encode(payload.model_tensors(floats, sums))


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
    width: int = BLOCK_WIDTH,
) -> Iterator[bytes]:
    """The new model's file, chunk by chunk: base + strategy(weighted deltas). Silos in canonical order.

    The server optimizer's new state is given to `keep_state`, chunk by chunk, when the strategy has one. Any `width`
    gives the same bits. Raises TensorError when a result is not finite.
    """
    layout = layout_of(base)
    first, count = _float_region(layout, "")
    regions = [_float_region(layout_of(update.source), contents.UPDATE) for update in updates]
    if any(update_count != count for _, update_count in regions):
        raise TensorError(f"the model has {count} parameters, the updates {sorted({n for _, n in regions})}")
    yield _read(base, 0, first)  # the header, and the statistics that the model carries
    state = _StateColumns(strategy, optimizer, count)
    if strategy.state_names:
        keep_state(state.header())
    weights = [update.weight for update in updates]
    buffer = np.empty((len(updates), min(width, max(count, 1))), np.float32)  # (silos, width)
    for start in range(0, count, width):
        size = min(width, count - start)
        block = buffer[:, :size]
        for row, (update, (offset, _)) in enumerate(zip(updates, regions, strict=True)):
            update.source.read(offset + 4 * start, memoryview(block[row]).cast("B"))
        delta = strategy.combine(block, weights)
        before = np.frombuffer(_read(base, first + 4 * start, 4 * size), np.float32)
        model, after = strategy.step(before, delta, state.columns(start, size))
        yield model.tobytes()
        if strategy.state_names:
            keep_state(np.stack([after[name] for name in strategy.state_names], axis=1).tobytes())


@dataclass(frozen=True, slots=True)
class _StateColumns:
    """A server optimizer's state as its file has it: one row a coordinate, so that blocks follow one another."""

    strategy: Strategy
    source: Source | None
    count: int

    def header(self) -> bytes:
        """The first bytes of the new state's file."""
        return write_header([(OPTIMIZER, "F32", (self.count, len(self.strategy.state_names)))])

    def columns(self, start: int, size: int) -> dict[str, payload.Floats]:
        """The state vectors of a block, by name."""
        names = self.strategy.state_names
        if self.source is None:
            return self.strategy.start(size)
        raw = _read(self.source, len(self.header()) + 4 * start * len(names), 4 * size * len(names))
        rows = np.frombuffer(raw, np.float32).reshape(size, len(names))
        return {name: np.ascontiguousarray(rows[:, column]) for column, name in enumerate(names)}


def evaluation_in(source: Source) -> Evaluation:
    """The evaluation in a `train` or `evaluate` report."""
    return payload.read_evaluation(_small_tensors(source, layout_of(source), "evaluation."))


def measured(round_: int, evaluations: Mapping[str, Evaluation]) -> ModelMeasured:
    """How the model of `round_` does over all silos' test rows and in each silo. Silos in canonical order."""
    together = pooled(list(evaluations.values()))
    over_all = Metrics(together.rows, together.accuracy, together.log_loss, together.roc_auc, together.roc_auc_bound)
    return ModelMeasured(round_, over_all, {silo: _own(one) for silo, one in evaluations.items()})


def _own(one: Evaluation) -> Metrics:
    return Metrics(one.rows, one.correct / one.rows, one.log_loss_sum / one.rows, one.roc_auc)


def _float_region(layout: Layout, prefix: str) -> tuple[int, int]:
    """First byte and number of the float32 elements under `prefix`, which lie in one piece."""
    specs = [spec for spec in layout.region(prefix) if spec.dtype == "F32"]
    if not specs:
        raise TensorError(f"there are no {prefix or 'float32'} tensors in the file")
    return specs[0].offset, sum(spec.count for spec in specs)


def _small_tensors(source: Source, layout: Layout, prefix: str) -> dict[str, Array]:
    """Whole tensors in memory: for statistics, counts and initial models."""
    return {spec.name: _elements(source, spec, 0, spec.count).reshape(spec.shape) for spec in layout.region(prefix)}


def _elements(source: Source, spec: TensorSpec, start: int, count: int) -> Array:
    item = DTYPES[spec.dtype]
    array: Array = np.frombuffer(_read(source, spec.offset + item.itemsize * start, item.itemsize * count), item)
    return array


def _read(source: Source, offset: int, size: int) -> bytes:
    buffer = bytearray(size)
    source.read(offset, memoryview(buffer))
    return bytes(buffer)
