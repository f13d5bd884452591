"""Does the coordinator's memory stay as it is, however many rounds, and however many silos?

Anonymous memory counts: pages of files belong to the system. Rounds are compared by medians late and early in one run,
after everything that is kept on purpose is there: 64 small models, and what the threads' allocators hold on to.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.runs import Journal, client_of
from tests.faults.counting import Counting, counting_in

from septum.cli.federation import Federation
from septum.client import Client
from septum.protocol import facts
from septum.protocol.plan import StrategyRef

pytestmark = pytest.mark.faults

SILOS = {f"silo-{number:02}": 8 + 2 * number for number in range(12)}
FEW = tuple(sorted(SILOS))[:3]
SMALL = 15_000  # parameters: 60 KB, inside every message, the upper end of what is kept in memory
MEDIUM = 125_000  # 0.5 MB, files
LARGE = 8_000_000  # 32 MB


class Memory:
    """What a process holds, sampled while something is done."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._stop = threading.Event()
        self.samples_mb: list[float] = []
        self._thread = threading.Thread(target=self._sample)

    def now_mb(self) -> float:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024 / 1e6

    @contextmanager
    def sampled(self) -> Iterator[None]:
        self.samples_mb.clear()
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.005):
            self.samples_mb.append(self.now_mb())


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return counting_in(tmp_path_factory.mktemp("memory"), SILOS)


@pytest.fixture(scope="module")
def federation(counting: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with counting.federation(tmp_path_factory.mktemp("federation")) as started:
        started.start()
        yield started


def growth_mb(federation: Federation, client: Client, plan, *, warm: int) -> float:
    """How much more the coordinator holds in the last quarter of a run than in the quarter after `warm` rounds."""
    memory = Memory(federation.pid("coordinator"))
    journal = Journal(client, client.submit(plan, key=plan.name))
    at_round: list[float] = []
    for round_ in range(warm, plan.rounds + 1):
        journal.until(facts.ModelMade, round=round_)
        at_round.append(memory.now_mb())
    journal.until(facts.RunEnded)
    quarter = len(at_round) // 4
    return statistics.median(at_round[-quarter:]) - statistics.median(at_round[:quarter])


def test_memory_does_not_grow_with_the_rounds(federation, counting):
    hyper = {"width": SMALL, "carries": False}
    plan = counting.plan("rounds", 300, hyper, silos=FEW, quorum=3)
    with client_of(federation) as client:
        grown = growth_mb(federation, client, plan, warm=120)
    kept = 135 * SMALL * 4 / 1e6  # what a model a round would come to, between the two quarters' middles
    assert grown < kept / 4, f"{grown:.2f} MB more; a model a round would be {kept:.0f}"


def test_memory_does_not_grow_with_the_rounds_of_a_large_model(federation, counting):
    hyper = {"width": MEDIUM, "carries": False}
    plan = counting.plan("large", 120, hyper, silos=FEW, quorum=3, strategy=StrategyRef("fedadam"))
    with client_of(federation) as client:
        grown = growth_mb(federation, client, plan, warm=40)
    kept = 60 * MEDIUM * 4 / 1e6
    assert grown < kept / 4, f"{grown:.2f} MB more; a model a round would be {kept:.0f}"


def test_memory_does_not_grow_with_the_silos(federation, counting):
    peaks = {}
    with client_of(federation) as client:
        for name, silos in (("few", FEW), ("many", tuple(sorted(SILOS)))):
            plan = counting.plan(name, 2, {"width": LARGE, "carries": False}, silos=silos, quorum=len(silos))
            memory = Memory(federation.pid("coordinator"))
            with memory.sampled():
                Journal(client, client.submit(plan, key=name)).until(facts.RunEnded)
            peaks[name] = max(memory.samples_mb)
    model_mb = 4 * LARGE / 1e6
    more = (len(SILOS) - len(FEW)) * model_mb  # if each payload were held; buffers of some MB for each upload are not
    assert peaks["many"] < peaks["few"] + more / 2, peaks
