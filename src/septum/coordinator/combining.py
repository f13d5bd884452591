"""What does the coordinator do with the reports of a closed attempt? It combines them into a model and metrics.

Doing it twice gives the same bits, so an effect that a crash cut short is simply performed again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

from septum.adapters.identity.masking_primitives import openssl
from septum.coordinator.areas import optimizer_area, silo_models_area
from septum.coordinator.intact import checked
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import Spool
from septum.errors import SecAggError, SeptumError
from septum.plugins.strategies import strategy_of
from septum.ports.blobs import BlobStore
from septum.protocol import masked_combine, metrics_combine, query_combine
from septum.protocol.combine import Blobs, Writer, perform
from septum.protocol.masked import scale_of
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import Plan
from septum.protocol.run_state import Combine, Combined
from septum.protocol.silo_models import kept_model
from septum.secagg.context import Place, Terms, threshold
from septum.secagg.masks import Masker
from septum.secagg.messages import Reveal
from septum.secagg.server import Transcript, check_reveal, unmasking

log = logging.getLogger("septum.coordinator.combining")

QUEUED_CHUNKS = 4  # between the thread that steps the optimizer and the one that writes its state: 512 KiB each at most


@dataclass(frozen=True, slots=True)
class Combiner:
    """Where combining finds its bytes and leaves its results."""

    blobs: BlobStore
    shelf: Shelf

    def combine(self, effect: Combine, plan: Plan, run_id: str, spool: Spool) -> Combined:
        """Statistics and the initial model, or the next model and the base's metrics, or the last model's metrics.

        Or the answer to a query.

        Raises TensorError when a result is not finite, NotFoundError for a lost payload, DigestError for a model, a
        server optimizer's state or a payload that rotted, StorageError for a full disk.
        """
        area = optimizer_area(run_id)
        with ExitStack() as stack:
            blobs = Blobs(
                payload=lambda blob: stack.enter_context(spool.source(blob)),
                model=lambda blob: stack.enter_context(self.shelf.source(run_id, blob, last=True)),
                optimizer=lambda blob: checked(stack.enter_context(self.blobs.open(area, blob.digest)), blob.digest),
                keep_model=partial(self.shelf.add, run_id),
                open_optimizer=lambda: _pushed(lambda chunks: self.blobs.put(area, chunks, durable=True)),
            )
            strategy = strategy_of(plan.strategy)
            unmask = None if plan.masking is None else partial(_unmasker, effect, plan, run_id)
            if metrics_combine.asked_of(plan, effect.stage):
                return metrics_combine.perform(effect, plan, blobs, unmask)
            if plan.masking is None:
                return _keeping(effect, plan, blobs, spool, perform(effect, strategy, blobs))
            if plan.query is not None:
                return query_combine.perform(effect, plan.query, blobs, unmask)
            return masked_combine.perform(effect, strategy, blobs, scale_of(plan), unmask)


def _keeping(effect: Combine, plan: Plan, blobs: Blobs, spool: Spool, combined: Combined) -> Combined:
    """With each silo's own model, where the plan has them kept: what the silos sent stays, and is not copied."""
    if not plan.keep_silo_models or effect.stage is not Stage.TRAIN or effect.base is None:
        return combined
    base, kept = blobs.model(effect.base), {}
    for silo, given in sorted(effect.contributions.items()):
        kept[silo] = kept_model(base, blobs.payload(given.payload), given.payload)
        spool.share(given.payload, silo_models_area(spool.run_id))
    return replace(combined, kept=kept)


def _unmasker(effect: Combine, plan: Plan, run_id: str, layout: str) -> Masker:
    """What takes the masks off the sum of an attempt's results, from the shares that its silos revealed."""
    exchange = effect.exchange
    assert exchange is not None
    transcript = Transcript(
        place=Place(run_id, effect.stage.value, effect.round, effect.attempt),
        terms=Terms(effect.base.digest if effect.base else "", plan.digest, layout),
        roster=next(iter(exchange.rosters.values())),
        silos=plan.silos,
        adverts=exchange.adverts,
        bundled=exchange.bundled,
        survivors=tuple(sorted(effect.contributions)),
    )
    primitives, reveals = openssl(), _well_formed(transcript, exchange.reveals)
    masks = unmasking(transcript, reveals, primitives)
    place = transcript.place
    where = {"run_id": run_id, "stage": place.stage, "round": place.round, "attempt": place.attempt}
    told = {"sum": transcript.sum, "silos": transcript.survivors, "revealed_by": sorted(reveals)}
    log.info("sum_unmasked", extra=where | told)
    return Masker(masks, primitives)


def _well_formed(transcript: Transcript, reveals: Mapping[str, Reveal]) -> dict[str, Reveal]:
    """The reveals with exactly the shares that were asked for: where these are enough, one that is not hinders nobody.

    Raises SecAggError, naming what is wrong, where these are not enough.
    """
    found, wrong = {}, []
    for silo, reveal in sorted(reveals.items()):
        try:
            check_reveal(transcript, silo, reveal)
            found[silo] = reveal
        except SecAggError as error:
            wrong.append(error.message)
    if wrong:
        log.warning("reveals_left_out", extra={"run_id": transcript.place.run, "wrong": wrong})
    if wrong and len(found) < threshold(len(transcript.silos)):
        raise SecAggError("; ".join(wrong))
    return found


def _pushed(put: Callable[[Iterable[bytes]], str]) -> Writer:
    push = _Push(put)
    return Writer(push.send, push.finish, push.abort)


class _AbortedError(SeptumError):
    """The sender gave up."""


class _Push:
    """Chunks that are pushed become a blob, in a thread of its own, with only a few of them in between."""

    def __init__(self, put: Callable[[Iterable[bytes]], str]) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUED_CHUNKS)
        self._size_bytes = 0
        self._aborted = False
        self._digest = ""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, args=(put,), name="septum-optimizer-state")
        self._thread.start()

    def send(self, chunk: bytes) -> None:
        """The next chunk."""
        self._size_bytes += len(chunk)
        self._queue.put(chunk)

    def finish(self) -> Blob:
        """All chunks were sent: the blob. Raises what the store raised."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return Blob(self._digest, self._size_bytes)

    def abort(self) -> None:
        """There will be no more: nothing is stored."""
        self._aborted = True
        self._queue.put(None)
        self._thread.join()

    def _write(self, put: Callable[[Iterable[bytes]], str]) -> None:
        chunks = self._chunks()
        try:
            self._digest = put(chunks)
        except BaseException as error:  # noqa: BLE001 - `finish` raises it in the thread that asked
            self._error = error
            if not isinstance(error, _AbortedError):
                with suppress(_AbortedError):
                    for _ in chunks:  # the sender must not wait for a reader that is gone
                        pass

    def _chunks(self) -> Iterator[bytes]:
        while (chunk := self._queue.get()) is not None:
            yield chunk
        if self._aborted:
            raise _AbortedError("the model was not made")
