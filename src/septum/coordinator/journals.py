"""What do those see who watch a run? Its journal as it grows, until the run has ended. For `hub.Hubs`."""

from __future__ import annotations

from collections.abc import Sequence

from septum.coordinator.driver import Driver
from septum.coordinator.hub import Frame, event_of, frame_of
from septum.protocol.codec import to_json
from septum.protocol.views import JournalView

PAGE = 250  # entries that are read at one time


class RunJournal:
    """The journal of one run, as frames. A `hub.Source`; raises NotFoundError for a run that is not there."""

    def __init__(self, driver: Driver, run_id: str) -> None:
        self._driver = driver
        self._run_id = run_id

    async def after(self, seq: int) -> Sequence[Frame[None]]:
        """A page of the entries after entry `seq`."""
        live = await self._driver.load(self._run_id)
        return await self._driver.performer.read(self._page if live.run.outcome else self._written, seq)

    def _written(self, seq: int) -> list[Frame[None]]:
        """Of a run at work: its journal was written by this septum, so nothing has to be decoded to be shown."""
        found = self._driver.store.journal_json(self._run_id, after=seq, limit=PAGE)
        return [Frame(number, None, event_of(number, line)) for number, line in found]

    def _page(self, seq: int) -> list[Frame[None]]:
        entries = self._driver.store.journal(self._run_id, after=seq, limit=PAGE)
        views = [JournalView(entry.seq, entry.at, entry.fact) for entry in entries]
        return [Frame(view.seq, None, frame_of(view.seq, to_json(view))) for view in views]

    async def over(self) -> bool:
        """Whether the run has ended, and all of it is in the store."""
        live = await self._driver.load(self._run_id)
        return live.run.outcome is not None and not live.facts
