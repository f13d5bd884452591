"""What must every store of logs, and of loads, do? Subclass, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from septum.ports.telemetry import Kept, LogStore, SystemStore
from septum.protocol.log_lines import ALL_LINES, LogBatch, LogFilter, LogLevel, LogLine, LogOrigin
from septum.protocol.system import Readings, SystemReport, SystemSample

ONE, OTHER = "0" * 16, "f" * 16
NOW = 1_800_000_000.0
FOR_EVER = Kept(1e12, 10**12)


def batch(first: int, *texts: str, stream: str = ONE, at: float = NOW, **more: object) -> LogBatch:
    """Lines of an agent, which say this."""
    given = {"level": LogLevel.INFO, "origin": LogOrigin.AGENT, **more}
    return LogBatch(stream, first, tuple(LogLine(at, text=text, **given) for text in texts))  # type: ignore[arg-type]


def report(*samples: tuple[float, float]) -> SystemReport:
    """Samples of a machine: when, and percent of its processors."""
    made = (SystemSample(at, Readings(cpu, 100.0 * cpu, 5e5, 1.0, 2.0)) for at, cpu in samples)
    return SystemReport(tuple(made), memory_mb=16_000.0, disk_mb=1e6)


class LogStoreContract(ABC):
    """The contract of `ports.telemetry.LogStore`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[LogStore]:
        """A new, empty store. Files may be in `directory`."""

    @pytest.fixture
    def logs(self, tmp_path: Path) -> Iterator[LogStore]:
        """The store under test."""
        with self.make(tmp_path) as store:
            yield store

    def texts(self, store: LogStore, run: str = "r-1", wanted: LogFilter = ALL_LINES, **more: int) -> list[str]:
        """What the lines say, in order."""
        return [line.text for line in store.page(run, wanted, **{"limit": 1000, **more})]

    def test_lines_come_back_in_order_each_run_by_itself(self, logs: LogStore) -> None:
        """With all that was said of each."""
        logs.add("r-1", "north", batch(0, "a", "b"), at=NOW)
        logs.add("r-2", "north", batch(0, "x"), at=NOW)
        added = logs.add("r-1", "south", batch(0, "c", round=3, level=LogLevel.ERROR, origin=LogOrigin.APP), at=NOW)
        assert self.texts(logs) == ["a", "b", "c"]
        assert self.texts(logs, "r-2") == ["x"]
        (last,) = logs.page("r-1", ALL_LINES, limit=1, before=2**53)
        assert (last,) == added
        assert (last.silo, last.level, last.origin, last.round) == ("south", LogLevel.ERROR, LogOrigin.APP, 3)

    def test_a_batch_that_comes_twice_or_in_part_again_is_there_once(self, logs: LogStore) -> None:
        """Delivery is at least once."""
        logs.add("r-1", "north", batch(0, "a", "b"), at=NOW)
        assert logs.add("r-1", "north", batch(0, "a", "b"), at=NOW) == ()
        assert [line.text for line in logs.add("r-1", "north", batch(1, "b", "c"), at=NOW)] == ["c"]
        assert self.texts(logs) == ["a", "b", "c"]

    def test_a_gap_says_how_many_lines_are_missing_and_where(self, logs: LogStore) -> None:
        """Numbers count what was dropped in the silo as well."""
        logs.add("r-1", "north", batch(0, "a"), at=NOW)
        logs.add("r-1", "north", batch(38, "b"), at=NOW)
        assert self.texts(logs) == ["a", "37 lines of this silo are missing here", "b"]
        assert self.texts(logs, wanted=LogFilter(origin=LogOrigin.COORDINATOR, level=LogLevel.WARNING)) == [
            "37 lines of this silo are missing here"
        ]

    def test_an_agent_that_was_started_again_numbers_anew_and_nothing_is_taken_for_a_repeat(
        self, logs: LogStore
    ) -> None:
        """Its stream has another name."""
        logs.add("r-1", "north", batch(0, "a", "b"), at=NOW)
        logs.add("r-1", "north", batch(0, "c", stream=OTHER), at=NOW)
        assert self.texts(logs) == ["a", "b", "c"]

    def test_a_line_is_of_no_later_time_than_it_came(self, logs: LogStore) -> None:
        """By a silo's clock, or its lie, it may be."""
        logs.add("r-1", "north", batch(0, "late", at=NOW + 9e9), at=NOW)
        logs.add("r-1", "north", batch(1, "early", at=0.0), at=NOW)
        assert [line.at for line in logs.page("r-1", ALL_LINES, limit=9)] == [NOW, 0.0]

    def test_each_filter_holds_and_all_together_as_well(self, logs: LogStore) -> None:
        """Also with characters that mean something to a database."""
        logs.add("r-1", "north", batch(0, "Loss 0.5", round=1, origin=LogOrigin.APP), at=NOW)
        logs.add("r-1", "north", batch(1, "ümlaut 100%_", round=2, level=LogLevel.ERROR, at=NOW - 10), at=NOW)
        logs.add("r-1", "south", batch(0, "loss 0.4", round=2, level=LogLevel.WARNING, origin=LogOrigin.APP), at=NOW)
        for wanted, found in (
            (LogFilter(silo="south"), ["loss 0.4"]),
            (LogFilter(level=LogLevel.WARNING), ["ümlaut 100%_", "loss 0.4"]),
            (LogFilter(origin=LogOrigin.AGENT), ["ümlaut 100%_"]),
            (LogFilter(since=NOW), ["Loss 0.5", "loss 0.4"]),
            (LogFilter(round=2), ["ümlaut 100%_", "loss 0.4"]),
            (LogFilter(text="LOSS"), ["Loss 0.5", "loss 0.4"]),
            (LogFilter(text="%_"), ["ümlaut 100%_"]),
            (LogFilter(text="ümlaut"), ["ümlaut 100%_"]),
            (LogFilter(text="'; DROP TABLE lines --"), []),
            (LogFilter("south", LogLevel.WARNING, LogOrigin.APP, NOW, 2, "0.4"), ["loss 0.4"]),
            (LogFilter("south", LogLevel.ERROR, LogOrigin.APP, NOW, 2, "0.4"), []),
        ):
            assert self.texts(logs, wanted=wanted) == found, wanted

    def test_pages_go_forth_from_a_line_and_back_from_one(self, logs: LogStore) -> None:
        """Both in order."""
        logs.add("r-1", "north", batch(0, *"abcdef"), at=NOW)
        third = logs.page("r-1", ALL_LINES, limit=9)[2]
        assert self.texts(logs, after=third.seq, limit=2) == ["d", "e"]
        assert self.texts(logs, before=third.seq, limit=1) == ["b"]
        assert self.texts(logs, before=2**53, limit=2) == ["e", "f"]
        assert self.texts(logs, after=2**52) == []

    def test_what_is_older_than_is_kept_goes_and_a_line_after_it_is_no_repeat(self, logs: LogStore) -> None:
        """By when it came."""
        logs.add("r-1", "north", batch(0, "old", "older"), at=NOW - 100.0)
        logs.add("r-2", "north", batch(0, "new"), at=NOW)
        assert logs.prune(Kept(50.0, 10**9), now=NOW) == 2
        assert logs.prune(Kept(50.0, 10**9), now=NOW) == 0
        assert (self.texts(logs), self.texts(logs, "r-2")) == ([], ["new"])
        logs.add("r-2", "north", batch(1, "newer"), at=NOW)
        assert self.texts(logs, "r-2") == ["new", "newer"]

    def test_of_more_than_is_kept_the_oldest_goes(self, logs: LogStore) -> None:
        """Over all runs."""
        logs.add("r-1", "north", batch(0, "x" * 1000), at=NOW)
        logs.add("r-2", "south", batch(0, "y" * 1000), at=NOW)
        assert logs.prune(FOR_EVER, now=NOW) == 0
        assert logs.prune(Kept(1e12, 1_500), now=NOW) >= 1
        assert self.texts(logs, "r-1") == []

    def test_a_text_with_any_character_is_kept_but_for_nul(self, logs: LogStore) -> None:
        """What steers a terminal is made harmless where it is shown."""
        odd = "\x1b[31m\u202e\u2028 \U0001f600 \x07 \x00 end"
        logs.add("r-1", "north", batch(0, odd), at=NOW)
        assert self.texts(logs) == [odd.replace("\x00", "\ufffd")]
        assert self.texts(logs, wanted=LogFilter(text="end")) == [odd.replace("\x00", "\ufffd")]


class SystemStoreContract(ABC):
    """The contract of `ports.telemetry.SystemStore`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[SystemStore]:
        """A new, empty store. Files may be in `directory`."""

    @pytest.fixture
    def system(self, tmp_path: Path) -> Iterator[SystemStore]:
        """The store under test."""
        with self.make(tmp_path) as store:
            yield store

    def test_what_was_told_comes_back_and_each_machine_is_by_itself(self, system: SystemStore) -> None:
        """Of one that told nothing nothing comes."""
        assert system.note("north", report((NOW - 60.0, 10.0), (NOW, 50.0)), now=NOW) == 2
        assert system.note("", report((NOW, 1.0)), now=NOW) == 1
        found = system.series("north", since=NOW - 600.0, until=NOW, now=NOW)
        assert [point.mean.cpu for point in found.points] == [10.0, 50.0]
        assert [point.mean.gpu for point in found.points] == [None, None]
        assert (found.silo, found.memory_mb, found.disk_mb) == ("north", 16_000.0, 1e6)
        assert system.series("south", since=0.0, until=NOW, now=NOW).points == ()

    def test_what_is_old_repeated_or_of_the_future_cannot_add_more_than_a_sample_a_second(
        self, system: SystemStore
    ) -> None:
        """Whatever its clock says."""
        future = [(NOW + number, 99.0) for number in range(1, 50)]
        assert system.note("north", report((NOW - 9_000.0, 1.0), (0.0, 1.0), *future), now=NOW) == 1
        assert system.note("north", report((NOW, 2.0), (NOW + 0.5, 2.0)), now=NOW + 0.5) == 0
        assert system.note("north", report((NOW + 1.0, 3.0)), now=NOW + 1.0) == 1
        found = system.series("north", since=NOW - 3_600.0, until=NOW + 100.0, now=NOW + 1.0)
        assert sum(point.count for point in found.points) == 2

    def test_a_clock_that_was_set_back_does_not_silence_a_machine(self, system: SystemStore) -> None:
        """The coordinator's own."""
        assert system.note("north", report((NOW + 5_000.0, 1.0)), now=NOW + 5_000.0) == 1
        assert system.note("north", report((NOW + 2.0, 2.0)), now=NOW) == 0
        assert system.note("north", report((NOW + 2.0, 2.0)), now=NOW + 2.0) == 1
