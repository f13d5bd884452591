"""A run is made again over real processes: the same model comes out, or the reason is named."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.runs import APP, FILES, FOLDER, OPEN, a_plan, client_of

from septum.cli.federation import Federation
from septum.client import Client
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.e2e


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, FOLDER, APP.app.name, FILES, policy=OPEN | {"tell_dataset": True}) as started:
        started.start()
        yield started


def septum(federation: Federation, *arguments: str) -> dict:
    environment = {**os.environ, "SEPTUM_OPERATOR_FILE": str(federation.operator_dir / "operator.json")}
    done = subprocess.run(
        [sys.executable, "-m", "septum", *arguments, "--json"],
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return json.loads(done.stdout.splitlines()[-1])


def finished(client: Client, key: str, **changed: object) -> str:
    run = client.submit(a_plan(5, **changed), key=key)
    for _ in client.watch(run.id):
        pass
    assert client.run(run.id).status is RunStatus.FINISHED
    return run.id


def test_a_repetition_is_the_same_to_the_bit_and_names_the_reason_once_a_silos_data_have_changed(federation):
    with client_of(federation) as client:
        first = finished(client, "one")
    again = septum(federation, "run", "reproduce", first)
    assert again["data"]["reproduced"] is True, again
    assert again["data"]["model"] == again["data"]["expected"]

    hungary = next(site for site in federation.sites if site.name == "hungary")
    records = hungary.folder / "data" / hungary.records.name
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(lines[:-20]))
    other = septum(federation, "run", "reproduce", first)
    assert other["exit_code"] == 1, other
    assert (other["data"]["reproduced"], other["data"]["reason"], other["data"]["round"]) == (False, "data", 0)
    assert other["data"]["silos"] == ["hungary"]
    lineage = septum(federation, "run", "show", first, "--lineage")["data"]["lineage"]["silos"]
    assert {one["rounds"] for one in lineage.values()} == {5}
    assert len({one["dataset"] for one in lineage.values()}) == len(lineage)
    assert all("Python 3" in one["machine"] for one in lineage.values())


def test_a_clone_with_another_rate_differs_in_it_alone_and_compare_shows_both(federation):
    with client_of(federation) as client:
        first = finished(client, "one")
    cloned = septum(federation, "run", "clone", first, "--app", f"{FOLDER}/", "--set", "lr=0.05", "--watch")
    second = cloned["data"]["id"]
    compared = septum(federation, "run", "compare", first, second)["data"]
    assert list(compared["differences"]) == ["hyper.lr"]
    assert [len(compared["metrics"][run]) for run in (first, second)] == [6, 6]
    best = compared["best"][second]
    assert best["metrics"]["roc_auc"] == max(row["roc_auc"] for row in compared["metrics"][second])
    out = federation.operator_dir / "best.safetensors"
    fetched = septum(federation, "model", "download", "--run", second, "--best", "-o", str(out))
    assert fetched["data"]["digest"] == best["model"]
