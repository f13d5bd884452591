"""The stores of logs and loads keep their contracts: the ones in memory, and those in a file."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext

import pytest

from septum.adapters.telemetry import logs as sqlite_logs
from septum.adapters.telemetry.file import FILE_NAME
from septum.adapters.telemetry.open import open_telemetry
from septum.adapters.telemetry.system import TIERS
from septum.protocol.log_lines import ALL_LINES
from septum.testing.contracts.telemetry import NOW, LogStoreContract, SystemStoreContract, batch, report
from septum.testing.telemetry import MemoryLogs, MemorySystem


@pytest.fixture
def opened(tmp_path):
    telemetry = open_telemetry(tmp_path)
    yield telemetry
    telemetry.close()


class TestMemoryLogs(LogStoreContract):
    def make(self, directory):
        del directory
        return nullcontext(MemoryLogs())


class TestSqliteLogs(LogStoreContract):
    @contextmanager
    def make(self, directory):
        with closing(open_telemetry(directory)) as telemetry:
            yield telemetry.logs


class TestMemorySystem(SystemStoreContract):
    def make(self, directory):
        del directory
        return nullcontext(MemorySystem())


class TestSqliteSystem(SystemStoreContract):
    @contextmanager
    def make(self, directory):
        with closing(open_telemetry(directory)) as telemetry:
            yield telemetry.system


def test_lines_and_where_each_silo_stands_outlive_a_close(tmp_path):
    first = open_telemetry(tmp_path)
    first.logs.add("r-1", "north", batch(0, "a", "b"), at=NOW)
    first.system.note("north", report((NOW, 7.0)), now=NOW)
    first.close()
    again = open_telemetry(tmp_path)
    assert again.logs.add("r-1", "north", batch(1, "b", "c"), at=NOW)[-1].text == "c"
    assert [line.text for line in again.logs.page("r-1", ALL_LINES, limit=9)] == ["a", "b", "c"]
    assert len(again.system.series("north", since=NOW - 60.0, until=NOW, now=NOW).points) == 1
    again.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 500, None], ids=["damaged", "another layout"])
def test_a_file_that_cannot_be_used_is_put_aside_and_a_new_one_begun(tmp_path, damage):
    first = open_telemetry(tmp_path)
    first.logs.add("r-1", "north", batch(0, "a"), at=NOW)
    first._file._writer.execute("PRAGMA user_version=99")
    first.close()
    path = tmp_path / FILE_NAME
    if damage:
        path.write_bytes(damage)
    again = open_telemetry(tmp_path)
    assert again.logs.page("r-1", ALL_LINES, limit=9) == []
    again.logs.add("r-1", "north", batch(0, "b"), at=NOW)
    assert len(again.logs.page("r-1", ALL_LINES, limit=9)) == 1
    again.close()
    assert (tmp_path / f"{FILE_NAME}.aside").exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_silo_in_one_run_has_so_much_room_and_its_newest_lines_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_logs, "MAX_SILO_BYTES", 20_000)
    telemetry = open_telemetry(tmp_path)
    telemetry.logs.add("r-1", "south", batch(0, "the other silo's"), at=NOW)
    for number in range(100):
        telemetry.logs.add("r-1", "north", batch(number, f"{number:04}" + "x" * 1_000), at=NOW)
    kept = [line.text for line in telemetry.logs.page("r-1", ALL_LINES, limit=1000)]
    telemetry.close()
    assert kept[0] == "the other silo's"
    assert sum(map(len, kept)) <= 20_000 + 1_100
    assert [text[:4] for text in kept[-10:]] == [f"{number:04}" for number in range(90, 100)]
    assert not any("missing" in text for text in kept)


def test_months_of_samples_take_no_more_room_than_the_points_that_are_kept(opened):
    every_s, span_s = 299, 90 * 86_400
    for at in range(0, span_s, every_s * 12):
        samples = ((NOW + at + n * every_s, 50.0) for n in range(1, 13))
        opened.system.note("north", report(*samples), now=NOW + at + every_s * 12)
    with opened.system._file.read() as connection:
        (points,) = connection.execute("SELECT count(*) FROM points").fetchone()
    most = sum(kept_s // every_s + 2 for every_s, kept_s in TIERS)
    assert 1_400 < points <= most
    series = opened.system.series("north", since=NOW, until=NOW + span_s, now=NOW + span_s)
    assert 1_400 < len(series.points) <= 1_442
    assert {point.mean.cpu for point in series.points} == {50.0}
