"""How is room made on the coordinator's disk? Models of runs that ended long ago go, but for the newest and the best.

Nothing of a run at work goes, and nothing that was registered under a name and is not retired. Each run's models lie
apart from others', so what another run made does not matter. Silos' own models go with those of their round. What a run
was, its metrics and every model's digest stay in its journal.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from septum.coordinator.areas import models_area, silo_models_area
from septum.coordinator.driver import Driver
from septum.coordinator.registered import Registered
from septum.errors import NotFoundError
from septum.ports.blobs import BlobStore
from septum.ports.clock import Clock
from septum.ports.store import StoredRun
from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.retention import superfluous, superfluous_of_silos
from septum.protocol.views import ModelView, Pruned, PrunedRun, SiloModelView, models_of, silo_models_of

log = logging.getLogger("septum.coordinator.pruning")

RUNS_A_PAGE, ENTRIES_A_PAGE = 100, 1000


@dataclass(frozen=True, slots=True)
class _Stale:
    """What one run can do without. `own`: the digests of all that is kept for the silos' own models `of_silos`."""

    run: str
    models: tuple[ModelView, ...]
    of_silos: tuple[SiloModelView, ...]
    own: tuple[str, ...]


class Pruning:
    """Finds models that nobody needs, and removes them when told to. For the driver's event loop."""

    def __init__(self, driver: Driver, blobs: BlobStore, clock: Clock, registered: Registered) -> None:
        self._driver = driver
        self._blobs = blobs
        self._clock = clock
        self._registered = registered

    async def prune(self, *, newest: int, older_than_s: float, really: bool) -> Pruned:
        """What goes of runs that ended more than `older_than_s` ago; `really`: it goes now. Raises ConfigError."""
        superfluous((), newest)  # refuses a number that cannot be
        until = self._clock.unix() - older_than_s
        found: list[_Stale] = []
        async for stored in self._ended():
            journal = await self._journal(stored.run.id)
            ended_at = max((at for at, fact in journal if isinstance(fact, facts.RunEnded)), default=until)
            if ended_at <= until:
                about = [fact for _, fact in journal]
                found.append(_stale(stored.run.id, models_of(stored.run.id, about), about, newest))
        pruned = []
        async with self._registered.keeping:
            needed = await self._registered.needed()
            for stale in found:
                one = await self._prune(stale, needed, really=really)
                if one is not None:
                    pruned.append(one)
        if really:
            log.info("models_pruned", extra={"models": sum(one.models for one in pruned)})
        return Pruned(tuple(pruned), really)

    async def _prune(self, stale: _Stale, needed: Collection[tuple[str, str]], *, really: bool) -> PrunedRun | None:
        """What goes of one run, if it has not been resumed meanwhile."""
        live = self._driver.lives.get(stale.run)
        if live is not None and live.run.outcome is None:
            return None
        compute, area, own_area = self._driver.performer.compute, models_area(stale.run), silo_models_area(stale.run)
        wanted = {model.digest for model in stale.models if (stale.run, model.digest) not in needed}
        sizes = await self._driver.performer.read(self._sizes, area, sorted(wanted))
        own = await self._driver.performer.read(self._sizes, own_area, stale.own)
        if not sizes and not own:
            return None
        if really:
            for digest in sizes:
                self._driver.shelf.forget(stale.run, digest)
            await compute(self._blobs.discard, area, sorted(sizes))
            await compute(self._blobs.discard, own_area, sorted(own))
        size_bytes = sum(sizes.values()) + sum(own.values())
        return PrunedRun(stale.run, len(sizes), size_bytes, sum(one.update in own for one in stale.of_silos))

    def _sizes(self, area: str, digests: Iterable[str]) -> dict[str, int]:
        """Of those that are there."""
        found = {}
        for digest in digests:
            with suppress(NotFoundError):
                found[digest] = self._blobs.size_bytes(area, digest)
        return found

    async def _ended(self) -> AsyncIterator[StoredRun]:
        before = ""
        while page := await self._driver.performer.read(self._driver.store.page, limit=RUNS_A_PAGE, before=before):
            for stored in page:
                if stored.run.outcome is not None:
                    yield stored
            before = page[-1].run.id

    async def _journal(self, run_id: str) -> list[tuple[float, Fact]]:
        found: list[tuple[float, Fact]] = []
        after, read = 0, self._driver.performer.read
        while page := await read(self._driver.store.journal, run_id, after=after, limit=ENTRIES_A_PAGE):
            found += [(entry.at, entry.fact) for entry in page]
            after = page[-1].seq
        return found


def _stale(run_id: str, models: Sequence[ModelView], about: Sequence[Fact], newest: int) -> _Stale:
    """Of a round that was made again, what its silos had sent before goes as well."""
    every = silo_models_of(run_id, about)
    going = superfluous_of_silos(models, newest, every)
    staying = {digest for one in every if one not in going for digest in (one.digest, one.update)}
    known = {
        blob.digest
        for fact in about
        if isinstance(fact, facts.SiloModelsKept)
        for one in fact.silos.values()
        for blob in (one.model, one.update)
    }
    return _Stale(run_id, superfluous(models, newest, every), going, tuple(sorted(known - staying)))
