"""Which part of a run's journal holds some of its rounds? It is found by halving: a long journal is not read whole.

Rounds follow each other, but a model that is lost takes a run back by one. So one round more is read at both ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from septum.ports.store import JournalEntry, RunStore
from septum.protocol import facts
from septum.protocol.timeline import RoundLine, timeline
from septum.protocol.views import JournalView

PAGE = 200


def rounds_of(
    store: RunStore, run_id: str, *, after_round: int, limit: int, now: float, masked: bool
) -> tuple[RoundLine, ...]:
    """At most `limit` rounds after a round, with all that happened in them. Raises NotFoundError."""
    first, last = after_round + 1, after_round + limit
    begin = _begin(store, run_id, first - 1) if first > 1 else 1
    entries = (JournalView(entry.seq, entry.at, entry.fact) for entry in _until(store, run_id, begin, last + 2))
    return tuple(line for line in timeline(entries, now=now, masked=masked) if first <= line.round <= last)


def _begin(store: RunStore, run_id: str, round_: int) -> int:
    """The number of an entry before which no stage of this round, or of a later one, was opened."""
    low, high = 1, PAGE
    while not _has_come_to(store, run_id, high, round_):
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if _has_come_to(store, run_id, middle, round_):
            high = middle
        else:
            low = middle + 1
    return low


def _has_come_to(store: RunStore, run_id: str, seq: int, round_: int) -> bool:
    """Whether what is opened next, from entry `seq` on, is of this round or of a later one; or nothing is."""
    opened = (entry.fact.round for entry in _from(store, run_id, seq) if isinstance(entry.fact, facts.StageOpened))
    return next(opened, round_) >= round_


def _until(store: RunStore, run_id: str, seq: int, round_: int) -> Iterator[JournalEntry]:
    """The entries from entry `seq` on, to the opening of this round."""
    for entry in _from(store, run_id, seq):
        yield entry
        if isinstance(entry.fact, facts.StageOpened) and entry.fact.round >= round_:
            return


def _from(store: RunStore, run_id: str, seq: int) -> Iterator[JournalEntry]:
    after = seq - 1
    while page := store.journal(run_id, after=after, limit=PAGE):
        yield from page
        after = page[-1].seq
