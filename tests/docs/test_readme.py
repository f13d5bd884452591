"""The README: its smallest app runs as printed, and its commands exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from septum.protocol.plan import AppRef, Plan
from septum.sdk.package import load_app
from septum.simulate.run import read_silos, simulate

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language: str, containing: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in text]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def smallest(tmp_path: Path) -> Path:
    folder = tmp_path / "smallest"
    folder.mkdir()
    (folder / "app.py").write_text(block("python", 'App("smallest")'))
    (folder / "septum.toml").write_text(block("toml", "[leaves]"))
    rng = np.random.default_rng(0)
    for silo in ("north", "south"):
        age, dose = rng.normal(60, 9, 80), rng.normal(3, 1, 80)
        ill = (age - 60) / 9 + (dose - 3) + rng.normal(0, 0.7, 80) > 0
        rows = "".join(f"{a:.1f},{d:.2f},{int(i)}\n" for a, d, i in zip(age, dose, ill, strict=True))
        (tmp_path / f"{silo}.csv").write_text("age,dose,ill\n" + rows)
    return folder


def test_the_smallest_app_learns_as_printed(smallest):
    app = load_app(smallest)
    hyper = app.app.resolve()
    rows = read_silos(app, hyper, {silo: smallest.parent / f"{silo}.csv" for silo in ("north", "south")})
    plan = Plan("readme", AppRef("smallest", "1", app.digest), app.app.hyper_values(hyper), tuple(rows), rounds=20)
    metrics = simulate(app, plan, rows).metrics
    assert metrics is not None
    assert metrics.roc_auc is not None
    assert metrics.roc_auc > 0.9
