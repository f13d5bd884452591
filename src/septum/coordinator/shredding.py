"""How is a run shredded? Its key is deleted in one commit, and then its files go. Its journal and its numbers stay.

From that commit on nothing of it opens, wherever a copy of its files may lie. A kill after it leaves files that nobody
can open: the next start removes them, before anything is served. What cannot be removed is served to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from septum.coordinator.areas import areas_of
from septum.coordinator.caller import Caller
from septum.coordinator.driver import Driver
from septum.coordinator.feed import Feed
from septum.coordinator.live import Live
from septum.coordinator.registered import Registered
from septum.coordinator.service import RunService
from septum.errors import ConflictError, SeptumError, StorageError
from septum.ports.blobs import BlobStore
from septum.ports.clock import Clock
from septum.ports.run_keys import RunKeyStore
from septum.protocol.feed import Change, Kind
from septum.protocol.messages import Stage
from septum.protocol.plan import MAX_ROUNDS
from septum.protocol.views import Shredded

log = logging.getLogger("septum.coordinator.shredding")

_EVERY_MARK = (len(Stage), MAX_ROUNDS + 1)  # later than all payloads of a run


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """What is secret of runs.

    forget     what memory holds of a run's key
    under_key  whether files are sealed
    """

    store: RunKeyStore
    forget: Callable[[str], None] = lambda _run_id: None
    under_key: bool = False


class Shredding:
    """Shreds runs. For the driver's event loop."""

    def __init__(
        self,
        driver: Driver,
        blobs: BlobStore,
        service: RunService,
        registered: Registered,
        feed: Feed,
        secrets: RunSecrets,
        clock: Clock,
    ) -> None:
        self._driver = driver
        self._blobs = blobs
        self._service = service
        self._registered = registered
        self._feed = feed
        self._secrets = secrets
        self._clock = clock
        self._at_work: set[asyncio.Future[Shredded]] = set()

    async def shred(self, caller: Caller, run_id: str) -> Shredded:
        """Delete a run's key and all of its files, for good; of one that was shredded, what may be left.

        Raises NotFoundError, ConflictError for a run that has not ended and for one of whose models a version is
        registered and not retired, StorageError where something may be left: then it is to be asked again.
        """
        task = asyncio.ensure_future(self._shred(caller, run_id))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return await asyncio.shield(task)  # to its end, also when whoever asked has gone away

    async def _shred(self, caller: Caller, run_id: str) -> Shredded:
        live, failed = await self._driver.load(run_id), None
        live.busy += 1  # it is not to leave the memory meanwhile
        try:
            self._refuse_unfinished(live)
            await self._driver.performer.settle(run_id)  # what it had under way when it ended
            async with self._registered.keeping:
                await self._refuse_registered(run_id)
                self._refuse_unfinished(live)
                live.shredding = True  # nobody resumes it from now on
                await self._driver.performer.settle(run_id)  # it may have been resumed and stopped meanwhile
                try:
                    await self._delete_key(live, caller.name)
                except SeptumError as error:
                    failed = error
                await self._look(live)
                if live.shredded_at is not None:
                    try:
                        await self._remove_files(live, wholly=failed is None)
                    except StorageError as error:
                        failed = error
            if failed is not None:
                raise failed if live.shredded_at is None else _unfinished(run_id, failed)
        finally:
            live.busy -= 1
        return Shredded(await self._service.run(run_id), self._secrets.under_key)

    @staticmethod
    def _refuse_unfinished(live: Live) -> None:
        if live.run.outcome is None or live.stored.outcome is None:
            raise ConflictError(f"run {live.run.id} has not ended", hint=f"septum run stop {live.run.id}")

    async def _refuse_registered(self, run_id: str) -> None:
        names = await self._registered.kept_of(run_id)
        if names:
            raise ConflictError(
                f"of run {run_id}, {', '.join(names)} is registered, and silos may use it",
                hint=f"septum model retire {names[0]}",
            )

    async def _delete_key(self, live: Live, by: str) -> None:
        run_id, at, shred = live.run.id, self._clock.unix(), self._secrets.store.shred
        if live.shredded_at is not None:
            await self._driver.performer.write(shred, run_id, by=by, at=at)
            return
        change = Change(Kind.RUN_SHREDDED, by, run_id, project=live.project)
        try:
            await self._feed.write(change, shred, run_id, by=by, at=at)
        except StorageError:
            self._feed.told()  # it may have been committed all the same
            raise

    async def _look(self, live: Live) -> None:
        """What the store says now: where deleting has failed, the key may be gone all the same."""
        stored = await self._driver.performer.read(self._driver.store.get, live.run.id)
        live.shredded_at, live.shredded_by = stored.shredded_at, stored.shredded_by
        live.shredding = stored.shredded_at is not None
        if live.shredding:
            log.warning("run_shredded", extra={"run_id": live.run.id, "by": live.shredded_by})
            self._secrets.forget(live.run.id)
            self._driver.shelf.forget_run(live.run.id)
            live.spool.forget(_EVERY_MARK)
            live.filled = None

    async def _remove_files(self, live: Live, *, wholly: bool) -> None:
        """`wholly`: nothing of the key is left. Else the next start looks again, if nobody asks before."""
        await self._driver.performer.compute(_drop, self._blobs, live.run.id)
        if wholly:
            await self._driver.performer.write(self._secrets.store.files_gone, live.run.id)


def finish_shredding(store: RunKeyStore, blobs: BlobStore) -> None:
    """Remove what a kill has left of shredded runs. What cannot be removed is given to nobody, and tried again."""
    for run_id in store.with_files():
        try:
            _drop(blobs, run_id)
            store.shred(run_id, by="", at=0.0)  # it was; what the kill left of the salt is looked for
        except StorageError as error:
            about = {"run_id": run_id, "error": error.message, "hint": f"septum run shred {run_id} --yes"}
            log.error("shredding_unfinished", extra=about)  # noqa: TRY400
            continue
        store.files_gone(run_id)
        log.info("shredding_finished", extra={"run_id": run_id})


def _drop(blobs: BlobStore, run_id: str) -> None:
    """All that can be removed, whatever cannot. Raises StorageError."""
    failed = None
    for area in areas_of(run_id):
        try:
            blobs.drop(area)
        except StorageError as error:
            failed = error
    if failed is not None:
        raise failed


def _unfinished(run_id: str, error: SeptumError) -> StorageError:
    again = f"septum run shred {run_id} --yes, when that has ended"
    hint = f"{error.hint}; {again}" if error.hint else again
    return StorageError(f"run {run_id} was shredded, and is not gone to the last: {error.message}", hint=hint)
