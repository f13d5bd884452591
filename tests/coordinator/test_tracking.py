"""Trackers hear what is durable, in order and at least once, and whatever they do, no run waits for them."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from tests.coordinator.running import KEYS, NARROW, Running, finish, next_seed, start_round_one
from tests.coordinator.support import engine, feed_of, plan_of, until

from septum.coordinator.config import load_config
from septum.coordinator.silos_told import silos_told
from septum.coordinator.tracking import Pace, Tracking, make_trackers
from septum.errors import ConfigError
from septum.ports.store import JournalEntry
from septum.ports.tracker import RoundMeasured, RunEnded, RunStarted, SiloEnded, SiloMeasured, SiloStarted
from septum.protocol.facts import ModelMeasured
from septum.protocol.feed import Change, FeedEntry, Kind
from septum.protocol.messages import Outcome
from septum.protocol.plan import Masking, StrategyRef
from septum.testing.contracts.samples import METRICS, new_run
from septum.testing.fakes import MemoryRunStore

pytestmark = [pytest.mark.anyio, pytest.mark.served]


class Remembering:
    """A tracker that keeps what it hears, fails as often as it is told to, and waits while it is held."""

    def __init__(self, failures: int = 0) -> None:
        self.heard: list[object] = []
        self.failures = failures
        self.go = threading.Event()
        self.go.set()
        self.closed = False

    def tell(self, told: object) -> None:
        assert self.go.wait(30)
        if self.failures:
            self.failures -= 1
            raise OSError("the tracker's server is down")
        self.heard.append(told)

    def close(self) -> None:
        self.closed = True

    @property
    def kinds(self) -> list[str]:
        return [type(told).__name__ for told in self.heard]


class tracked:
    """Trackers at an engine's runs."""

    def __init__(self, e, folder, *, feed=None, gather_s=0.0, **trackers) -> None:
        self.tracking = Tracking(e.driver, trackers, folder, feed, Pace(gather_s, retry_s=0.01))

    async def __aenter__(self):
        self.tracking.start()
        return self.tracking

    async def __aexit__(self, *_):
        await self.tracking.close()


STORY = ["RunStarted", *["RoundMeasured"] * 3, "RunEnded"]


async def test_a_run_is_told_from_its_start_to_its_end(tmp_path):
    tracker = Remembering()
    async with engine() as e, tracked(e, tmp_path, one=tracker):
        plan = plan_of(rounds=2)
        model = await e.finish(plan)
        await until(lambda: "RunEnded" in tracker.kinds)
    assert tracker.kinds == STORY
    started, *measured, ended = tracker.heard
    assert isinstance(started, RunStarted)
    assert started.plan == plan
    assert [told.round for told in measured if isinstance(told, RoundMeasured)] == [0, 1, 2]
    assert isinstance(ended, RunEnded)
    assert (ended.outcome, ended.model) == (Outcome.FINISHED, model)
    assert tracker.closed


async def test_a_tracker_that_hangs_keeps_no_run_waiting(tmp_path):
    tracker = Remembering()
    tracker.go.clear()
    async with engine() as e, tracked(e, tmp_path, one=tracker):
        await e.finish(plan_of(rounds=2))
        assert tracker.heard == []
        tracker.go.set()
        await until(lambda: tracker.kinds == STORY)


async def test_a_tracker_that_fails_is_told_again_and_the_others_do_not_notice(tmp_path):
    broken, whole = Remembering(failures=3), Remembering()
    async with engine() as e, tracked(e, tmp_path, broken=broken, whole=whole):
        await e.finish(plan_of(rounds=2))
        await until(lambda: broken.kinds == whole.kinds == STORY)


async def test_a_tracker_that_fails_after_the_run_has_ended_is_told_again_by_itself(tmp_path):
    tracker = Remembering()
    tracker.go.clear()
    async with engine() as e, tracked(e, tmp_path, one=tracker):
        await e.finish(plan_of(rounds=2))
        tracker.failures = 3  # more often than the run could have woken it meanwhile
        tracker.go.set()
        await until(lambda: tracker.kinds == STORY)


async def test_what_was_not_told_before_the_end_is_told_after_the_next_start(tmp_path):
    store, broken = MemoryRunStore(), Remembering(failures=10**6)
    async with engine(store) as e, tracked(e, tmp_path, one=broken):
        await e.finish(plan_of(rounds=2))
        await until(lambda: (tmp_path / "tracking" / "one.json").exists())
    assert broken.heard == []
    tracker = Remembering()
    async with engine(store) as e, tracked(e, tmp_path, one=tracker):
        await until(lambda: tracker.kinds == STORY)


async def test_what_was_told_is_not_told_again_after_a_restart(tmp_path):
    store, first, second = MemoryRunStore(), Remembering(), Remembering()
    async with engine(store) as e, tracked(e, tmp_path, one=first):
        await e.finish(plan_of(rounds=2))
        (run,) = (stored.run.id for stored in store.page(limit=2))
        place = {run: len(store.journal(run))}
        await until(lambda: json.loads((tmp_path / "tracking" / "one.json").read_text()) == place)
    async with engine(store) as e, tracked(e, tmp_path, one=second):
        await e.finish(plan_of(rounds=1, seed=9), "another")
        await until(lambda: "RunEnded" in second.kinds)
    assert first.kinds == STORY
    assert run not in {told.run for told in second.heard}


async def test_a_damaged_note_of_what_was_told_repeats_and_loses_nothing(tmp_path):
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "one.json").write_text('{"r": ')
    tracker = Remembering()
    async with engine() as e, tracked(e, tmp_path, one=tracker):
        await e.finish(plan_of(rounds=2))
        await until(lambda: tracker.kinds == STORY)


async def test_a_note_of_a_run_that_is_not_there_any_more_does_no_harm(tmp_path):
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "one.json").write_text('{"r-of-another-database": 7}')
    tracker = Remembering()
    async with engine() as e, tracked(e, tmp_path, one=tracker):
        await e.finish(plan_of(rounds=2))
        await until(lambda: tracker.kinds == STORY)


async def test_ending_does_not_wait_for_a_tracker_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("septum.coordinator.tracking.CLOSE_S", 0.05)
    tracker = Remembering()
    tracker.go.clear()
    async with engine() as e, tracked(e, tmp_path, one=tracker):
        await e.finish(plan_of(rounds=1))
    assert tracker.heard == []
    tracker.go.set()


async def test_without_trackers_nothing_is_written(tmp_path):
    async with engine() as e, tracked(e, tmp_path):
        await e.finish(plan_of(rounds=1))
    assert list(tmp_path.iterdir()) == []


def test_a_coordinator_records_its_runs_in_a_file_that_its_settings_name(tmp_path):
    (tmp_path / "coordinator.toml").write_text('[tracking.jsonl]\npath = "all.jsonl"\n')
    config = load_config(tmp_path)
    running = Running(tmp_path, tracking=config.tracking)
    try:
        silos = [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
        run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
        finish(silos, run, told, NARROW)
        lines = []
        while not lines or lines[-1]["kind"] != "run_ended":
            text = (tmp_path / "all.jsonl").read_text() if (tmp_path / "all.jsonl").exists() else ""
            lines = [json.loads(line) for line in text.splitlines()]
    finally:
        running.stop()
    assert {line["run"] for line in lines} == {run}
    assert [line["kind"] for line in lines][:2] == ["run_started", "round_measured"]
    assert "cleveland" not in json.dumps([line for line in lines if line["kind"] == "round_measured"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tracking.jsonl]\npth = "x"\n', "did you mean 'path'"),
        ("[tracking.jsonk]\n", "unknown tracker 'jsonk'"),
        ("tracking = 3\n", "tracking '' is no table"),
        ("[tracking]\njsonl = 3\n", "tracking 'jsonl' is no table"),
        ("[tracking.jsonl]\npath = [1]\n", "tracking 'jsonl' is no table"),
    ],
)
def test_a_wrong_setting_is_an_error_before_anything_runs(tmp_path, text, message):
    (tmp_path / "coordinator.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        make_trackers(load_config(tmp_path).tracking, tmp_path)
    assert message in refused.value.message


class Listening(Remembering):
    """A tracker that hears of silos that go, too."""

    kinds = frozenset({Kind.SILO_OFFLINE})

    def change(self, entry: FeedEntry) -> None:
        self.tell(entry.change)


def gone(silo):
    return Change(Kind.SILO_OFFLINE, silo=silo)


async def test_changes_are_told_to_who_listens_once_each_from_the_first_start_on(tmp_path):
    listener, other = Listening(), Remembering()
    async with engine() as e:
        feed = feed_of(e)
        await feed.add([gone("before")])
        async with tracked(e, tmp_path, feed=feed, one=listener, two=other):
            await until(lambda: (tmp_path / "tracking" / "one.feed.json").exists())
            await feed.add([Change(Kind.SILO_ONLINE, silo="a"), gone("b")])
            await until(lambda: listener.heard)
        assert listener.heard == [gone("b")]
        await feed.add([gone("c")])  # while nobody listens
        again = Listening(failures=2)
        async with tracked(e, tmp_path, feed=feed, one=again):
            await until(lambda: again.heard)
        assert again.heard == [gone("c")]
        assert other.heard == []


class Batching(Remembering):
    """A tracker that takes several things at one time, and what is one silo's own."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.silos: list[object] = []
        self.silo_batches = 0
        self.refuses = 0  # of each batch

    hears_silos = True

    def tell_all(self, told):
        assert self.go.wait(30)
        if self.failures:
            self.failures -= 1
            raise OSError("the tracker's server is down")
        self.heard += told
        self.batches.append(len(told))
        return self.refuses

    def tell_silos(self, told):
        self.silos += told
        self.silo_batches += 1
        return 2 if self.refuses else 0


async def test_what_waited_for_a_tracker_comes_in_one_batch(tmp_path):
    tracker = Batching()
    tracker.failures = 10**6
    async with engine() as e, tracked(e, tmp_path, one=tracker) as tracking:
        await e.finish(plan_of(rounds=2))
        failed = tracking.failures
        await until(lambda: tracking.failures > failed + 1)  # what is being told now has the run's end
        assert tracker.heard == []
        tracker.failures = 0
        await until(lambda: tracker.kinds == STORY)
    assert tracker.batches == [len(STORY)]


async def test_what_a_tracker_was_not_told_is_counted_and_what_it_has_been_told_no_longer(tmp_path):
    held, broken, whole = Remembering(), Remembering(failures=10**6), Remembering()
    held.go.clear()
    async with engine() as e, tracked(e, tmp_path, held=held, broken=broken, whole=whole) as tracking:
        await e.finish(plan_of(rounds=2))
        await until(lambda: whole.kinds == STORY)
        await until(lambda: tracking.pending == 2)  # what hangs, and what failed
        assert await tracking.waiting() == 2 * len(STORY)
        assert await tracking.waiting() == 2 * len(STORY)  # also where it was counted before
        await e.finish(plan_of(rounds=1, seed=9), "another")
        await until(lambda: len(whole.heard) == 2 * len(STORY) - 1 and tracking.pending == 4)
        assert await tracking.waiting() == 2 * len(whole.heard)
        held.go.set()
        broken.failures = 0
        await until(lambda: not tracking.pending)
        assert await tracking.waiting() == 0


async def test_what_a_trackers_service_refuses_for_good_is_counted_and_not_told_again(tmp_path):
    tracker = Batching()
    tracker.refuses = 3
    async with engine() as e, tracked(e, tmp_path, one=tracker, two=Remembering()) as tracking:
        await e.finish(plan_of(rounds=2))
        await until(lambda: tracker.kinds == STORY and not tracking.pending)
        assert tracking.refused == 3 * len(tracker.batches) + 2 * tracker.silo_batches
        assert (await tracking.waiting(), tracking.failures) == (0, 0)


async def test_what_happens_in_a_short_while_is_told_together(tmp_path):
    """Rounds may take some milliseconds, and to tell of each by itself would take as long."""
    tracker = Batching()
    async with engine() as e, tracked(e, tmp_path, gather_s=1.0, one=tracker):
        await e.finish(plan_of(rounds=2))
        assert tracker.batches == []
        await until(lambda: tracker.kinds == STORY)
    assert tracker.batches == [len(STORY)]


async def test_of_a_run_without_masks_a_tracker_can_hear_each_silo(tmp_path):
    tracker, deaf = Batching(), Batching()
    deaf.hears_silos = False
    async with engine() as e, tracked(e, tmp_path, one=tracker, two=deaf):
        plan = plan_of(rounds=1)
        await e.finish(plan)
        await until(lambda: any(isinstance(told, SiloEnded) for told in tracker.silos))
        await until(lambda: deaf.kinds == tracker.kinds)
    ranks = {silo: rank for rank, silo in enumerate(sorted(plan.silos), start=1)}
    told: dict[type, set[tuple[str, int]]] = {}
    for one in tracker.silos:
        told.setdefault(type(one), set()).add((one.silo, one.rank))
    assert told == {key: set(ranks.items()) for key in (SiloStarted, SiloMeasured, SiloEnded)}
    assert {one.round for one in tracker.silos if isinstance(one, SiloMeasured)} == {0, 1}
    assert deaf.silos == []


async def test_of_a_run_with_masks_no_tracker_hears_of_a_silo():
    metrics = {"cleveland": METRICS, "hungary": METRICS}
    entry = JournalEntry(3, 5.0, ModelMeasured(1, METRICS, metrics))
    shown = new_run("r-1").plan
    assert len(silos_told("r-1", shown, entry)) == 2
    hidden = replace(shown, early_stopping=None, strategy=StrategyRef(), masking=Masking())
    assert silos_told("r-1", hidden, entry) == ()
