"""How do experiment trackers hear of runs? From the journal, after it is durable: no run waits for a tracker.

Each tracker has a thread, and a place in each run's journal up to which it was told, in `tracking/NAME.json`. What it
raises is logged, and it is told again later. So it hears everything at least once, also what happened while it, or the
coordinator, was down.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from septum.adapters.tracking.registry import TRACKERS
from septum.coordinator.driver import Driver
from septum.coordinator.feed import Feed
from septum.coordinator.one_thread import OneThread
from septum.coordinator.silos_told import silos_told
from septum.errors import MessageError, NotFoundError
from septum.plugins.found import Group, chosen
from septum.ports.store import JournalEntry, RunStore, StoredRun
from septum.ports.tracker import (
    BatchTracker,
    FindModel,
    Listener,
    RoundMeasured,
    RunEnded,
    RunStarted,
    SiloTold,
    SiloTracker,
    Told,
    Tracker,
    TrackerSettings,
    no_model,
)
from septum.protocol import facts
from septum.protocol.codec import MAX_MESSAGE_BYTES, Scalar, loads

log = logging.getLogger("septum.coordinator.tracking")

FOLDER = "tracking"
FEED = "feed"
PAGE = 200  # journal entries at one time
COUNTED = 1000
TOLD = (facts.RunCreated, facts.ModelMeasured, facts.RunEnded)  # what a tracker hears of a run's journal
KEPT = 2000  # runs whose place is kept, the latest first; an older one that is resumed is told from its start again
RETRY_S = 10.0
GATHER_S = 0.5  # what happens meanwhile is told together: to tell of each round costs more than a short round itself
CLOSE_S = 5.0  # for what a tracker is being told when the coordinator ends; it hears it again after the next start


def make_trackers(
    tables: Mapping[str, Mapping[str, Scalar]], data_dir: Path, find: FindModel = no_model
) -> dict[str, Tracker]:
    """The trackers that coordinator.toml names. Raises ConfigError, PluginError."""
    return {
        name: chosen(Group.TRACKERS, name, TRACKERS)(TrackerSettings(data_dir, values, find=find))
        for name, values in sorted(tables.items())
    }


@dataclass(frozen=True, slots=True)
class Pace:
    """How long what happens is gathered before it is told, and when it is told again after a failure."""

    gather_s: float = GATHER_S
    retry_s: float = RETRY_S


class Tracking:
    """Tells every tracker of every run. For the event loop; make it before the driver starts."""

    def __init__(
        self,
        driver: Driver,
        trackers: Mapping[str, Tracker],
        data_dir: Path,
        feed: Feed | None = None,
        pace: Pace = Pace(),
    ) -> None:
        folder = data_dir / FOLDER
        self._followers = [
            _Follower(driver, name, tracker, _Place(folder, name), feed, pace) for name, tracker in trackers.items()
        ]
        if trackers:
            folder.mkdir(mode=0o700, exist_ok=True)
            driver.on_facts.append(self._wake)
        if feed is not None:
            feed.on_told += [follower.wake_for_changes for follower in self._followers]

    def start(self) -> None:
        """Begin, also with what was not told before the last end."""
        for follower in self._followers:
            follower.start()

    async def close(self) -> None:
        """Stop. What was not told yet is told after the next start."""
        for follower in self._followers:
            await follower.close()

    @property
    def pending(self) -> int:
        """How many runs there are that a tracker was not told all of; one more for each that waits to hear changes."""
        return sum(follower.pending for follower in self._followers)

    @property
    def failures(self) -> int:
        """How often a tracker could not be told."""
        return sum(follower.failures for follower in self._followers)

    @property
    def refused(self) -> int:
        """How many records trackers' services refused for good."""
        return sum(follower.refused for follower in self._followers)

    async def waiting(self) -> int:
        """How many starts, measured rounds and ends of runs are in journals that a tracker was not told of."""
        return sum([await follower.waiting() for follower in self._followers])

    def _wake(self, run_id: str) -> None:
        for follower in self._followers:
            follower.wake(run_id)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where it is written how far a tracker was told: of each run, and of the feed."""

    folder: Path
    name: str

    @property
    def runs(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def feed(self) -> Path:
        return self.folder / f"{self.name}.feed.json"


@dataclass(frozen=True, slots=True)
class _Counted:
    """How much of a run is to be told, counted when it was woken with this mark."""

    mark: object
    count: int


class _Follower:
    """One tracker, and how far it was told of each run, and of the feed if it listens to that."""

    def __init__(
        self, driver: Driver, name: str, tracker: Tracker, place: _Place, feed: Feed | None, pace: Pace
    ) -> None:
        self._driver = driver
        self._name = name
        self._tracker = tracker
        self._path = place.runs
        self._pace = pace
        self._told = _read_places(place.runs)
        self._feed = feed if isinstance(tracker, Listener) and tracker.kinds else None
        self._feed_path = place.feed
        self._heard = _read_places(place.feed).get(FEED)
        self._changed = self._feed is not None
        self._woken: dict[str, object] = {run_id: object() for run_id in self._told}  # another mark each time
        self._awake = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._worker = OneThread(f"septum-tracker-{name}")
        self._task: asyncio.Task[None] | None = None
        self._at = ""  # the run that is told now
        self._counted: dict[str, _Counted] = {}
        self.failures = 0
        self.refused = 0

    async def waiting(self) -> int:
        """What waits in the journals of the runs that wait. Each is counted once, until it changes."""
        at, counted = self._at, dict[str, _Counted]()
        for run_id, mark in [(run_id, mark) for run_id, mark in self._woken.items() if run_id != at]:
            known = self._counted.get(run_id)
            if known is None or known.mark is not mark:
                known = _Counted(mark, await self._count(run_id))
            counted[run_id] = known
        self._counted = counted
        now = await self._count(at) if at else 0  # its place moves
        return now + sum(one.count for one in counted.values())

    async def _count(self, run_id: str) -> int:
        store, read = self._driver.store, self._driver.performer.read
        count, after = 0, self._told.get(run_id, 0)
        with suppress(NotFoundError):
            while entries := await read(store.journal, run_id, after=after, limit=COUNTED, kinds=TOLD):
                count, after = count + len(entries), entries[-1].seq
        return count

    @property
    def pending(self) -> int:
        return len(self._woken.keys() | ({self._at} - {""})) + self._changed

    def start(self) -> None:
        self._awake.set()
        self._task = asyncio.create_task(self._run(), name=f"septum-tracker-{self._name}")

    def wake(self, run_id: str) -> None:
        self._woken[run_id] = object()
        self._gather()

    def wake_for_changes(self) -> None:
        if self._feed is not None:
            self._changed = True
            self._gather()

    def _gather(self) -> None:
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(self._pace.gather_s, self._tell_now)

    def _tell_now(self) -> None:
        self._gathering = None
        self._awake.set()

    async def close(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._worker.last(self._tracker.close)
        await asyncio.to_thread(self._worker.join, CLOSE_S)

    async def _run(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            for run_id in [*self._woken, *([""] if self._changed else [])]:  # what comes meanwhile is gathered
                if not await self._told_of(run_id):
                    asyncio.get_running_loop().call_later(self._pace.retry_s, self._awake.set)
                    break

    async def _told_of(self, run_id: str) -> bool:
        """Tell of a run, or of changes in the federation where there is no id; whether that went well."""
        self._woken.pop(run_id, None)
        self._at = run_id
        try:
            if run_id:
                await self._catch_up(run_id)
            else:
                await self._hear_changes()
        except Exception as error:  # noqa: BLE001  a tracker may raise anything; nothing of it reaches a run
            self.failures += 1
            why = f"{type(error).__name__}: {error}"[:500]
            log.warning("tracker_failed", extra={"tracker": self._name, "run_id": run_id, "error": why})
            if run_id:
                self._woken[run_id] = object()
            else:
                self._changed = True
            return False
        finally:
            self._at = ""
        return True

    async def _hear_changes(self) -> None:
        """Tell what this tracker was not told of the feed; of what was before its first start nothing."""
        self._changed = False
        feed, tracker = self._feed, self._tracker
        assert feed is not None
        assert isinstance(tracker, Listener)
        newest = await feed.newest()
        if self._heard is None or self._heard > newest:  # the latter: of a data directory that was restored
            await self._note_heard(newest)
        while entries := await feed.after(self._heard or 0, limit=PAGE):
            for entry in entries:
                if entry.change.kind in tracker.kinds:
                    await self._worker.do(partial(tracker.change, entry))
                self._heard = entry.seq
            await self._note_heard(entries[-1].seq)

    async def _note_heard(self, seq: int) -> None:
        self._heard = seq
        await self._worker.do(partial(_write_places, self._feed_path, {FEED: seq}))

    async def _catch_up(self, run_id: str) -> None:
        """Tell what this tracker was not told of a run."""
        store, read = self._driver.store, self._driver.performer.read
        try:
            stored = await read(store.get, run_id)
        except NotFoundError:  # of a data directory that was restored from before it
            self._told.pop(run_id, None)
            return
        if run_id not in self._told:  # so that it is looked at after a restart, even if it has ended by then
            await self._note(run_id, 0)
        while entries := await read(store.journal, run_id, after=self._told[run_id], limit=PAGE):
            told: list[Told] = []
            for entry in entries:
                model = await read(_last_model, store, run_id, entry.seq) if _is_end(entry) else ""
                one = _told_of(stored, entry, model)
                if one is not None:
                    told.append(one)
            await self._tell(told)
            await self._tell_silos(stored, entries)
            await self._note(run_id, entries[-1].seq)

    async def _tell(self, told: Sequence[Told]) -> None:
        if isinstance(self._tracker, BatchTracker):
            if told:
                self.refused += await self._worker.do(partial(self._tracker.tell_all, told))
            return
        for one in told:
            await self._worker.do(partial(self._tracker.tell, one))

    async def _tell_silos(self, stored: StoredRun, entries: Sequence[JournalEntry]) -> None:
        if isinstance(self._tracker, SiloTracker) and self._tracker.hears_silos:
            told = [one for entry in entries for one in silos_told(stored.run.id, stored.run.plan, entry)]
            if told:
                self.refused += await self._worker.do(partial(_tell_silos, self._name, self._tracker, told))

    async def _note(self, run_id: str, seq: int) -> None:
        self._told.pop(run_id, None)
        self._told[run_id] = seq  # at the end: the latest
        while len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        places = dict(self._told)
        await self._worker.do(partial(_write_places, self._path, places))


def _tell_silos(name: str, tracker: SiloTracker, told: Sequence[SiloTold]) -> int:
    refused = tracker.tell_silos(told)
    if refused:
        log.warning("tracking_refused", extra={"tracker": name, "refused": refused, "run_id": told[0].run})
    return refused


def _is_end(entry: JournalEntry) -> bool:
    return isinstance(entry.fact, facts.RunEnded)


def _last_model(store: RunStore, run_id: str, until: int) -> str:
    """The digest of the last model before an entry: the run may have gone on since. Empty where there was none."""
    model, after = "", 0
    while after < until and (entries := store.journal(run_id, after=after, limit=1000)):
        made = [entry.fact for entry in entries if entry.seq < until and isinstance(entry.fact, facts.ModelMade)]
        model, after = made[-1].model.digest if made else model, entries[-1].seq
    return model


def _told_of(stored: StoredRun, entry: JournalEntry, model: str) -> Told | None:
    run, at = stored.run, entry.at
    match entry.fact:
        case facts.RunCreated():
            return RunStarted(run.id, at, run.plan)
        case facts.ModelMeasured(round_, metrics):
            return RoundMeasured(run.id, at, round_, metrics)
        case facts.RunEnded(outcome, reason):
            return RunEnded(run.id, at, outcome, reason, model)
        case _:
            return None


def _read_places(path: Path) -> dict[str, int]:
    """How far a tracker was told; nothing where that is not known, and it is told everything again."""
    try:
        with path.open("rb") as file:
            content = loads(file.read(MAX_MESSAGE_BYTES + 1))
    except FileNotFoundError:
        return {}
    except (OSError, MessageError) as error:
        log.warning("tracking_forgotten", extra={"path": str(path), "error": str(error)})
        return {}
    found = content if isinstance(content, dict) else {}
    return {run: seq for run, seq in found.items() if type(seq) is int and seq >= 0}


def _write_places(path: Path, places: Mapping[str, int]) -> None:
    """Not synced: what a power loss takes back is told again."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(places))
    part.replace(path)
