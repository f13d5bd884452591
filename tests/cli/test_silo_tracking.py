"""A steward sees what the silo stored in its own trackers, and what keeps the rest from it."""

from __future__ import annotations

from septum.errors import RateLimitedError
from septum.ports.tracker import SiloMeasured
from septum.silo.track_spool import Spool

SILO = '[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n'


def told(number):
    return [SiloMeasured("r-1", 1.0, "north", 1, round_, train_loss=0.5) for round_ in range(number)]


def test_what_waits_and_why_is_shown(septum, tmp_path):
    (tmp_path / "silo.toml").write_text(f'{SILO}[tracking.mlflow]\nuri = "sqlite:///mlflow.db"\n')
    spool = Spool(tmp_path, "mlflow")
    spool.add(told(5))
    spool.settle(3, 1)
    spool.failed(RateLimitedError("MLflow is asked too much", hint="wait"))
    done = septum("silo", "tracking", "--dir", tmp_path)
    assert "mlflow: MLflow is asked too much; next: wait" in done.out
    shown = septum("silo", "tracking", "--dir", tmp_path, "--json").envelope["data"]
    assert shown["trackers"] == [
        {
            "tracker": "mlflow",
            "stored": 2,
            "waiting": 2,
            "refused": 1,
            "dropped": 0,
            "problem": "MLflow is asked too much",
            "hint": "wait",
        }
    ]


def test_a_silo_without_trackers_says_how_to_have_one(septum, tmp_path):
    (tmp_path / "silo.toml").write_text(SILO)
    done = septum("silo", "tracking", "--dir", tmp_path)
    assert "[tracking.NAME] in silo.toml" in done.out
