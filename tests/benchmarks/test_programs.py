"""The programs run as documented: real processes, one JSON object, the promised keys."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page
from septum.testing.postgresql import programs

pytestmark = pytest.mark.e2e

NEEDS_POSTGRESQL = pytest.mark.skipif(
    programs() is None, reason="PostgreSQL is not installed: apt-get install postgresql"
)
ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rounds_says_what_a_round_costs_beside_its_floor():
    found = run("benchmarks.rounds", "--silos", "2", "--rounds", "12", "--repeats", "1")
    assert found["overhead_ms"].keys() == {"p50", "p90"}
    assert found["ratio"] == pytest.approx(found["overhead_ms"]["p50"] / found["floor_ms"], rel=2e-3)
    assert found["floor_ms"] == min(found["floors_ms"].values())
    assert len(found["floors_ms"]) == 2
    assert 0 < found["submit_to_first_round_s"]["median"] < found["submit_to_finished_s"]["median"]
    assert 20 < found["silo_idle_rss_mb"] < found["coordinator_idle_rss_mb"]
    assert found["machine"]["cores"] > 0


def test_rounds_says_what_audit_and_a_tracker_add_and_that_the_other_side_has_neither():
    found = run("benchmarks.rounds", "--silos", "2", "--rounds", "12", "--repeats", "1", "--tracker", "tensorboard")
    assert found["audit_and_tracking_added_ms"] == pytest.approx(
        found["overhead_ms"]["p50"] - found["bare_overhead_ms"]["p50"], abs=0.02
    )
    assert len(found["added_ms_by_turn"]) == 1
    assert found["share_of_models_audited"] == {"recorded": 1.0, "bare": 0.0}


@NEEDS_POSTGRESQL
def test_rounds_says_what_postgresql_takes_beside_sqlite():
    found = run("benchmarks.rounds", "--silos", "2", "--rounds", "12", "--repeats", "1", "--postgres")
    assert found["store"] == "sqlite"
    assert found["postgresql_ratio"] == pytest.approx(
        found["postgresql_overhead_ms"]["p50"] / found["overhead_ms"]["p50"], rel=5e-3
    )


def test_payload_says_how_fast_a_model_travels_beside_its_floor():
    found = run("benchmarks.payload", "--mb", "2", "--silos", "2", "--rounds", "2")
    assert found["gb_per_s"] > 0
    assert found["floor_gb_per_s"] > 0
    assert found["raw_tls_gb_per_s"] > 0
    assert found["ratio"] == pytest.approx(found["gb_per_s"] / found["floor_gb_per_s"], rel=2e-3)
    assert len(found["coordinator_models_round_by_round"]) == len(found["round_s"]) == 2
    assert found["coordinator_peak_models"] >= found["coordinator_peak_models_in_rounds"]


def test_viewers_get_everything_and_say_what_they_cost():
    found = run(
        "benchmarks.viewers", "--viewers", "5", "--silos", "2", "--rounds", "150", "--repeats", "1", "--waiting-s", "1"
    )
    assert found["complete"] is True
    assert found["overhead_ms"].keys() == {"alone", "watched"}
    assert found["round_overhead_added_ms"] == pytest.approx(
        found["overhead_ms"]["watched"]["p50"] - found["overhead_ms"]["alone"]["p50"], abs=0.05
    )


def test_masking_says_how_much_more_a_silo_computes_under_masks():
    found = run(
        *("benchmarks.masking", "--silos", "2", "--parameters", "2000", "--rows", "40", "--rounds", "80"),
        *("--repeats", "1"),
    )
    cpu = found["silo_cpu_ms"]
    assert cpu.keys() == {"plain", "masked"}
    assert found["cpu_ratio"] == pytest.approx(cpu["masked"] / cpu["plain"], rel=5e-3)
    assert found["masks_cost_ms"] == pytest.approx(
        cpu["masked"] - cpu["plain"], abs=1e-3 * cpu["masked"]
    )  # four digits each


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=NEEDS_POSTGRESQL)])
def test_audit_says_what_an_event_costs_and_how_fast_a_log_is_checked_beside_its_floor(store):
    found = run("benchmarks.audit", "--events", "2000", *(["--postgres"] if store == "postgresql" else []))
    assert "| append_cpu_ms |" in page.figures({"audit": found})
    assert found["store"] == store
    assert found["events"] > 2000  # and those that were timed
    assert found["ratio"] == pytest.approx(found["verify_events_per_s"] / found["floor_events_per_s"], rel=2e-3)
    assert 0 < found["append_cpu_ms"] < found["append_head_cpu_ms"]


def test_api_says_how_long_each_list_takes_beside_its_floor():
    found = run("benchmarks.api", "--runs", "20", "--points", "800", "--repeats", "3")
    assert (found["runs"], found["points"]) == (20, 800)
    assert {"/runs", "/silos", "/models", "/runs/{run_id}/journal", "/health"} <= found["p99_ms"].keys()
    assert found["p99_ms"].keys() == found["p50_ms"].keys()
    assert found["floor_ms"] == found["p50_ms"]["/health"]
    assert isinstance(found["round_overhead_added_ms"], float)
