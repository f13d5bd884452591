"""The whole way, for real: an author builds and signs an app with its locked wheel, four stewards map and check their
data, read the package and approve it by its digest, and the run ends at the model that the canonical files give."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.silo.test_hospital_exports import EXAMPLE, EXPORTS

from septum.cli.process import Process
from septum.silo.datasets import dataset_toml

pytestmark = pytest.mark.e2e
ROUNDS = 4
NOWHERE = "http://127.0.0.1:9/simple"  # no silo has a package index


def septum(*arguments: object, fails: bool = False, **environment: str) -> dict:
    """What a command answers, as programs read it."""
    command = [sys.executable, "-m", "septum", *map(str, arguments), "--json"]
    where = {**os.environ, "PIP_INDEX_URL": NOWHERE, **environment}
    done = subprocess.run(command, env=where, capture_output=True, text=True, check=False, timeout=300)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return answer["error"] if fails else answer["data"]


def write_wheel(folder: Path) -> Path:
    """A distribution of one module, as a build tool would have made it."""
    folder.mkdir()
    path = folder / "exactly-1.0-py3-none-any.whl"
    files = {
        "exactly.py": b"def same(value):\n    return value\n",
        "exactly-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: exactly\nVersion: 1.0\n",
        "exactly-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {
        name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        for name, data in files.items()
    }
    record = "".join(f"{name},sha256={hashes[name]},{len(files[name])}\n" for name in files)
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in {
            **files,
            "exactly-1.0.dist-info/RECORD": f"{record}exactly-1.0.dist-info/RECORD,,\n".encode(),
        }.items():
            wheel.writestr(name, data)
    return path


@pytest.fixture
def app_dir(tmp_path):
    """The heart-disease example with a dependency that no silo has."""
    folder = tmp_path / "heart"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    wheel = write_wheel(folder / "wheels")
    pin = f"exactly==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    (folder / "requirements.lock").write_text(pin)
    manifest = folder / "septum.toml"
    manifest.write_text(manifest.read_text() + '\n[dependencies]\nlock = "requirements.lock"\n')
    code = (folder / "app.py").read_text()
    (folder / "app.py").write_text(
        code.replace("import numpy as np\n", "import numpy as np\nfrom exactly import same\n\nassert same(1) == 1\n", 1)
    )
    return folder


class Hospital:
    """One silo: its steward at a shell, and its agent."""

    def __init__(self, folder: Path, name: str, token: str, url: str) -> None:
        self.name, self.dir, self.folder = name, folder / "silo", folder
        septum("silo", "enroll", "--url", url, "--dir", self.dir, SEPTUM_INVITATION=token)

    def may(self, rules: str) -> None:
        """Map the data, and write the rules."""
        dataset = EXPORTS[self.name](self.folder)
        config = self.dir / "silo.toml"
        kept = config.read_text().partition("[policy]")[0]
        app = f'[apps.heart-disease]\ndata = "{dataset.name}"\n'
        config.write_text(f"{kept}[policy]\n{rules}\n\n{app}\n{dataset_toml(dataset)}")

    def start(self) -> Process:
        return Process(["silo", "start", "--dir", str(self.dir)], self.folder / "agent.log")

    def log(self) -> list[dict]:
        return [
            json.loads(line) for line in (self.folder / "agent.log").read_text().splitlines() if line.startswith("{")
        ]


def pin_roster(folder: Path, hospitals: list[Hospital], operator: dict[str, str]) -> None:
    """Made and signed by an administrator, relayed by the coordinator, approved in each silo by its digest."""
    admin, roster = folder / "admin.key", folder / "roster.json"
    public = septum("roster", "key", admin)["key"]
    keys = {hospital.name: septum("silo", "key", "--dir", hospital.dir)["key"] for hospital in hospitals}
    names = [f"--silo={name}={key}" for name, key in keys.items()]
    septum("roster", "new", "--out", roster, "--federation", "heart", "--threshold", 1, f"--admin=ann={public}", *names)
    digest = septum("roster", "sign", roster, "--key", admin)["digest"]
    septum("roster", "push", roster, **operator)
    for hospital in hospitals:
        septum("silo", "roster", "fetch", "--dir", hospital.dir)
        septum("silo", "roster", "approve", "--dir", hospital.dir, "--digest", digest)


def test_four_stewards_let_in_what_they_have_read_and_nothing_else(tmp_path, app_dir):
    wheels = str(app_dir / "wheels" / "exactly-1.0-py3-none-any.whl")  # a pure wheel can be imported as it is
    expected = septum(
        "simulate",
        app_dir,
        *(f"--data={n}={EXAMPLE / 'data' / n}.data" for n in sorted(EXPORTS)),
        "--rounds",
        ROUNDS,
        PYTHONPATH=wheels,
    )

    # The author.
    built = septum("app", "build", app_dir, "--out", tmp_path / "dist", PYTHONPATH=wheels)
    again = septum("app", "build", app_dir, "--out", tmp_path / "dist2", PYTHONPATH=wheels)
    assert built["digest"] == again["digest"]
    key = septum("app", "keygen", "--out", tmp_path / "author.key")
    septum("app", "sign", built["file"], "--key", tmp_path / "author.key")

    processes = []
    try:
        # The operator.
        data_dir = tmp_path / "coordinator"
        coordinator = Process(
            ["coordinator", "start", "--json", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0"],
            tmp_path / "coordinator.log",
        )
        processes.append(coordinator)
        coordinator.wait_for_event("ready", 60)
        operator = {"SEPTUM_OPERATOR_FILE": str(data_dir / "operator.json")}
        septum("app", "push", built["file"], **operator)
        (pushed,) = septum("app", "list", **operator)["apps"]
        assert (pushed["digest"], pushed["signatures"][0]["key"]) == (built["digest"], key["public"])

        # The stewards map and check their data, and read the package; it is not approved by that.
        hospitals = []
        for name in EXPORTS:
            (tmp_path / name).mkdir()
            invited = septum("silo", "invite", name, **operator)
            hospital = Hospital(tmp_path / name, name, invited["token"], invited["url"])
            hospital.may(
                "require_signature = true\nfolders = false\nmin_rows = 20\nmin_cohort = 4\nqueries = ['heart-disease']"
            )
            septum("silo", "app", "fetch", "heart-disease", "--dir", hospital.dir)
            reviewed = septum("silo", "app", "review", "heart-disease", "--dir", hospital.dir)
            assert (reviewed["signers"], reviewed["approved"]) == ([key["public"]], False)
            septum("silo", "data", "check", name, "--dir", hospital.dir)
            processes.append(hospital.start())
            hospitals.append(hospital)

        # Who takes part: an administrator signs their keys, and each steward pins that; masks stand on it.
        pin_roster(tmp_path, hospitals, operator)

        # A run that nobody has approved yet.
        run = septum("run", "submit", "heart-disease", "--rounds", ROUNDS, **operator)["id"]
        failed = septum("run", "watch", run, fails=True, **operator)
        assert "no quorum" in failed["message"]
        shown = septum("run", "show", run, **operator)
        assert any("is not approved here" in silo["problem"] for silo in shown["silos"])
        assert not any(event["event"] == "worker_started" for hospital in hospitals for event in hospital.log())

        # They approve; the environment is built from the package's own wheel, without an index.
        for hospital in hospitals:
            septum("silo", "app", "approve", built["digest"], "--dir", hospital.dir)
            (listed,) = septum("silo", "app", "list", "--dir", hospital.dir)["apps"]
            assert listed["approved"]
        septum("run", "resume", run, **operator)
        finished = septum("run", "watch", run, **operator)
        assert finished["status"] == "finished"
        assert finished["model"] == expected["model_digest"]

        # What ran where stands in each silo's receipts.
        for hospital in hospitals:
            receipts = septum("silo", "receipt", "list", "--dir", hospital.dir)["receipts"]
            assert {(one["run"], one["app_digest"], tuple(one["signers"])) for one in receipts} == {
                (run, built["digest"], (key["public"],))
            }

        # Of the same package statistics may be asked: by its contract, without its code, which needs a wheel.
        asked = ("--columns", "age,chol", "--quantiles", "age", "--table", "sex,num")
        told = septum("stats", "run", "heart-disease", *asked, **operator)
        here = septum("stats", "simulate", EXAMPLE, *asked)
        assert {name: told[name] for name in ("rows", "columns", "tables")} == {
            name: here[name] for name in ("rows", "columns", "tables")
        }
        for hospital in hospitals:
            receipts = septum("silo", "receipt", "list", "--dir", hospital.dir)["receipts"]
            assert (told["run"], built["digest"]) in {(one["run"], one["app_digest"]) for one in receipts}

        # One of them takes it back.
        septum("silo", "app", "revoke", "heart-disease", "--dir", hospitals[0].dir)
        unanswered = septum("stats", "run", "heart-disease", "--columns", "age", fails=True, **operator)
        assert "revoked" in unanswered["message"]
        second = septum("run", "submit", "heart-disease", "--rounds", ROUNDS, **operator)["id"]
        septum("run", "watch", second, fails=True, **operator)
        refused = [
            silo["problem"]
            for silo in septum("run", "show", second, **operator)["silos"]
            if "revoked" in silo["problem"]
        ]
        assert len(refused) == 1
    finally:
        for process in reversed(processes):
            process.stop()
