"""How busy the machine is is told as often as somebody may look, and not while a private run is at work."""

from __future__ import annotations

from septum.errors import ConnectionFailedError, NotFoundError
from septum.protocol.codec import decode, encode
from septum.protocol.system import MAX_SAMPLES, Readings, SystemReport
from septum.silo.log import Log
from septum.silo.system_telling import QUIET_S, WAITING, SystemTelling

NOW = 1_800_000_000.0


class Place:
    def __init__(self) -> None:
        self.cpu = 0.0
        self.serving = False
        self.hidden = False
        self.problem: Exception | None = None
        self.told: list[SystemReport] = []
        self.telling = SystemTelling(
            lambda: Readings(self.cpu, 1.0, 2.0, 3.0, 4.0),
            lambda: (16_000.0, 500_000.0),
            self._send,
            Log(silo="north"),
            serving=lambda: self.serving,
            hidden=lambda: self.hidden,
        )

    def _send(self, report: SystemReport) -> None:
        assert decode(SystemReport, encode(report)) == report
        if self.problem is not None:
            raise self.problem
        self.told.append(report)

    def look(self, after_s: float, cpu: float = 0.0) -> None:
        self.cpu = cpu
        self.telling.look(NOW + after_s)

    @property
    def cpus(self) -> list[float]:
        return [sample.readings.cpu for report in self.told for sample in report.samples]


def test_an_idle_silo_tells_a_minute_at_once_and_one_that_serves_a_run_each_sample():
    place = Place()
    for number in range(7):
        place.look(10.0 * number, float(number))
    assert [len(report.samples) for report in place.told] == [1, 6]
    assert place.cpus == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    place.serving = True
    place.look(70.0, 7.0)
    place.look(80.0, 8.0)
    assert [len(report.samples) for report in place.told[2:]] == [1, 1]


def test_while_a_private_run_is_at_work_nothing_is_seen_nor_told_and_neither_is_its_last_moment():
    place = Place()
    place.serving = True
    place.look(0.0, 1.0)
    place.hidden = True
    place.look(10.0, 98.0)
    place.look(20.0, 99.0)
    place.hidden = False
    place.look(30.0, 50.0)  # half of what it is the mean of lies in the run
    place.look(40.0, 2.0)
    assert place.cpus == [1.0, 2.0]


def test_what_was_seen_while_the_coordinator_was_away_is_told_later_an_hour_of_it():
    place = Place()
    place.problem = ConnectionFailedError("away")
    for number in range(WAITING + 40):
        place.look(10.0 * number, float(number % 100))
    place.problem = None
    place.look(10.0 * (WAITING + 40) + QUIET_S)
    assert max(len(report.samples) for report in place.told) == MAX_SAMPLES
    assert len(place.cpus) == WAITING


def test_a_coordinator_that_is_too_old_for_it_does_not_fill_the_memory():
    place = Place()
    place.problem = NotFoundError("there is no POST /silo/v1/system here")
    place.look(0.0, 1.0)
    place.problem = None
    place.look(100.0, 2.0)
    assert place.cpus == [2.0]
