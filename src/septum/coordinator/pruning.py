"""How is room made on the coordinator's disk? Models of runs that ended long ago go, but for the newest and the best.

Nothing that a run at work refers to goes, also where an ended run made the very same model, and nothing that was
registered under a name and is not retired. What a run was, its metrics
and every model's digest stay in its journal.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable

from septum.coordinator.driver import Driver
from septum.coordinator.registered import Registered
from septum.coordinator.shelf import AREA
from septum.errors import NotFoundError
from septum.ports.blobs import BlobStore
from septum.ports.clock import Clock
from septum.ports.store import StoredRun
from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.retention import superfluous
from septum.protocol.views import ModelView, Pruned, PrunedRun, models_of

log = logging.getLogger("septum.coordinator.pruning")

RUNS_A_PAGE, ENTRIES_A_PAGE = 100, 1000


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
        needed = await self._digests_of(self._unfinished()) | await self._registered.needed()
        until = self._clock.unix() - older_than_s
        found: list[tuple[str, tuple[ModelView, ...]]] = []
        gone: set[str] = set()
        async for stored in self._ended():
            journal = await self._journal(stored.run.id)
            ended_at = max((at for at, fact in journal if isinstance(fact, facts.RunEnded)), default=until)
            models = models_of(stored.run.id, (fact for _, fact in journal))
            if ended_at > until:
                needed |= {model.digest for model in models}
                continue
            stale = superfluous(models, newest)
            needed |= {model.digest for model in models} - {model.digest for model in stale}
            found.append((stored.run.id, stale))
        pruned = []
        for run_id, stale in found:
            there = [one for one in stale if one.digest not in needed | gone and await self._is_there(one.digest)]
            gone |= {model.digest for model in there}
            if there:
                pruned.append(PrunedRun(run_id, len(there), sum(model.size_bytes for model in there)))
        if really:
            async with self._registered.keeping:
                await self._remove(gone)
        return Pruned(tuple(pruned), really)

    async def _remove(self, digests: Iterable[str]) -> None:
        """Whoever began a run meanwhile and made one of these again loses it, notices, and makes it once more."""
        needed = await self._digests_of(self._unfinished()) | await self._registered.needed()
        going = sorted(set(digests) - needed)
        for digest in going:
            self._driver.shelf.forget(digest)
        await self._driver.performer.compute(self._blobs.discard, AREA, going)
        log.info("models_pruned", extra={"models": len(going)})

    async def _is_there(self, digest: str) -> bool:
        try:
            await self._driver.performer.read(self._blobs.size_bytes, AREA, digest)
        except NotFoundError:
            return False
        return True

    def _unfinished(self) -> tuple[str, ...]:
        return tuple(live.run.id for live in self._driver.lives.values() if live.run.outcome is None)

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

    async def _digests_of(self, runs: Iterable[str]) -> set[str]:
        """Every model that these runs have named."""
        return {
            fact.model.digest
            for run_id in runs
            for _, fact in await self._journal(run_id)
            if isinstance(fact, facts.ModelMade)
        }
