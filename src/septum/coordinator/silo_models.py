"""Where are the silos' own models that runs keep? As what each silo sent, in an area of the run.

A model is put together from the model before it and the silo's update (protocol/silo_models.py) when it is first
downloaded, checked by the digest that the journal has, and stays beside the update until both are pruned.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, ExitStack, suppress

from septum.coordinator.areas import silo_models_area
from septum.coordinator.driver import Driver
from septum.errors import DigestError, NotFoundError
from septum.ports.blobs import BlobStore, OpenBlob
from septum.ports.run_keys import refuse_shredded
from septum.protocol.facts import ModelMeasured, SiloModelsKept
from septum.protocol.silo_models import silo_model
from septum.protocol.views import SiloModelView, silo_models_of

ENTRIES_A_PAGE = 100  # each has something of every silo


class SiloModels:
    """The silos' own models that runs keep. For the driver's event loop."""

    def __init__(self, driver: Driver, blobs: BlobStore) -> None:
        self._driver = driver
        self._blobs = blobs

    async def all(self, run_id: str) -> tuple[SiloModelView, ...]:
        """Those of a run, by round and silo. Raises NotFoundError."""
        read, journal, facts, after = self._driver.performer.read, self._driver.store.journal, [], 0
        kinds = (SiloModelsKept, ModelMeasured)
        while page := await read(journal, run_id, after=after, limit=ENTRIES_A_PAGE, kinds=kinds):
            facts += [entry.fact for entry in page]
            after = page[-1].seq
        return silo_models_of(run_id, facts)

    async def one(
        self, run_id: str, silo: str, round_: int
    ) -> tuple[SiloModelView, AbstractAsyncContextManager[OpenBlob]]:
        """One of them, and its bytes. Raises NotFoundError, DigestError when its parts have rotted on disk."""
        found = [one for one in await self.all(run_id) if (one.silo, one.round) == (silo, round_)]
        if not found:
            raise NotFoundError(
                f"run {run_id} keeps no model of silo {silo[:80]!r} of round {round_}",
                hint=f"septum model list --run {run_id} --silos",
            )
        live = await self._driver.load(run_id)
        if live.shredded_at is None:
            live.busy += 1
            try:
                await self._driver.performer.compute(self._make, found[0])
            finally:
                live.busy -= 1
        if live.shredded_at is not None:
            await self._driver.performer.compute(self._blobs.drop, silo_models_area(run_id))
        refuse_shredded(run_id, live.shredded_by, live.shredded_at)
        opening = self._blobs.open(silo_models_area(run_id), found[0].digest)
        return found[0], self._driver.performer.opened(opening)

    def _make(self, view: SiloModelView) -> None:
        """Put it together where nobody asked for it before."""
        area = silo_models_area(view.run)
        with suppress(NotFoundError):
            self._blobs.size_bytes(area, view.digest)
            return
        where = f"the model of silo {view.silo!r} of round {view.round}, run {view.run}"
        with ExitStack() as stack:
            try:
                base = stack.enter_context(self._driver.shelf.open(view.run, view.base)).source
                update = stack.enter_context(self._blobs.open(area, view.update)).source
            except NotFoundError as error:
                raise NotFoundError(
                    f"{where}, was pruned: {error.message}", hint=f"septum model list --run {view.run} --silos"
                ) from error
            try:
                self._blobs.put(area, silo_model(base, update), durable=False, digest=view.digest)
            except DigestError as error:
                raise DigestError(
                    f"{where}: what it is put together from has rotted on disk: {error.message}",
                    hint="download that of another round, or restore a backup: septum coordinator restore",
                ) from error
