"""A shared model comes into use in hospitals, by the commands that people type, with real processes.

Four silos, four minds: cleveland takes what passes its gate, hungary's bound is too high, switzerland waits for its
steward, long-beach-va does not run the app any more.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.runs import APP, FILES, OPEN, a_plan, client_of
from tests.e2e.test_operations import septum

from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.client import Client
from septum.protocol.deploying import DeployState
from septum.protocol.registered import DeploymentView, SiloState
from septum.protocol.views import RunStatus, RunView
from septum.sdk.table import read_csv

pytestmark = pytest.mark.e2e
DEPLOY = {
    "cleveland": 'accept = "auto"\nat_least = 0.6\ntell_metrics = true\n',
    "hungary": 'accept = "auto"\nat_least = 0.9999\n',
    "switzerland": "",
    "long-beach-va": 'accept = "auto"\n',
}
COLUMNS = tuple(APP.manifest.columns)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    base = tmp_path_factory.mktemp("deploy")
    with Federation(base, example("heart_disease"), APP.app.name, FILES, policy=OPEN) as started:
        started.operator_dir.mkdir(mode=0o700)
        (started.operator_dir / "coordinator.toml").write_text("approve_own = true\n")
        started.start()
        yield started


@pytest.fixture(scope="module")
def run(federation: Federation) -> RunView:
    """A run of the heart disease app that has ended; then the silos' stewards write down what they let in."""
    with client_of(federation) as client:
        made = client.submit(a_plan(3), key="deploy")
        until(lambda: client.run(made.id).status is not RunStatus.FINISHED, negated=True)
    for silo, rules in DEPLOY.items():
        federation.kill(silo)
        config = state_of(federation, silo) / "silo.toml"
        config.write_text(f"{config.read_text()}\n[deploy]\n{rules}")
    app = federation.site("long-beach-va").folder / "app" / "app.py"
    app.write_text(f"{app.read_text()}\n# another app now\n")
    for silo in DEPLOY:
        federation.start_agent(silo)
    return made


def state_of(federation: Federation, silo: str) -> Path:
    return federation.site(silo).folder / "state"


def until(condition: Callable[[], bool], within_s: float = 40.0, *, negated: bool = False) -> None:
    began = time.monotonic()
    while bool(condition()) is negated:
        assert time.monotonic() - began < within_s
        time.sleep(0.05)


def told(client: Client, deployment: int) -> dict[str, SiloState]:
    return {one.silo: one for one in client.registered.deployment(deployment).states}


def settled(client: Client, view: DeploymentView, **wanted: DeployState) -> dict[str, SiloState]:
    """What the silos say, once each has got as far as it is said here."""
    names = {name.replace("_", "-"): state for name, state in wanted.items()}

    def there() -> bool:
        said = told(client, view.deployment.id)
        return {name: said[name].told.state for name in names if name in said} == names

    until(there)
    return told(client, view.deployment.id)


def operator(federation: Federation, *command: str) -> dict[str, object]:
    where = {"SEPTUM_OPERATOR_FILE": str(federation.operator_dir / "operator.json")}
    code, said = septum(*command, **where)
    assert code == 0, said
    assert isinstance(said["data"], dict)
    return said["data"]


def steward(federation: Federation, silo: str, *command: str) -> tuple[int, dict[str, object]]:
    return septum("silo", *command, "--dir", str(state_of(federation, silo)))


def table_in(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def patients(path: Path, rows: int = 6, without: str = "", **changed: str) -> Path:
    """A file of whole rows of cleveland, without their diagnosis, each with a number of its own."""
    table = read_csv(FILES["cleveland"], COLUMNS, APP.manifest.missing, "num").complete(COLUMNS)
    names = [name for name in COLUMNS if name not in ("num", without)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", *names])
        for row in range(rows):
            values = {name: f"{table[name][row]:g}" for name in names} | (changed if row == 1 else {})
            writer.writerow([f"p-{row}", *(values[name] for name in names)])
    return path


@pytest.fixture(scope="module")
def deployed(federation: Federation, run: RunView) -> DeploymentView:
    """The best and the first model are registered and approved, and the best is deployed to all."""
    best = operator(federation, "model", "register", run.id, "--name", "heart", "--best", "roc_auc")
    assert best["stage"] == "candidate"
    operator(federation, "model", "register", run.id, "--name", "heart", "--round", "1")
    for version in ("1", "2"):
        assert operator(federation, "model", "approve", "heart", version)["stage"] == "approved"
    silos = [part for silo in DEPLOY for part in ("--silo", silo)]
    made = operator(federation, "model", "deploy", "heart", "1", *silos)
    assert made["used_by"] == sorted(DEPLOY)
    with client_of(federation) as client:
        return client.registered.deployments("heart")[0]


def test_each_silo_decides_by_itself_and_tells_no_number_unless_it_may(federation, deployed):
    with client_of(federation) as client:
        said = settled(
            client,
            deployed,
            cleveland=DeployState.ACTIVE,
            hungary=DeployState.FAILED,
            switzerland=DeployState.WAITING,
            long_beach_va=DeployState.REFUSED,
        )
        model = client.registered.version("heart", 1).version
    assert said["hungary"].told.reason == "it did not reach this silo's bound for roc_auc"
    assert said["hungary"].told.metrics == {}
    assert set(said["cleveland"].told.metrics) == {"roc_auc", "accuracy", "log_loss"}
    assert said["cleveland"].told.metrics["roc_auc"] >= 0.6
    assert said["long-beach-va"].told.reason.startswith("apps.heart-disease.digest")
    code, here = steward(federation, "hungary", "deploy", "list")
    assert code == 0
    assert "roc_auc is 0." in here["data"]["models"]["heart"]["newest"]["why"]
    file = state_of(federation, "cleveland") / "deployed" / "models" / model.model.digest.partition(":")[2]
    assert file.stat().st_size == model.model.size_bytes
    assert not (state_of(federation, "long-beach-va") / "deployed" / "models" / file.name).exists()


def test_a_silo_predicts_with_what_it_uses_and_says_which_model_that_was(federation, deployed, tmp_path):
    rows, out = patients(tmp_path / "rows.csv"), tmp_path / "out.csv"
    code, done = steward(federation, "cleveland", "predict", str(rows), str(out))
    assert code == 0, done
    written = table_in(out)
    assert [list(row) for row in written] == [["patient", "probability"]] * 6
    assert [row["patient"] for row in written] == [f"p-{n}" for n in range(6)]
    values = [float(row["probability"]) for row in written]
    assert len(set(values)) == 6
    assert all(0 < value < 1 for value in values)
    about = json.loads((tmp_path / "out.csv.model.json").read_text())
    with client_of(federation) as client:
        assert about["digest"] == client.registered.version("heart", 1).version.model.digest
    assert (about["version"], about["rows"], out.stat().st_mode & 0o077) == (1, 6, 0)
    for silo in ("hungary", "switzerland", "long-beach-va"):
        code, refused = steward(federation, silo, "predict", str(rows), str(tmp_path / silo))
        assert (code, refused["error"]["code"]) == (2, "not_found"), refused
        assert not (tmp_path / silo).exists()


def test_a_model_is_exported_to_each_format_with_its_lineage_and_for_its_own_app_alone(federation, run, tmp_path):
    folder = str(example("heart_disease"))
    for what, holds in (("safetensors", "model.safetensors"), ("onnx", "model.onnx"), ("mlflow", "MLmodel")):
        out = tmp_path / what
        said = operator(federation, "model", "export", run.id, str(out), "--format", what, "--app", folder, "--best")
        assert {"lineage.json", "card.md", holds} <= {path.name for path in out.iterdir()}
        assert json.loads((out / "lineage.json").read_text())["model"] == said["model"]
    assert said["metrics"] is not None
    other = str(federation.site("long-beach-va").folder / "app")
    where = {"SEPTUM_OPERATOR_FILE": str(federation.operator_dir / "operator.json")}
    code, refused = septum("model", "export", run.id, str(tmp_path / "x"), "--format", "onnx", "--app", other, **where)
    assert (code, refused["error"]["code"]) == (1, "app")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("without", "changed", "says"),
    [
        ("chol", {}, "no column 'chol'"),
        ("", {"chol": "9000"}, "row 2, column 'chol': above the maximum"),
        ("", {"cp": "high"}, "row 2, column 'cp': unmapped code"),
        ("", {"age": "?"}, "row 2: feature 'age'"),
    ],
)
def test_rows_that_the_model_cannot_take_are_named(federation, deployed, tmp_path, without, changed, says):
    rows = patients(tmp_path / "rows.csv", without=without, **changed)
    code, done = steward(federation, "cleveland", "predict", str(rows), str(tmp_path / "out.csv"))
    assert code == 1, done
    assert says in done["error"]["message"]
    assert not (tmp_path / "out.csv").exists()


def test_the_endpoint_answers_on_loopback_to_whoever_has_the_token(federation, deployed, tmp_path):
    where = state_of(federation, "cleveland")
    for host, code in (("0.0.0.0", 2), ("192.0.2.1", 2)):
        assert steward(federation, "cleveland", "serve", "--host", host, "--port", "0")[0] == code
    command = [sys.executable, "-m", "septum", "silo", "serve", "--dir", str(where), "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["serving"]["url"]
        token = (where / "predict.token").read_text()
        assert (where / "predict.token").stat().st_mode & 0o077 == 0
        rows = [
            {name: float(value) for name, value in row.items() if name != "patient"}
            for row in table_in(patients(tmp_path / "rows.csv"))
        ]
        answer = asked(url, token, {"rows": rows})
        assert answer["model"]["version"] == 1
        out = tmp_path / "out.csv"
        assert steward(federation, "cleveland", "predict", str(tmp_path / "rows.csv"), str(out))[0] == 0
        assert answer["predictions"] == pytest.approx([float(row["probability"]) for row in table_in(out)], rel=1e-5)
        for given, body, status, says in (
            ("wrong", {"rows": rows}, 401, "token"),
            (token, {"rows": [{**rows[0], "chol": 9000}]}, 422, "row 1, column 'chol'"),
            (token, {"rows": [{"age": 50}]}, 422, "row 1: no column 'sex'"),
            (token, {"rows": []}, 400, "rows is a list"),
            (token, {"rows": [rows[0]] * 10_001}, 413, "at most 10000"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                asked(url, given, body)
            with refused.value as answered:
                assert answered.code == status
                assert says in answered.read().decode()
        assert len(asked(url, token, {"rows": rows})["predictions"]) == 6  # it is warm, and goes on
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        server.stdout.close()
    assert list((where / "deployed" / "predict").iterdir()) == []


def asked(url: str, token: str, body: object) -> dict[str, object]:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_a_steward_lets_a_model_in_and_throws_it_out(federation, deployed):
    assert steward(federation, "switzerland", "deploy", "accept", "heart")[0] == 0
    with client_of(federation) as client:
        until(lambda: told(client, deployed.deployment.id)["switzerland"].told.state is not DeployState.WAITING)
        settled(client, deployed, switzerland=DeployState.ACTIVE)
        assert steward(federation, "switzerland", "deploy", "refuse", "heart")[0] == 0
        settled(client, deployed, switzerland=DeployState.REFUSED)
    code, done = steward(federation, "switzerland", "predict", "/dev/null", "/dev/shm/none.csv")
    assert (code, done["error"]["code"]) == (2, "not_found")


def test_a_model_that_was_changed_on_the_disk_predicts_nothing(federation, deployed, tmp_path):
    (file,) = (state_of(federation, "cleveland") / "deployed" / "models").iterdir()
    whole = file.read_bytes()
    file.write_bytes(bytes([*whole[:-1], whole[-1] ^ 1]))
    rows = patients(tmp_path / "rows.csv")
    code, done = steward(federation, "cleveland", "predict", str(rows), str(tmp_path / "out.csv"))
    assert (code, done["error"]["code"]) == (1, "digest")
    file.write_bytes(whole)
    os.chmod(file, 0o600)
    assert steward(federation, "cleveland", "predict", str(rows), str(tmp_path / "out.csv"))[0] == 0


def test_an_older_version_again_is_a_rollback_and_a_retired_one_is_used_nowhere(federation, deployed, tmp_path):
    rows = patients(tmp_path / "rows.csv")
    with client_of(federation) as client:
        first = client.registered.deploy("heart", 2, silos=["cleveland"])
        settled(client, first, cleveland=DeployState.ACTIVE)
        assert predicted_by(federation, rows, tmp_path / "2.csv") == 2
        back = client.registered.deploy("heart", 1, silos=["cleveland"])
        settled(client, back, cleveland=DeployState.ACTIVE)
        assert predicted_by(federation, rows, tmp_path / "1.csv") == 1
        assert (tmp_path / "1.csv").read_bytes() != (tmp_path / "2.csv").read_bytes()
        client.registered.retire("heart", 1)
        names = state_of(federation, "cleveland") / "deployed" / "state.json"
        until(lambda: "heart" not in json.loads(names.read_text())["names"])
        until(lambda: list((names.parent / "models").iterdir()) == [])
    code, done = steward(federation, "cleveland", "predict", str(rows), str(tmp_path / "none.csv"))
    assert (code, done["error"]["code"]) == (2, "not_found")


def predicted_by(federation: Federation, rows: Path, out: Path) -> int:
    code, done = steward(federation, "cleveland", "predict", str(rows), str(out))
    assert code == 0, done
    return int(done["data"]["version"])
