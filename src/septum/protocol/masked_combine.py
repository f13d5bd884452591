"""How does the sum of masked results become statistics, a model and metrics? For runs in which no silo is seen alone.

What combine.py does with each silo's result is done here with one: their mean. So every strategy that only needs a mean
works, and its arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from septum.algorithms.roc_auc import binned_auc, counts_of_dense, finer_edges
from septum.algorithms.strategy import Strategy
from septum.errors import TensorError
from septum.protocol import combine, payload
from septum.protocol.blocks import block_width
from septum.protocol.combine import Blobs, Weighted
from septum.protocol.contents import INITIAL, STATISTICS, SUMS, UPDATE, VOTE, WEIGHT
from septum.protocol.facts import LARGE_BOUND, Metrics, ModelMeasured, Votes
from septum.protocol.layout import Layout, write_header
from septum.protocol.masked import Asked, Sums, Words, layout_digest, sums
from septum.protocol.messages import Stage
from septum.protocol.run_state import Combine, Combined
from septum.protocol.sources import Source, layout_of
from septum.secagg.fixed_point import Scale, mean
from septum.secagg.masks import Masker

Unmask = Callable[[str], Masker]
"""The masker that takes the masks off, given the digest of the vectors' layout."""


def perform(effect: Combine, strategy: Strategy, blobs: Blobs, scale: Scale, unmask: Unmask | None) -> Combined:
    """Do what the run machine asked for; without `unmask` of bare vectors, as a simulation makes them.

    Done twice it gives the same bits. Raises TensorError when the sum makes no model, SecAggError when its masks cannot
    be taken off.
    """
    sources = [blobs.payload(given.payload) for _, given in sorted(effect.contributions.items())]
    layout = layout_of(sources[0])
    masker = None if unmask is None else unmask(layout_digest(layout, Asked(effect.against, effect.edges)))
    total = sums(sources, masker, block_width(1))
    where = (effect.stage, effect.round, effect.attempt)
    if effect.stage is Stage.PREPARE:
        return Combined(*where, model=blobs.keep_model(_initial_model(sources, total)))
    measured = _measured(effect.round - (effect.stage is Stage.TRAIN), total, len(sources))
    if effect.stage is Stage.EVALUATE:
        return Combined(*where, measured=measured, edges=_finer(effect, total, measured))
    assert effect.base is not None
    base = blobs.model(effect.base)
    updates = [Weighted(_mean_update(layout_of(base), total, scale), 1)]
    model, optimizer = combine.keep_next(effect, strategy, blobs, base, updates)
    return Combined(*where, model=model, optimizer=optimizer, measured=measured)


def _initial_model(sources: Sequence[Source], total: Sums) -> Iterator[bytes]:
    made = [(source, layout) for source in sources if (layout := layout_of(source)).region(INITIAL)]
    if len(made) != 1:
        raise TensorError(f"{len(made)} silos made an initial model, one has to")
    _whole_rows(total)
    statistics = {name: array for name, array in total.numbers.items() if name.startswith(STATISTICS)}
    return combine.model_file(*made[0], statistics)


def _measured(round_: int, total: Sums, silos: int) -> ModelMeasured | None:
    """Metrics over all rows alone: no silo's own are known. None where no silo measured anything."""
    rows, correct, log_loss = (float(value) for value in total.numbers[SUMS].reshape(-1))
    assert total.counts is not None
    counts = counts_of_dense(total.counts)
    counted = int(counts[:, 1:].sum())
    if (rows, correct, log_loss, counted) == (0, 0, 0, 0):
        return None
    if not (1 <= rows == int(rows) == counted and 0 <= correct == int(correct) <= rows and log_loss >= 0):
        raise TensorError(
            f"the summed evaluation has {rows:g} rows, {correct:g} of them correct, a log loss of {log_loss:g}, and "
            f"counts {counted}: a silo sent what cannot be"
        )
    auc, bound = binned_auc(counts) or (None, 0.0)
    return ModelMeasured(
        round_, Metrics(int(rows), correct / rows, log_loss / rows, auc, bound), {}, _votes(total, silos)
    )


def _finer(effect: Combine, total: Sums, measured: ModelMeasured | None) -> tuple[int, ...]:
    """How to count the scores once more, where their ROC-AUC is known too roughly; once."""
    if measured is None or measured.metrics.roc_auc_bound <= LARGE_BOUND or effect.edges or total.counts is None:
        return ()
    return finer_edges(total.counts)


def _votes(total: Sums, silos: int) -> Votes | None:
    """Of a run with a vote."""
    if VOTE not in total.numbers:
        return None
    accepts, voters = (float(value) for value in total.numbers[VOTE].reshape(-1))
    if not (accepts == int(accepts) and voters == int(voters) and 0 <= accepts <= voters <= silos):
        raise TensorError(f"{accepts:g} of {voters:g} votes accept, of {silos} silos: a silo sent what cannot be")
    return Votes(int(accepts), int(voters))


def _mean_update(base: Layout, total: Sums, scale: Scale) -> Source:
    """The mean update as a file that is made while it is read, from its beginning to its end."""
    weight = _whole_rows(total)
    specs = [spec for spec in base.tensors if not spec.name.startswith(STATISTICS)]
    head = write_header([(UPDATE + spec.name, spec.dtype, spec.shape) for spec in specs])
    return _sequential(head, sum(spec.size_bytes for spec in specs), _deltas(total.update, weight, scale))


def _whole_rows(total: Sums) -> int:
    """The summed weight. Raises TensorError unless it is one: a sum in which masks are left says so here."""
    weight = float(total.numbers[WEIGHT].item())
    if not 1 <= weight == int(weight):
        raise TensorError(f"the summed weight is {weight:g} rows: a silo sent what cannot be")
    return int(weight)


def _deltas(words: Iterator[Words], weight: int, scale: Scale) -> Iterator[payload.Floats]:
    for block in words:
        yield mean(block, weight, scale)


def _sequential(head: bytes, size_bytes: int, blocks: Iterator[payload.Floats]) -> Source:
    """A source whose header can be read at will, and whose blocks once, in order and as wide as they are."""
    reached = len(head)

    def read(offset: int, buffer: memoryview) -> None:
        nonlocal reached
        if offset + len(buffer) <= len(head):
            buffer[:] = head[offset : offset + len(buffer)]
            return
        block = next(blocks, None)
        if offset != reached or block is None or block.nbytes != len(buffer):
            raise TensorError(f"{len(buffer)} bytes from byte {offset} on were wanted, byte {reached} comes next")
        buffer[:] = block.data.cast("B")
        reached += len(buffer)

    return Source(len(head) + size_bytes, read)
