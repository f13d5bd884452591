"""What must every Tracker do? Subclass `TrackerContract`, name it `Test...`, and define `make` and `recorded`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from septum.ports.tracker import RoundMeasured, RunEnded, RunStarted, Told, Tracker
from septum.protocol.messages import Outcome
from septum.testing.contracts.samples import METRICS, new_run

PLAN = new_run("r-1").plan
STORY: tuple[Told, ...] = (
    RunStarted("r-1", 10.0, PLAN),
    RunStarted("r-2", 11.0, replace(PLAN, name="another", seed=2)),
    RoundMeasured("r-1", 12.0, 0, METRICS),
    RoundMeasured("r-1", 13.0, 1, replace(METRICS, accuracy=0.75)),
    RunEnded("r-2", 14.0, Outcome.FAILED, "too few silos joined", ""),
    RunEnded("r-1", 15.0, Outcome.FINISHED, "", "blake3:" + "0" * 64),
)


class TrackerContract(ABC):
    """The contract of `ports.tracker.Tracker`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> Tracker:
        """A tracker that records what it is told; the same place for the same directory."""

    @abstractmethod
    def recorded(self, directory: Path) -> Sequence[tuple[str, str]]:
        """What is recorded there now, in order: (`started`, `measured N` or `ended`, run)."""

    def test_what_was_told_is_recorded_in_order(self, tmp_path: Path) -> None:
        """When `tell` has returned it is there, without `close`."""
        tracker = self.make(tmp_path)
        for count, told in enumerate(STORY, start=1):
            tracker.tell(told)
            assert list(self.recorded(tmp_path)) == [_name(one) for one in STORY[:count]]
        tracker.close()

    def test_a_new_one_goes_on_where_the_last_one_ended(self, tmp_path: Path) -> None:
        """As after a restart of the coordinator."""
        for told in STORY:
            with closing(self.make(tmp_path)) as tracker:
                tracker.tell(told)
        assert list(self.recorded(tmp_path)) == [_name(one) for one in STORY]

    def test_what_is_told_twice_is_taken_twice(self, tmp_path: Path) -> None:
        """Delivery is at least once: nothing is lost by a repeat, and nothing else appears."""
        with closing(self.make(tmp_path)) as tracker:
            for told in (*STORY[:3], *STORY):
                tracker.tell(told)
        assert set(self.recorded(tmp_path)) == {_name(one) for one in STORY}

    def test_a_run_may_go_on_after_its_end(self, tmp_path: Path) -> None:
        """It was resumed."""
        more = RoundMeasured("r-1", 16.0, 2, METRICS)
        with closing(self.make(tmp_path)) as tracker:
            for told in (*STORY, more, STORY[-1]):
                tracker.tell(told)
        assert _name(more) in self.recorded(tmp_path)

    def test_rows_of_one_class_have_no_roc_auc(self, tmp_path: Path) -> None:
        """And a tracker takes that."""
        told = RoundMeasured("r-1", 12.0, 0, replace(METRICS, roc_auc=None))
        with closing(self.make(tmp_path)) as tracker:
            tracker.tell(STORY[0])
            tracker.tell(told)
        assert list(self.recorded(tmp_path)) == [_name(STORY[0]), _name(told)]


def _name(told: Told) -> tuple[str, str]:
    match told:
        case RunStarted():
            return "started", told.run
        case RoundMeasured():
            return f"measured {told.round}", told.run
        case RunEnded():
            return "ended", told.run
