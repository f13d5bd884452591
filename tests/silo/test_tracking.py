"""A silo stores its own part in runs in its own trackers: in order, off the training path, whatever a tracker does."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from septum.adapters.tracking.webhook import Webhook
from septum.errors import ConfigError, ConnectionFailedError
from septum.ports.launcher import TaskResult
from septum.ports.tracker import SiloEnded, SiloMeasured, SiloStarted
from septum.protocol import tensors
from septum.protocol.messages import Outcome, Stage
from septum.protocol.payload import evaluation_tensors
from septum.protocol.silo import Job
from septum.silo import tracking
from septum.silo.config import read_config
from septum.silo.log import Log
from septum.silo.track_spool import Spool, read_tracked, waiting_in
from septum.silo.tracking import SiloTracking
from septum.testing.contracts.samples import new_run

PLAN = new_run("r-1").plan
LOG = Log()
WEBHOOK = Webhook("http://127.0.0.1:1", b"x", frozenset())


class Remembering:
    """A tracker that keeps what it hears, and fails or refuses as it is told to."""

    hears_silos = False

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.problem: Exception | None = None
        self.refused = 0
        self.asked = 0
        self.closed = threading.Event()

    def tell_silos(self, told):
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        self.heard += told
        refused, self.refused = self.refused, 0
        return refused

    def close(self):
        self.closed.set()


class Stop:
    """A stop signal under which nobody waits."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.is_set, self.set = self.event.is_set, self.event.set

    def wait(self, timeout):
        return self.event.wait(min(timeout, 0.01))


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Makes a silo's tracking that is at work."""
    monkeypatch.setattr(tracking, "GATHER_S", 0.01)
    stops = []

    def start(tracker):
        made = SiloTracking("hungary", {"one": tracker}, tmp_path, LOG, lambda: 5.0, "cpu")
        stops.append((Stop(), tracker))
        made.start(stops[-1][0], lambda: 0.0)
        return made

    yield start
    for stop, tracker in stops:
        stop.set()
        assert tracker.closed.wait(10)


def until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 10 s")


def sums(auc=0.75):
    from septum.algorithms.evaluation import Evaluation

    bins = np.array([[0, 1, 1]], np.int64)
    return tensors.encode(evaluation_tensors(Evaluation(4, 3, 2.0, auc, bins)))


def job(stage, round_):
    return Job(stage, round_, 1)


def play(made, plan=PLAN, exact=True):
    """One round: prepare, train from the initial model, evaluate what came of it."""
    made.worked("r-1", plan, job(Stage.PREPARE, 0), TaskResult(195, {}, False, b""), b"", exact=exact)
    trained = TaskResult(195, {}, False, b"", train_loss=0.5 if exact else None)
    made.worked("r-1", plan, job(Stage.TRAIN, 1), trained, sums(0.5), exact=exact)
    made.worked("r-1", plan, job(Stage.EVALUATE, 1), TaskResult(0, {}, False, b""), sums(0.75), exact=exact)
    made.ended("r-1", plan, Outcome.FINISHED)


def test_a_silos_part_in_a_run_is_stored_in_order(started, tmp_path):
    tracker = Remembering()
    play(started(tracker))
    until(lambda: len(tracker.heard) == 5)
    first, before, loss, after, ended = tracker.heard
    assert first == SiloStarted("r-1", 5.0, "hungary", 2, PLAN, train_rows=195, device="cpu")
    assert (before.round, before.metrics.roc_auc, before.metrics.log_loss) == (0, 0.5, 0.5)
    assert loss == SiloMeasured("r-1", 5.0, "hungary", 2, 1, train_loss=0.5)
    assert (after.round, after.metrics.roc_auc) == (1, 0.75)
    assert ended == SiloEnded("r-1", 5.0, "hungary", 2, Outcome.FINISHED)
    until(lambda: read_tracked(tmp_path, "one").stored == 5)
    until(lambda: waiting_in(tmp_path, "one") == 0)  # taken out of the spool once it was told as stored
    until(lambda: not (tmp_path / "tracking" / "one.jsonl").exists())


def test_of_rows_that_are_accounted_for_nothing_is_stored(started):
    """In a run with differential privacy exact numbers of the rows stay where they are."""
    tracker = Remembering()
    play(started(tracker), exact=False)
    until(lambda: len(tracker.heard) == 2)
    assert tracker.heard[0].train_rows is None
    assert isinstance(tracker.heard[1], SiloEnded)


def test_work_that_is_done_again_is_stored_once(started):
    tracker = Remembering()
    made = started(tracker)
    for _ in range(3):
        made.worked("r-1", PLAN, job(Stage.TRAIN, 1), TaskResult(9, {}, False, b"", train_loss=0.5), sums(), exact=True)
    made.ended("r-1", PLAN, Outcome.STOPPED)
    until(lambda: tracker.heard and isinstance(tracker.heard[-1], SiloEnded))
    assert len(tracker.heard) == 4


def test_a_tracker_that_is_down_gets_everything_later_and_says_why_meanwhile(started, tmp_path):
    tracker = Remembering()
    tracker.problem = ConnectionFailedError("MLflow cannot be asked", hint="look at the network")
    play(started(tracker))
    until(lambda: tracker.asked > 3)
    found = read_tracked(tmp_path, "one")
    assert (waiting_in(tmp_path, "one"), found.stored, found.problem) == (5, 0, "MLflow cannot be asked")
    assert found.hint == "look at the network"
    tracker.problem = None
    until(lambda: len(tracker.heard) == 5)
    until(lambda: read_tracked(tmp_path, "one").problem == "")


@pytest.mark.parametrize("problem", [OSError("broken pipe"), RuntimeError("a library's own")])
def test_whatever_a_tracker_raises_it_is_asked_again(started, problem):
    tracker = Remembering()
    tracker.problem = problem
    play(started(tracker))
    until(lambda: tracker.asked > 2)
    tracker.problem = None
    until(lambda: len(tracker.heard) == 5)


def test_what_was_left_by_an_agent_that_was_killed_is_stored_by_the_next(started, tmp_path):
    play(SiloTracking("hungary", {"one": Remembering()}, tmp_path, LOG, lambda: 5.0))  # its thread never began
    tracker = Remembering()
    started(tracker)
    until(lambda: len(tracker.heard) == 5)


def test_what_is_refused_is_counted_and_the_rest_stored(started, tmp_path):
    tracker = Remembering()
    tracker.refused = 2
    play(started(tracker))
    until(lambda: waiting_in(tmp_path, "one") == 0 and tracker.heard)
    until(lambda: read_tracked(tmp_path, "one").stored + read_tracked(tmp_path, "one").refused == 5)
    assert read_tracked(tmp_path, "one").refused == 2


def test_a_full_file_drops_and_counts_and_goes_on_when_there_is_room(tmp_path):
    spool = Spool(tmp_path, "one", max_bytes=250)
    told = [SiloMeasured("r-1", 1.0, "hungary", 2, number, train_loss=0.5) for number in range(4)]
    lost = [spool.add([one]) for one in told]
    assert lost == [0, 0, 1, 1]
    found = read_tracked(tmp_path, "one")
    assert (waiting_in(tmp_path, "one"), found.dropped) == (2, 2)
    assert spool.first(10) == told[:2]
    spool.settle(1, 0)
    assert spool.first(10) == told[1:2]
    spool.settle(1, 0)
    assert spool.add(told[3:]) == 0


def test_a_folder_that_cannot_be_written_to_drops_and_counts(tmp_path):
    spool = Spool(tmp_path, "one")
    (tmp_path / "tracking" / "one.jsonl").mkdir()
    assert spool.add([SiloMeasured("r-1", 1.0, "hungary", 2, 1, train_loss=0.5)]) == 1
    assert spool.first(10) == []


def test_a_damaged_file_is_counted_as_dropped_and_begun_anew(tmp_path):
    spool, told = Spool(tmp_path, "one"), [SiloMeasured("r-1", 1.0, "hungary", 2, 1, train_loss=0.5)]
    spool.add(told)
    (tmp_path / "tracking" / "one.jsonl").write_bytes(b"{nonsense\n")
    assert spool.first(10) == []
    assert read_tracked(tmp_path, "one").dropped == 1
    spool.add(told)
    assert spool.first(10) == told


@pytest.mark.parametrize("said", [b"", b"x" * 40, sums()[:-9], sums(float("inf"))])
def test_nothing_that_a_worker_says_fails_its_run_here(started, said):
    tracker = Remembering()
    made = started(tracker)
    made.worked("r-1", PLAN, job(Stage.TRAIN, 1), TaskResult(9, {}, False, b"", train_loss=0.5), said, exact=True)
    until(lambda: len(tracker.heard) == 2)
    assert tracker.heard[1].train_loss == 0.5


def test_a_tracker_of_whole_runs_is_none_of_a_silos(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "TRACKERS", {"webhook": lambda _: WEBHOOK})
    (tmp_path / "silo.toml").write_text(
        '[silo]\nname = "hungary"\ncoordinator = "https://localhost:1"\n[tracking.webhook]\nurl = "x"\n'
    )
    with pytest.raises(ConfigError, match=r"\[tracking.webhook\]: this tracker stores whole runs"):
        tracking.make_trackers(read_config(tmp_path / "silo.toml"), tmp_path)


def test_statistics_that_are_asked_are_stored_nowhere(started, tmp_path):
    tracker = Remembering()
    made = started(tracker)
    asked = replace(PLAN)
    object.__setattr__(asked, "query", object())
    play(made, asked)
    assert waiting_in(tmp_path, "one") == 0
    assert not tracker.heard


def test_on_what_an_app_trains_is_known_where_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "_GPU_DEVICES", (tmp_path / "nvidia",))
    assert tracking.device_here(0) == "cpu"
    assert tracking.device_here(2) == ""
    (tmp_path / "nvidia").touch()
    assert tracking.device_here(0) == ""
