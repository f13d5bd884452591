"""`septum stats run` over the four hospitals, with real agents under masks: the numbers of all patients together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.runs import APP, FILES, FOLDER

from septum.cli.federation import Federation
from septum.sdk.table import read_csv

pytestmark = pytest.mark.e2e
NAME = APP.app.name
ASKED = (
    *("--columns", "age,trestbps,sex", "--quantiles", "age", "--cut", "num:0", "--cut", "chol:200/240"),
    *("--table", "sex,num", "--table", "cp,num"),
)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    base = tmp_path_factory.mktemp("statistics") / "federation"
    with Federation(base, FOLDER, NAME, FILES, sandbox=1, policy={"queries": [NAME]}) as made:
        base.mkdir()
        made.start()
        yield made


def stats(federation: Federation, *arguments: str) -> dict:
    where = ["--operator-file", str(federation.operator_dir / "operator.json"), "--json"]
    command = [sys.executable, "-m", "septum", "stats", *arguments, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


def pooled() -> dict[str, np.ndarray]:
    manifest = APP.manifest
    tables = [read_csv(path, tuple(manifest.columns), manifest.missing) for path in FILES.values()]
    return {name: np.concatenate([table[name] for table in tables]) for name in manifest.columns}


def test_the_answer_is_that_of_all_patients_together_and_is_kept_with_the_run(federation: Federation):
    said = stats(federation, "run", str(FOLDER), *ASKED)
    assert said["status"] == "ok", said
    data, people = said["data"], pooled()
    columns = {one["name"]: one for one in data["columns"]}
    age, pressure = people["age"], people["trestbps"][~np.isnan(people["trestbps"])]
    assert (data["rows"], data["silos"]) == (920, sorted(FILES))
    assert columns["age"]["mean"] == age.mean()
    assert columns["age"]["sd"] == pytest.approx(age.std(ddof=1), rel=1e-12)
    assert columns["age"]["unit"] == "years"
    assert [one["value"] for one in columns["age"]["quantiles"]] == [
        np.quantile(age, at, method="inverted_cdf") for at in (0.25, 0.5, 0.75)
    ]
    assert (columns["trestbps"]["present"], columns["trestbps"]["missing"]) == (len(pressure), 920 - len(pressure))
    assert columns["trestbps"]["mean"] == pytest.approx(pressure.mean(), rel=1e-12)
    assert [(one["group"], one["count"]) for one in columns["sex"]["groups"]] == [
        ("0 (female)", int((people["sex"] == 0).sum())),
        ("1 (male)", int((people["sex"] == 1).sum())),
    ]
    by_sex = data["tables"][0]
    ill = people["num"] > 0
    cells = [[int(((people["sex"] == sex) & (ill == bad)).sum()) for bad in (False, True)] for sex in (0, 1)]
    assert [row[:2] for row in by_sex["cells"][:2]] == cells
    assert by_sex["odds_ratio"][0] == pytest.approx(cells[0][0] * cells[1][1] / (cells[0][1] * cells[1][0]))
    assert stats(federation, "show", data["run"])["data"] == data


def test_a_small_count_and_what_would_give_it_back_are_not_in_what_is_kept(federation: Federation):
    """Two patients have no ECG: that is hidden, and one group of the others with it."""
    data = stats(federation, "run", str(FOLDER), "--columns", "restecg", "--table", "restecg,sex")["data"]
    (column,) = (one for one in data["columns"] if one["name"] == "restecg")
    assert (column["present"], column["missing"]) == (None, None)
    kept = stats(federation, "show", data["run"])["data"]
    assert kept["columns"] == data["columns"]
    ecg = pooled()["restecg"]
    assert [group["count"] for group in column["groups"]] == [int((ecg == 0).sum()), None, int((ecg == 2).sum())]
    assert data["tables"][0]["cells"][1][:2] == [None, None]
    assert data["tables"][0]["chi_square"] is None


def test_three_of_the_four_are_not_asked_afterwards(federation: Federation):
    silos = ",".join(sorted(FILES)[:3])
    said = stats(federation, "run", str(FOLDER), "--columns", "chol", "--silos", silos)
    assert said["status"] == "error"
    assert "signed a sum over other silos for the same queries before" in said["error"]["message"]


def test_where_a_steward_has_not_named_the_app_nothing_is_counted(federation: Federation):
    silo = sorted(FILES)[0]
    config = federation.site(silo).folder / "state" / "silo.toml"
    text = config.read_text()
    config.write_text(text.replace(f'queries = ["{NAME}"]', "queries = []"))
    federation.kill(silo)
    federation.start_agent(silo)
    said = stats(federation, "run", str(FOLDER), "--columns", "age")
    assert said["status"] == "error"
    assert f"{silo}: refused by its rule 'policy.queries'" in said["error"]["message"]
    config.write_text(text)


def test_a_researcher_gets_the_same_numbers_from_files(federation: Federation):
    here = [sys.executable, "-m", "septum", "stats", "simulate", str(FOLDER), *ASKED, "--json"]
    done = subprocess.run(here, capture_output=True, text=True, check=True, timeout=60, cwd=Path(FOLDER))
    assert json.loads(done.stdout)["data"]["columns"][0]["mean"] == pooled()["age"].mean()
