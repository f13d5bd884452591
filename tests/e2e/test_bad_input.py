"""What goes wrong in one silo is told to both operators, ends no agent, and loses no run: with real processes."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.processes import children_of, resident_mb
from tests.e2e.runs import OPEN
from tests.silo.small_app import write_app, write_data

from septum.cli.federation import Federation

pytestmark = pytest.mark.e2e
MAX_IDLE_MB = 60
ROUND_3_GOES_WRONG = """
if ctx.round == 3 and ctx.silo == "east":
    raise KeyError("boom")
if ctx.round == 3 and ctx.silo == "north":
    time.sleep(60)
if ctx.round == 3 and ctx.silo == "west":
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
return {"w": p["w"] + np.float32(1)}
"""
ONLY_ZEROS = "x,y\n" + "".join(f"{row},0\n" for row in range(10))


@contextmanager
def federation_of(folder: Path, app_dir: Path, **files: str) -> Iterator[Federation]:
    """Silos with these files; an empty text stands for ten good rows."""
    paths = {name: write_data(folder / f"{name}.csv") for name in files}
    for name, text in files.items():
        if text:
            paths[name].write_text(text)
    base = folder / "federation"
    base.mkdir(mode=0o711)
    with Federation(base, app_dir, "small", paths, policy=OPEN) as federation:
        federation.start()
        yield federation


def septum(federation: Federation, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "SEPTUM_OPERATOR_FILE": str(federation.operator_dir / "operator.json")}
    command = [sys.executable, "-m", "septum", *arguments]
    return subprocess.run(command, env=where, capture_output=True, text=True, check=False, timeout=60)


def submitted(federation: Federation, app_dir: Path, *options: str) -> str:
    done = septum(federation, "run", "submit", str(app_dir), "--inspect", *options, "--json")
    return json.loads(done.stdout)["data"]["id"]


def test_files_that_cannot_be_used_are_named_to_the_operator_and_once_mended_the_run_is_resumed(tmp_path):
    app_dir = write_app(tmp_path / "app")
    files = {"east": "xx,y\n1,0\n", "north": "\n", "south": "", "west": ONLY_ZEROS}
    wrong = {
        "east": "no column 'x'; did you mean 'xx'?; next, in silo east: ",
        "north": "the file is empty; next, in silo north: export the file again with its rows",
        "west": "target column 'y': the target has one class, 0, in all 10 rows",
    }
    with federation_of(tmp_path, app_dir, **files) as federation:
        agents = {site.name: federation.pid(site.name) for site in federation.sites}
        run = submitted(federation, app_dir, "--rounds", "2")
        while wrong:  # a silo whose file cannot be read refuses before it joins, and one alone ends this run
            watched = septum(federation, "run", "watch", run)
            assert watched.returncode == 1
            assert f"next: septum run resume {run}" in watched.stderr
            shown = septum(federation, "run", "show", run).stdout.splitlines()
            told = {silo for silo, says in wrong.items() for line in shown if line.startswith(silo) and says in line}
            assert told
            for silo in told:
                data = federation.site(silo).folder / "data" / f"{silo}.csv"
                assert silo == "west" or any(line.startswith(silo) and str(data) in line for line in shown)
                write_data(data)
                del wrong[silo]
            assert septum(federation, "run", "resume", run).returncode == 0
        assert septum(federation, "run", "watch", run).returncode == 0
        assert {name: federation.pid(name) for name in agents} == agents
        wait_until_idle(federation)


def test_workers_that_raise_hang_or_are_killed_cost_their_silos_one_round(tmp_path):
    app_dir = write_app(tmp_path / "app", ROUND_3_GOES_WRONG)
    with federation_of(tmp_path, app_dir, east="", north="", south="", west="", york="") as federation:
        limit_tasks(federation, "north", seconds=2)
        run = submitted(federation, app_dir, "--rounds", "5", "--quorum", "2")
        watched = septum(federation, "run", "watch", run)
        assert watched.returncode == 0, watched.stderr
        failed = [line for line in watched.stdout.splitlines() if "failed in train, round 3, attempt 1" in line]
        assert sorted(line.split()[1] for line in failed) == ["east", "north", "west"]
        assert "raised KeyError: 'boom'" in told(failed, "east")
        assert "took longer than 2 s" in told(failed, "north")
        assert "was killed by SIGKILL" in told(failed, "west")
        assert 'raise KeyError("boom")' in watched.stdout  # the app's line, from its traceback
        assert "next, in silo north: raise limits.task_s in silo.toml" in watched.stdout
        assert "round 5/5" in watched.stdout
        shown = septum(federation, "run", "show", run).stdout.splitlines()
        assert not [line for line in shown if "round 3" in line]  # they took part again
        wait_until_idle(federation)
        assert max(resident_mb(federation.pid(site.name)) for site in federation.sites) <= MAX_IDLE_MB


def test_what_a_killed_worker_said_can_be_read_after_the_run_has_failed(tmp_path):
    app_dir = write_app(tmp_path / "app", ROUND_3_GOES_WRONG)
    with federation_of(tmp_path, app_dir, south="", west="") as federation:
        run = submitted(federation, app_dir, "--rounds", "3", "--attempts", "1")
        watched = septum(federation, "run", "watch", run)
        assert watched.returncode == 1
        advice = next(line for line in watched.stdout.splitlines() if "next, in silo west: " in line)
        assert Path(advice.rpartition(": ")[2]).read_text() == "the last words\n"


def limit_tasks(federation: Federation, silo: str, *, seconds: int) -> None:
    config = federation.site(silo).folder / "state" / "silo.toml"
    federation.kill(silo)
    config.write_text(config.read_text().replace("task_s = 3600.0", f"task_s = {seconds}"))
    federation.start_agent(silo)


def wait_until_idle(federation: Federation) -> None:
    """Each agent is one process again."""
    deadline = time.monotonic() + 20
    while any(children_of(federation.pid(site.name)) for site in federation.sites):
        assert time.monotonic() < deadline, "an agent still has a worker"
        threading.Event().wait(0.05)


def told(lines: list[str], silo: str) -> str:
    return next(line for line in lines if line.startswith(f"silo {silo} "))
