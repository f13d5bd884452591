"""How do experiment trackers hear of runs? From the journal, after it is durable: no run waits for a tracker.

Each tracker has a thread, and a place in each run's journal up to which it was told, in `tracking/NAME.json`. What it
raises is logged, and it is told again later. So it hears everything at least once, also what happened while it, or the
coordinator, was down.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from septum.adapters.tracking.registry import TRACKERS
from septum.coordinator.driver import Driver
from septum.coordinator.feed import Feed
from septum.errors import MessageError, NotFoundError
from septum.plugins.found import Group, chosen
from septum.ports.store import JournalEntry, RunStore, StoredRun
from septum.ports.tracker import Listener, RoundMeasured, RunEnded, RunStarted, Told, Tracker, TrackerSettings
from septum.protocol import facts
from septum.protocol.codec import MAX_MESSAGE_BYTES, Scalar, loads

log = logging.getLogger("septum.coordinator.tracking")

FOLDER = "tracking"
FEED = "feed"
PAGE = 200  # journal entries at one time
KEPT = 2000  # runs whose place is kept, the latest first; an older one that is resumed is told from its start again
RETRY_S = 10.0
CLOSE_S = 5.0  # for what a tracker is being told when the coordinator ends; it hears it again after the next start


def make_trackers(tables: Mapping[str, Mapping[str, Scalar]], data_dir: Path) -> dict[str, Tracker]:
    """The trackers that coordinator.toml names. Raises ConfigError, PluginError."""
    return {
        name: chosen(Group.TRACKERS, name, TRACKERS)(TrackerSettings(data_dir, values))
        for name, values in sorted(tables.items())
    }


class Tracking:
    """Tells every tracker of every run. For the event loop; make it before the driver starts."""

    def __init__(
        self,
        driver: Driver,
        trackers: Mapping[str, Tracker],
        data_dir: Path,
        feed: Feed | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        folder = data_dir / FOLDER
        self._followers = [
            _Follower(driver, name, tracker, _Place(folder, name), feed, retry_s) for name, tracker in trackers.items()
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


class _Follower:
    """One tracker, and how far it was told of each run, and of the feed if it listens to that."""

    def __init__(
        self, driver: Driver, name: str, tracker: Tracker, place: _Place, feed: Feed | None, retry_s: float
    ) -> None:
        self._driver = driver
        self._name = name
        self._tracker = tracker
        self._path = place.runs
        self._retry_s = retry_s
        self._told = _read_places(place.runs)
        self._feed = feed if isinstance(tracker, Listener) and tracker.kinds else None
        self._feed_path = place.feed
        self._heard = _read_places(place.feed).get(FEED)
        self._changed = self._feed is not None
        self._woken: dict[str, None] = dict.fromkeys(self._told)
        self._awake = asyncio.Event()
        self._worker = _Worker(f"septum-tracker-{name}")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._awake.set()
        self._task = asyncio.create_task(self._run(), name=f"septum-tracker-{self._name}")

    def wake(self, run_id: str) -> None:
        self._woken[run_id] = None
        self._awake.set()

    def wake_for_changes(self) -> None:
        if self._feed is not None:
            self._changed = True
            self._awake.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._worker.last(self._tracker.close)
        await asyncio.to_thread(self._worker.join, CLOSE_S)

    async def _run(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._woken or self._changed:
                run_id = next(iter(self._woken), "")
                self._woken.pop(run_id, None)
                try:
                    if run_id:
                        await self._catch_up(run_id)
                    else:
                        await self._hear_changes()
                except Exception as error:  # noqa: BLE001  a tracker may raise anything; nothing of it reaches a run
                    why = f"{type(error).__name__}: {error}"[:500]
                    log.warning("tracker_failed", extra={"tracker": self._name, "run_id": run_id, "error": why})
                    if run_id:
                        self._woken[run_id] = None
                    else:
                        self._changed = True
                    asyncio.get_running_loop().call_later(self._retry_s, self._awake.set)
                    break

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
            for entry in entries:
                model = await read(_last_model, store, run_id, entry.seq) if _is_end(entry) else ""
                told = _told_of(stored, entry, model)
                if told is not None:
                    await self._worker.do(partial(self._tracker.tell, told))
            await self._note(run_id, entries[-1].seq)

    async def _note(self, run_id: str, seq: int) -> None:
        self._told.pop(run_id, None)
        self._told[run_id] = seq  # at the end: the latest
        while len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        places = dict(self._told)
        await self._worker.do(partial(_write_places, self._path, places))


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


class _Worker:
    """One thread that does one thing after another. It does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def do(self, job: Callable[[], object]) -> None:
        """Do something there, and wait for it. Raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001  raised where it is waited for
                failed: BaseException | None = error
            else:
                failed = None
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(_settle, done, failed)

        self._jobs.put(run)
        await done

    def last(self, job: Callable[[], object]) -> None:
        """Do this, and then nothing more."""

        def run() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001  there is nobody left to be told
                log.warning("tracker_failed", extra={"tracker": self._thread.name, "error": repr(error)[:500]})

        self._jobs.put(run)
        self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the end, but not for ever."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():  # given up meanwhile
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
