"""`septum demo`: the figures it promises, and the processes that it really is."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.e2e.processes import children_of, command_of, descendants, is_alive, listening_ports, open_files

from septum.cli.shipped import example
from septum.cli.silo_files import silo_files
from septum.protocol import tensors
from septum.protocol.plan import AppRef, Masking, Plan
from septum.sdk.package import load_app
from septum.simulate.run import read_silos, simulate

pytestmark = pytest.mark.e2e
SILOS = ["cleveland", "hungary", "long-beach-va", "switzerland"]


def demo(folder: Path, *options: str) -> dict[str, object]:
    command = [sys.executable, "-m", "septum", "demo", "--json", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    envelope = json.loads(done.stdout)
    assert envelope["status"] == "ok"
    assert envelope["schema_version"] == 1
    return envelope["data"]


def simulated_digest(rounds: int, seed: int) -> str:
    app = load_app(example("heart_disease"))
    hyper = app.app.resolve({"rounds": rounds, "seed": seed})
    rows = read_silos(app, hyper, silo_files(example("heart_disease") / "data"))
    ref = AppRef(app.app.name, app.manifest.version, app.digest)
    plan = Plan(
        "heart-disease",
        ref,
        app.app.hyper_values(hyper),
        tuple(sorted(rows)),
        rounds=rounds,
        seed=seed,
        masking=Masking(),
    )
    return simulate(app, plan, rows).model_digest


def test_fifty_rounds_reach_the_promised_figures(tmp_path):
    data = demo(tmp_path, "--rounds", "50", "--seed", "42")
    assert data["rounds"] == 50
    assert data["n_test"] == 254
    assert data["roc_auc_all"] >= 0.865
    assert data["accuracy_all"] >= 0.78
    assert data["roc_auc_bound"] <= 0.002
    assert data["pooled_roc_auc"] >= data["roc_auc_all"] > data["local_roc_auc"]
    assert [site["name"] for site in data["sites"]] == SILOS
    assert [site["n_test"] for site in data["sites"]] == [104, 89, 45, 16]
    for site in data["sites"]:
        assert 0.5 < site["roc_auc"] <= 1
        assert 0 <= site["local_roc_auc"] <= 1
        assert 0.5 < site["accuracy"] <= 1
    assert 0 < data["round_overhead_ms"]["p50"] <= data["round_overhead_ms"]["p90"]
    assert data["wall_s"] > data["rounds_s"] > 0
    assert Path(data["model_path"]).is_file()
    assert Path(data["model_path"]).is_relative_to(tmp_path)
    assert data["model_digest"] == simulated_digest(50, 42)  # HTTPS and the simulator: the same bits


def test_one_seed_gives_one_model_and_another_seed_another(tmp_path):
    first, second, other = (demo(tmp_path, "--rounds", "2", "--no-compare", "--seed", seed) for seed in ("1", "1", "2"))
    assert first["model_digest"] == second["model_digest"] == simulated_digest(2, 1)
    assert other["model_digest"] == simulated_digest(2, 2) != first["model_digest"]
    assert "pooled_roc_auc" not in first


def test_ones_own_hospitals_are_the_files_of_a_folder(tmp_path):
    for name, source in (("north", "cleveland"), ("South_Side", "hungary")):
        (tmp_path / f"{name}.csv").write_bytes(silo_files(example("heart_disease") / "data")[source].read_bytes())
    data = demo(tmp_path, "--rounds", "1", "--data-dir", str(tmp_path))
    assert [(site["name"], site["n_test"]) for site in data["sites"]] == [("north", 104), ("south-side", 89)]


class Running:
    """A demo that is in the middle of its rounds."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "septum", "demo", "--keep", "--rounds", "1000", "--no-compare"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("round 0/"):
                break
        self._reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._reader.start()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@pytest.fixture
def running(tmp_path):
    demo = Running(tmp_path)
    yield demo
    if demo.process.poll() is None:
        demo.end(signal.SIGINT)


def roles(pids: set[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"coordinator": [], "agent": [], "worker": [], "other": []}
    for pid in sorted(pids):
        command = " ".join(command_of(pid))
        role = (
            "coordinator"
            if "septum coordinator start" in command
            else "agent"
            if "septum silo start" in command
            else "worker"
            if "septum.silo.worker" in command
            else "other"
        )
        found[role].append(pid)
    return found


def test_nine_processes_share_nothing_but_one_port(running, tmp_path):
    found = roles(descendants(running.process.pid))
    trained = {pid for agent in found["agent"] for pid in children_of(agent)}
    assert len(found["coordinator"]) == 1
    assert len(found["agent"]) == 4
    assert len(trained) == 4
    assert trained <= set(found["worker"])  # each has a guard that ends what the app may have started
    assert found["other"] == []

    assert len(listening_ports(found["coordinator"][0])) == 1
    for pid in found["agent"] + found["worker"]:
        assert listening_ports(pid) == set()

    base = tmp_path / "septum-demo"
    for role, pids in found.items():
        for pid in pids:
            inside = {Path(path).relative_to(base).parts[0] for path in open_files(pid) if path.startswith(f"{base}/")}
            folders = {name for name in inside if (base / name).is_dir()}
            assert len(folders) <= 1, f"{role} {pid} has files open in {folders}"
            assert not any(path.startswith("/dev/shm") for path in open_files(pid))
    for silo in SILOS:
        assert (base / silo).stat().st_mode & 0o777 == 0o700
        assert (base / silo / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_request_to_end_take_every_process_along(running, number):
    started = descendants(running.process.pid)
    assert running.end(number) == 130
    assert not [pid for pid in started if is_alive(pid)]


def test_a_worker_knows_nothing_of_the_agents_environment(running):
    for pid in roles(descendants(running.process.pid))["worker"]:
        names = {item.split("=")[0] for item in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if item}
        assert not {name for name in names if name.startswith(("SEPTUM", "HTTP", "NO_PROXY"))}
        assert "OMP_NUM_THREADS" in names
    assert os.environ.get("PATH")


def test_with_differential_privacy_each_hospital_pays_less_than_asked_and_no_metric_leaves(tmp_path):
    data = demo(tmp_path, "--target-epsilon", "5", "--no-compare")
    privacy = data["privacy"]
    assert privacy["secure_aggregation"] is True
    assert privacy["strength"] == "enforced"
    assert sorted(privacy["epsilon"]) == sorted(privacy["delta"]) == SILOS
    for site in SILOS:
        assert 4.5 < privacy["epsilon"][site] <= 5.0  # two spare rounds were not used
        assert 1e-4 < privacy["delta"][site] < 0.02  # a tenth of 1 / some 30 to 200 rows
    assert privacy["measured_by"] == "demo"
    assert data["n_test"] == 254
    assert data["roc_auc_all"] > 0.75
    assert data["accuracy_all"] > 0.65
    assert data["round_overhead_ms"] is None  # how long a hospital worked would tell something of its rows
    assert privacy["told"] is None


def test_metrics_with_noise_are_told_where_they_are_paid_for_and_each_hospitals_cost_covers_them(tmp_path):
    data = demo(tmp_path, "--target-epsilon", "5", "--metrics-epsilon", "3", "--rounds", "10", "--no-compare")
    told, privacy = data["privacy"]["told"], data["privacy"]
    for site in SILOS:
        assert 4.0 < privacy["epsilon"][site] <= 5.0
    assert 0 < told["noise"]["accuracy"] < 0.05
    assert abs(told["accuracy"] - data["accuracy_all"]) < 6 * told["noise"]["accuracy"]
    assert abs(told["rows"] - 254) < 60


@pytest.mark.torch
def test_by_torch_and_with_differential_privacy_a_network_is_trained(tmp_path):
    pytest.importorskip("torch")
    data = demo(tmp_path, "--backend", "torch", "--target-epsilon", "5", "--rounds", "3", "--no-compare")
    assert data["privacy"]["strength"] == "enforced"
    assert sorted(data["privacy"]["epsilon"]) == SILOS
    assert all(0 < cost <= 5.0 for cost in data["privacy"]["epsilon"].values())
    model = tensors.decode(Path(data["model_path"]).read_bytes())
    assert {"0.weight", "2.weight"} <= set(model)
