"""A vote on each model, between real processes: honest silos keep every model, and a poisoned one is dropped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.runs import client_of
from tests.faults.counting import UNCLOSED, until
from tests.simulate.test_vote import APP, HONEST, MANIFEST

from septum.cli.federation import Federation
from septum.client import Client
from septum.protocol import facts, tensors
from septum.protocol.views import RunStatus, RunView

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings(UNCLOSED)]
SILOS = ("bad", "east", "north", "west")


@dataclass
class Place:
    federation: Federation
    client: Client
    folder: Path
    records: dict[str, Path]

    def septum(self, *arguments: str) -> dict:
        """A command's answer, for programs; also of one that says that the run has failed."""
        where = {**os.environ, "SEPTUM_OPERATOR_FILE": str(self.federation.operator_dir / "operator.json")}
        command = [sys.executable, "-m", "septum", *arguments, "--json"]
        done = subprocess.run(command, env=where, capture_output=True, text=True, check=False, timeout=120)
        return json.loads(done.stdout.splitlines()[-1])

    def ended(self, rounds: int, bad_in: str, rule: str) -> tuple[RunView, list[facts.Fact]]:
        """A run that was submitted as a researcher does, once it has ended; what its journal says."""
        run = self.septum("run", "submit", str(self.folder), *asked(rounds, bad_in, rule))["data"]["id"]
        until(lambda: self.client.run(run).status in (RunStatus.FINISHED, RunStatus.FAILED), f"run {run} ends")
        return self.client.run(run), [entry.fact for entry in self.client.journal(run)]

    def simulated(self, rounds: int, bad_in: str, rule: str) -> str:
        """The digest of the same run's model, in one process."""
        data = [f"--data={silo}={path}" for silo, path in self.records.items()]
        return self.septum("simulate", str(self.folder), *data, *asked(rounds, bad_in, rule))["data"]["model_digest"]


def asked(rounds: int, bad_in: str, rule: str) -> tuple[str, ...]:
    return (
        "--rounds",
        str(rounds),
        "--set",
        f"bad_in={bad_in}",
        "--vote",
        rule,
        "--max-update",
        "100",
        "--max-weight",
        "100",
    )


def votes_in(said: list[facts.Fact]) -> dict[int, tuple[int, int, bool]]:
    """Of each model that was measured: accepts, voters, and whether it was voted down."""
    measured = [fact for fact in said if isinstance(fact, facts.ModelMeasured)]
    return {fact.round: (fact.votes.accepts, fact.votes.voters, bool(fact.votes.down)) for fact in measured}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("vote")
    folder = base / "app"
    folder.mkdir()
    (folder / "septum.toml").write_text(MANIFEST)
    (folder / "app.py").write_text(APP)
    records = {silo: base / f"{silo}.csv" for silo in SILOS}
    for path in records.values():
        path.write_text("x,ill\n" + "".join(f"{x},{ill}\n" for x, ill in HONEST))
    (base / "federation").mkdir()
    with Federation(base / "federation", folder, "line", records, sandbox=1) as federation:
        federation.start()
        with client_of(federation) as client:
            yield Place(federation, client, folder, records)


def test_an_honest_federation_accepts_each_of_its_models_and_ends_as_the_simulator_does(place):
    view, said = place.ended(3, "", "log_loss:0.1")
    assert (view.status, view.reason) == (RunStatus.FINISHED, "")
    assert votes_in(said) == {0: (0, 0, False), 1: (4, 4, False), 2: (4, 4, False), 3: (4, 4, False)}
    assert view.model == place.simulated(3, "", "log_loss:0.1")


def test_a_poisoned_model_is_dropped_with_what_was_trained_from_it_and_the_run_goes_on_from_the_one_before(place):
    view, said = place.ended(6, "3", "log_loss:0.1")
    assert view.status is RunStatus.FINISHED
    assert votes_in(said)[3] == (0, 4, True)
    assert [of for of, (_, _, down) in votes_in(said).items() if down] == [3]
    models = [fact.model.digest for fact in said if isinstance(fact, facts.ModelMade)]
    assert models[4] == models[2] != models[3]
    assert view.model == place.simulated(6, "3", "log_loss:0.1")


def test_a_silo_that_poisons_each_time_ends_the_run_and_not_the_model(place, tmp_path):
    view, said = place.ended(20, "2 4 6 8", "log_loss:0.1:0.67:2")
    assert view.status is RunStatus.FAILED
    assert "2 models in a row were voted down" in view.reason
    models = [fact for fact in said if isinstance(fact, facts.ModelMade)]
    kept = next(fact.model.digest for fact in models if fact.round == 1)
    assert (models[-1].model.digest, view.model) == (kept, kept)
    target = tmp_path / "model"
    assert place.septum("model", "download", "--run", view.id, "--out", str(target))["status"] == "ok"
    assert tensors.decode(target.read_bytes())["w"][0] == pytest.approx(0.5, abs=1e-5)
