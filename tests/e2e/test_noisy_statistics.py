"""`septum stats run --epsilon` over the four hospitals, with real agents: paid from each ledger, until it is spent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.runs import APP, FILES, FOLDER
from tests.e2e.test_statistics import pooled, stats
from tests.faults.counting import until

from septum.cli.federation import Federation
from septum.privacy.ledger import Settled
from septum.silo.ledger import read

pytestmark = pytest.mark.e2e
NAME = APP.app.name
ASKED = ("--columns", "age,sex", "--table", "sex,cp")
POLICY = {"queries": [NAME], "require_noise": True, "epsilon_budget": 5.0}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    base = tmp_path_factory.mktemp("noise") / "federation"
    with Federation(base, FOLDER, NAME, FILES, sandbox=1, policy=POLICY) as made:
        base.mkdir()
        made.start()
        yield made


def directory(federation: Federation, silo: str) -> Path:
    return federation.site(silo).folder / "state"


def test_statistics_without_noise_are_refused_by_the_rule_which_says_how_to_ask(federation: Federation):
    said = stats(federation, "run", str(FOLDER), *ASKED)
    assert said["status"] == "error"
    assert "refused by its rule 'policy.require_noise': statistics without noise may not" in said["error"]["message"]
    assert "septum stats run --epsilon 1" in said["error"]["message"]


def test_noisy_numbers_are_near_the_true_ones_and_in_each_silos_ledger_and_the_budget_ends(federation: Federation):
    said = stats(federation, "run", str(FOLDER), *ASKED, "--epsilon", "4")
    assert said["status"] == "ok", said
    data, people = said["data"], pooled()
    error = data["noise"]["count_error"]
    assert (data["noise"]["epsilon"], data["noise"]["delta"], data["silos"]) == (4.0, 1e-5, sorted(FILES))
    assert 2 < error < 20
    assert abs(data["rows"] - 920) < 6 * error
    age = next(one for one in data["columns"] if one["name"] == "age")
    assert 0 < abs(age["mean"] - people["age"].mean()) < 6 * age["mean_error"]
    cells = np.array(data["tables"][0]["cells"]).sum()
    assert abs(cells - 920) < 6 * error * np.sqrt(np.array(data["tables"][0]["cells"]).size)
    assert stats(federation, "show", data["run"])["data"] == data
    for silo in FILES:
        until(partial(settled, directory(federation, silo)), f"{silo} settles")
        shown = ledger(federation, silo)
        (dataset,) = shown["datasets"]
        assert 3.9 < dataset["epsilon"] <= 4.0
        assert [one["event"]["kind"] for one in shown["entries"]] == ["reserved", "settled"]
    refused = stats(federation, "run", str(FOLDER), "--columns", "chol", "--epsilon", "4")
    assert refused["status"] == "error"
    assert "refused by its rule 'policy.epsilon_budget'" in refused["error"]["message"]
    assert "the budget is 5, of which 4 is spent and 1" in refused["error"]["message"]
    assert stats(federation, "run", str(FOLDER), "--columns", "chol", "--epsilon", "1")["status"] == "ok"


def settled(silo_dir: Path) -> bool:
    return any(isinstance(one.event, Settled) for one in read(silo_dir).entries)


def ledger(federation: Federation, silo: str) -> dict:
    command = [
        sys.executable,
        "-m",
        "septum",
        "silo",
        "ledger",
        "show",
        "--dir",
        str(directory(federation, silo)),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)["data"]
