"""Faults 3 and 4: agents are killed after their masked upload. A few are made up for by the others, more not.

Four silos, quorum and threshold three, the rules that a new silo has. In the third round the agents under test are
killed before they sign the list of survivors, or before they give their shares to unmask the sum.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.e2e.runs import Journal
from tests.faults.counting import APP, FOLDER, UNCLOSED, Counting, counting_in, until
from tests.faults.dying import Fate, Kill, When
from tests.faults.programs import Program
from tests.faults.silo_kill_points import SILO_POINTS
from tests.folders import files_in

from septum.cli.federation import Federation
from septum.client import Client, operator_access
from septum.coordinator.areas import spool_area
from septum.protocol import facts
from septum.protocol.codec import from_json, loads
from septum.protocol.contents import WEIGHT
from septum.protocol.masked import sums
from septum.protocol.messages import Outcome, Stage
from septum.protocol.plan import Masking, Plan
from septum.protocol.run_state import Phase, Run
from septum.protocol.sources import source_of
from septum.protocol.views import RunStatus, RunView
from septum.silo.journal import Release, read

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

ROWS = {"east": 12, "north": 16, "south": 20, "west": 24}
FOUR = tuple(ROWS)
BARRIER_S = 2.0
GATHER_S = 6.0  # also for the joining at first, which takes a moment
ROUND = 3
POINTS = ("say Agreed", "say Revealed")


@dataclass(slots=True)
class Agent:
    """An agent that stays dead until it is started again."""

    silo_dir: Path
    fate: Fate
    folder: Path
    program: Program

    def start(self) -> None:
        self.program = program(self.silo_dir, self.folder)

    def dies_at(self, point: str) -> None:
        self.fate.arm(Kill(point, When.BEFORE, about=f"train {ROUND}"))

    def until_dead(self) -> None:
        until(lambda: not self.program.running, f"{self.silo_dir} dies at its point")
        assert self.fate.outstanding == []


def program(silo_dir: Path, folder: Path) -> Program:
    return Program("tests.faults.agent_to_kill", str(silo_dir), str(folder), "once", log=folder / "agent.log")


@dataclass(slots=True)
class Place:
    """A federation of four, two of whose agents kill themselves where they are told to."""

    counting: Counting
    federation: Federation
    client: Client
    agents: dict[str, Agent]
    runs: int = 0

    def plan(self, name: str, gather_s: float = 60.0) -> Plan:
        """With a seed of its own: what silos signed in one run counts in another about the same model."""
        self.runs += 1
        masking = Masking(max_update=1000.0, barrier_s=BARRIER_S)
        plan = self.counting.plan(name, ROUND + 2, {}, masking=masking, quorum=3, gather_s=gather_s)
        return replace(plan, seed=self.runs)

    def models(self) -> set[str]:
        """The digests of the files that the coordinator has as models."""
        return {f"blake3:{path.name}" for path in (self.federation.operator_dir / "blobs").glob("models-*/*/*")}

    def payloads(self, run: RunView) -> list[Path]:
        """What silos sent in a round that is open, where it is on disk."""
        return self._blobs(spool_area(run.id))

    def _blobs(self, area: str) -> list[Path]:
        return files_in(self.federation.operator_dir / "blobs" / area)

    def stored(self, run: RunView) -> tuple[Run, list[str]]:
        """The run as the coordinator's database has it, and what its outbox still has to be done."""
        path = self.federation.operator_dir / "septum.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            ((state,),) = database.execute("SELECT state FROM runs WHERE id = ?", (run.id,))
            outbox = database.execute("SELECT effect FROM outbox WHERE run_id = ?", (run.id,)).fetchall()
        return from_json(Run, loads(state.encode())), [effect for (effect,) in outbox]

    def sums_signed(self, silo: str, run: RunView, round_: int = ROUND) -> list[tuple[str, ...]]:
        entries = read(self.federation.site(silo).folder / "state")
        signed = [entry for entry in entries if isinstance(entry, Release) and entry.run == run.id]
        return [entry.silos for entry in signed if (entry.stage, entry.round) == ("train", round_)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("masked-kills")
    counting = counting_in(folder, ROWS)
    with Federation(folder / "federation", FOLDER, APP.app.name, counting.records, sandbox=1) as federation:
        federation.base.mkdir()
        federation.start()
        agents = {}
        try:
            for silo in ("south", "west"):
                federation.kill(silo)
                silo_dir, own = federation.site(silo).folder / "state", folder / f"fate-{silo}"
                fate = Fate(own, SILO_POINTS)
                agents[silo] = Agent(silo_dir, fate, own, program(silo_dir, own))
            with closing(Client(operator_access(federation.operator_dir))) as client:
                yield Place(counting, federation, client, agents)
        finally:
            for agent in agents.values():
                agent.program.stop()


# --- fault 3 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", ["at once", "once the round is closed"])
@pytest.mark.parametrize("point", POINTS)
def test_a_silo_that_is_killed_between_upload_and_unmasking_is_in_the_sum_and_in_the_next_round(place, point, back):
    south, plan = place.agents["south"], place.plan(f"{point} {back}")
    south.dies_at(point)
    run = place.client.submit(plan, key=plan.name)
    journal = Journal(place.client, run)
    south.until_dead()
    if back == "at once":
        south.start()
    closed = journal.until(facts.StageClosed, stage=Stage.TRAIN, round=ROUND)
    if back != "at once":
        south.start()
    assert (closed.reported, closed.missing) == (FOUR, ())
    journal.until(facts.ModelMade, round=ROUND)
    after = journal.until(facts.StageClosed, stage=Stage.TRAIN, round=ROUND + 1)
    assert (after.reported, after.missing) == (FOUR, ())
    journal.until(facts.RunEnded)
    assert place.client.run(run.id).model == place.counting.undisturbed(plan)
    assert not [fact for fact in journal.facts if isinstance(fact, facts.AttemptFailed)]
    trained = place.counting.trainings(plan.name)
    assert trained == {(silo, round_): 1 for silo in FOUR for round_ in range(1, plan.rounds + 1)}


# --- fault 4 -------------------------------------------------------------------------------------------------------


def killed_with_too_few_left(place: Place, plan: Plan, point: str) -> tuple[RunView, Journal]:
    """Submit a run two of whose silos die in the third round, and wait until that attempt has failed."""
    for agent in place.agents.values():
        agent.dies_at(point)
    run = place.client.submit(plan, key=plan.name)
    journal = Journal(place.client, run)
    for agent in place.agents.values():
        agent.until_dead()
    failed = journal.until(facts.AttemptFailed, stage=Stage.TRAIN, round=ROUND)
    assert failed.missing == ("south", "west")
    return run, journal


def nothing_is_released(place: Place, run: RunView, journal: Journal, before: set[str]) -> None:
    """No model of the round, in the journal, on disk or on its way; what was sent stays masked, no share is kept."""
    assert journal.models_made() == list(range(ROUND))
    made = {fact.model.digest for fact in journal.facts if isinstance(fact, facts.ModelMade)}
    assert place.models() == before | made
    results = [source_of(path.read_bytes()) for path in place.payloads(run)]
    assert len(results) == len(FOUR)
    assert sums(results, masker=None).numbers[WEIGHT] != sum(ROWS.values()) / 2  # half of the rows are for training
    state, effects = place.stored(run)
    assert (state.finished, state.model.digest) == (ROUND - 1, place.client.run(run.id).model)
    assert (state.phase, state.exchange, state.burned) == (Phase.GATHER, None, FOUR)
    assert not [effect for effect in effects if "combine" in effect]


@pytest.mark.parametrize("point", POINTS)
def test_with_fewer_than_the_threshold_nothing_is_released_and_the_same_silos_are_asked_again(place, point):
    plan, before = place.plan(f"few {point}"), place.models()
    run, journal = killed_with_too_few_left(place, plan, point)
    nothing_is_released(place, run, journal, before)
    for agent in place.agents.values():
        agent.start()
    again = journal.until(facts.StageOpened, stage=Stage.TRAIN, round=ROUND)
    assert again.cohort == FOUR
    journal.until(facts.RunEnded)
    assert place.client.run(run.id).model == place.counting.undisturbed(plan)
    for silo in FOUR:
        assert place.sums_signed(silo, run) == [FOUR]


def test_while_one_of_them_stays_away_the_round_waits_for_it_though_a_quorum_is_there(place):
    plan, before = place.plan("away", gather_s=GATHER_S), place.models()
    run, journal = killed_with_too_few_left(place, plan, "say Revealed")
    place.agents["south"].start()
    ended = journal.until(facts.RunEnded)
    assert ended.outcome is Outcome.FAILED
    assert ended.reason == f"no quorum: 3 of 4 silos joined within {GATHER_S:g} s; missing: west (absent)"
    opened = [one for one in journal.facts if isinstance(one, facts.StageOpened) and one.round == ROUND]
    assert [one.cohort for one in opened] == [FOUR]
    assert journal.models_made() == list(range(ROUND))
    assert place.models() == before | {one.model.digest for one in journal.facts if isinstance(one, facts.ModelMade)}
    place.agents["west"].start()
    place.client.resume(run.id)
    until(lambda: place.client.run(run.id).status is RunStatus.FINISHED, f"{run.id} finishes")
    assert place.client.run(run.id).model == place.counting.undisturbed(plan)
    for silo in FOUR:
        assert place.sums_signed(silo, run) == [FOUR]
