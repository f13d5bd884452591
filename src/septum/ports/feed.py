"""Where does the federation's feed live? What has changed, in one list for all, kept for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from septum.protocol.feed import Change, FeedEntry, FeedFilter, Sight


class Telling(Protocol):
    """Adds to the feed what a write of another store changes."""

    def telling(self, changes: Sequence[Change], *, at: float) -> AbstractContextManager[None]:
        """While this is open, the next write of any store of the same data directory, in this thread, adds these."""


class Untold:
    """A feed that nobody keeps: for runs in memory."""

    def telling(self, changes: Sequence[Change], *, at: float) -> AbstractContextManager[None]:
        """Nothing is added anywhere."""
        del changes, at
        return nullcontext()


UNTOLD = Untold()


class FeedStore(Telling, Protocol):
    """A durable feed.

    Contract: what is told with a write is in the feed if and only if the write is durable: they are one transaction. A
    write that fails, or changes nothing, tells nothing. `seq` grows in the order of the transactions, and no number is
    given twice, also after a trim. What any earlier septum wrote is read. Methods may be called from any thread.
    """

    def add(self, changes: Sequence[Change], *, at: float) -> None:
        """Add what nothing else was written for: silos that come and go."""

    def after(self, seq: int, *, limit: int = 1000) -> Sequence[FeedEntry]:
        """At most `limit` entries after entry `seq`, in order."""

    def page(self, sight: Sight, wanted: FeedFilter, *, limit: int, before: int = 0) -> Sequence[FeedEntry]:
        """At most `limit` entries that are in sight and wanted, newest first; older than entry `before`, if not 0."""

    def newest(self) -> int:
        """The number of the newest entry; 0 where there is none."""

    def silos_online(self) -> Mapping[str, bool]:
        """Of each silo of which it is known: whether it was told last that it is online, or that it is offline."""

    def trim(self, keep: int) -> int:
        """Forget all but the newest `keep` entries; how many went."""
