"""The target for personalised models on the example: no hospital worse than with a model of its own rows alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from septum.protocol.facts import Metrics
from septum.protocol.plan import AppRef, Masking, Plan, Private
from septum.sdk import harness
from septum.sdk.package import LoadedApp
from septum.simulate.run import simulate

pytestmark = pytest.mark.laws  # five seeds, each with a federation, its models made personal, and four hospitals alone
SEEDS = range(42, 47)
FURTHER = 10  # local rounds: 80 to 500 steps, for the hospitals' rows differ
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "personalise.md"


@dataclass(frozen=True)
class Figures:
    """Each hospital's own test rows, under one seed."""

    federation: Mapping[str, Metrics]
    personalised: Mapping[str, Metrics]
    alone: Mapping[str, Metrics]


@pytest.fixture(scope="module")
def figures(loaded: LoadedApp, prepared: dict[str, harness.Prepared]) -> list[Figures]:
    app = loaded.app

    def plan(silos: Mapping[str, harness.Prepared], seed: int, **changed: object) -> Plan:
        hyper = app.hyper_values(app.resolve({"seed": seed}))
        ref = AppRef(app.name, loaded.manifest.version, loaded.digest)
        return Plan("heart", ref, hyper, tuple(sorted(silos)), app.rounds(app.resolve()), seed=seed, **changed)

    found = []
    for seed in SEEDS:
        shared = plan(prepared, seed, masking=Masking())
        own = plan(prepared, seed, masking=Masking(), private=Private(personalise=FURTHER))
        alone = {name: simulate(loaded, plan([name], seed), {name: rows}) for name, rows in prepared.items()}
        one, two = simulate(loaded, shared, prepared), simulate(loaded, own, prepared)
        assert one.model == two.model  # what a hospital makes of it afterwards changes nothing for the others
        local = {name: result.silos[name] for name, result in alone.items()}
        found.append(Figures(one.silos, two.silos, local))
    return found


def test_no_hospital_is_worse_off_than_with_its_own_rows_alone_under_any_seed(figures: list[Figures]) -> None:
    for seed in figures:
        for hospital, alone in seed.alone.items():
            own = seed.personalised[hospital]
            assert own.accuracy >= alone.accuracy
            assert own.log_loss <= alone.log_loss


def test_without_the_gate_one_hospital_is_under_every_seed(figures: list[Figures]) -> None:
    """Switzerland, 15 of whose 16 test patients are ill: the test above would fail if nothing was personalised."""
    for seed in figures:
        assert seed.federation["switzerland"].accuracy < seed.alone["switzerland"].accuracy


def test_the_mean_over_hospitals_rises_and_is_the_one_in_the_docs(figures: list[Figures]) -> None:
    def mean(which: str) -> float:
        return float(np.mean([metrics.accuracy for seed in figures for metrics in getattr(seed, which).values()]))

    means = {which: mean(which) for which in ("alone", "federation", "personalised")}
    assert means["alone"] < means["federation"] < means["personalised"]
    (line,) = re.findall(r"^\| mean of the four \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    told = [float(cell) for cell in line.split("|")]
    assert told == pytest.approx([means["alone"], means["federation"], means["personalised"]], abs=0.0051)
