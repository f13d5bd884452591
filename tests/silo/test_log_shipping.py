"""Lines are told in batches, again after a failure that passes, and no more of a run that the coordinator refuses."""

from __future__ import annotations

import threading

from tests.silo.scripted import ScriptedStop
from tests.silo.test_log_outbox import Place

from septum.errors import ConnectionFailedError, NotFoundError, RateLimitedError, SeptumError
from septum.protocol.log_lines import LogBatch
from septum.silo.log import Log
from septum.silo.log_shipping import GATHER_S, LogShipping


class Coordinator:
    def __init__(self, *problems: SeptumError) -> None:
        self.problems = list(problems)
        self.told: list[tuple[str, LogBatch]] = []

    def send(self, run: str, batch: LogBatch) -> None:
        if self.problems:
            raise self.problems.pop(0)
        self.told.append((run, batch))


def shipping(place: Place, coordinator: Coordinator, stop: ScriptedStop | None = None) -> LogShipping:
    return LogShipping(place.outbox, coordinator.send, stop or ScriptedStop(), Log(silo="north"), lambda: 0.5)


def test_lines_of_each_run_go_in_a_batch_of_their_own():
    place, coordinator = Place(), Coordinator()
    place.log("joined")
    place.log("connected", run_id="r-2")
    place.log("worker_started", pid=7)
    assert shipping(place, coordinator).ship() is None
    assert [(run, [line.text for line in batch.lines]) for run, batch in coordinator.told] == [
        ("r-1", ["joined", "worker_started"]),
        ("r-2", ["connected"]),
    ]
    assert place.outbox.waiting() == ()


def test_what_could_not_be_told_now_is_told_later_the_same():
    problems = (ConnectionFailedError("away"), RateLimitedError("too many"))
    place, coordinator = Place(), Coordinator(*problems)
    place.log("joined")
    ships = shipping(place, coordinator)
    assert [ships.ship(), ships.ship(), ships.ship()] == [*problems, None]
    assert [batch.first for _, batch in coordinator.told] == [0]


def test_a_coordinator_that_does_not_know_logs_is_asked_once_a_run_and_the_others_go_on():
    place, coordinator = Place(), Coordinator(NotFoundError("there is no POST here"))
    place.log("joined")
    place.log("joined", run_id="r-2")
    ships = shipping(place, coordinator)
    assert ships.ship() is None
    place.log("connected")
    assert ships.ship() is None
    assert [run for run, _ in coordinator.told] == ["r-2"]


def test_lines_that_come_together_go_together_and_a_failure_is_followed_by_a_pause():
    place, coordinator, stop = Place(), Coordinator(ConnectionFailedError("away")), ScriptedStop()
    place.log("joined")
    thread = threading.Thread(target=shipping(place, coordinator, stop).serve)
    thread.start()
    while not coordinator.told:
        thread.join(0.01)
    place.outbox.end()
    thread.join(10)
    assert not thread.is_alive()
    assert stop.pauses[:3] == [GATHER_S, 0.05, GATHER_S]
