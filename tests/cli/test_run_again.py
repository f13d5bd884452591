"""Runs made from earlier ones, and runs side by side."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from septum.protocol.facts import Metrics, ModelMade, ModelMeasured, RunEnded, StageClosed
from septum.protocol.messages import Outcome, Stage, blob_of
from septum.protocol.privacy import Privacy
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.served


def metrics(roc_auc):
    return Metrics(rows=254, accuracy=0.8, log_loss=0.5, roc_auc=roc_auc)


def history(*models, silos=("austin", "boston"), roc_auc=(0.5, 0.9, 0.7)):
    facts = []
    for round_, data in enumerate(models):
        facts += [
            StageClosed(Stage.TRAIN if round_ else Stage.PREPARE, round_, 1, silos, ()),
            ModelMade(round_, blob_of(data).without_bytes()),
            ModelMeasured(round_, metrics(roc_auc[round_]), {}),
        ]
    return [*facts, RunEnded(Outcome.FINISHED, "")]


@pytest.fixture
def first(coordinator, septum, example):
    """A finished run of the example over two silos."""
    done = septum("run", "submit", example, "--set", "lr=0.01", "--rounds", "7", "--silos", "austin,boston", "--json")
    assert done.code == 0, done.err
    return done.envelope["data"]["id"]


def test_a_clone_is_the_same_run_but_for_what_was_named(coordinator, septum, example, first):
    done = septum("run", "clone", first, "--app", example, "--set", "lr=0.2", "--name", "faster", "--json")
    assert (done.code, done.envelope["data"]["id"]) == (0, "run-2")
    old, new = coordinator.plans["run-1"], coordinator.plans["run-2"]
    assert (new.hyper["lr"], new.name, new.hyper["rounds"], new.rounds) == (0.2, "faster", 7, 7)
    assert (new.silos, new.masking, new.app, new.seed) == (old.silos, old.masking, old.app, old.seed)


def test_a_clone_without_changes_has_the_plan_of_the_run(coordinator, septum, example, first):
    assert septum("run", "clone", first, "--app", example).code == 0
    assert coordinator.plans["run-2"].digest == coordinator.plans["run-1"].digest


def test_a_clone_over_more_silos_waits_for_all_of_them_again(coordinator, septum, example, first):
    assert septum("run", "clone", first, "--app", example, "--silos", "austin,boston,salem").code == 0
    assert coordinator.plans["run-2"].quorum == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "lr=9999"), "lr"),
        (("--set", "nothing=1"), "nothing"),
        (("--quorum", "3"), "quorum"),
        (("--strategy", "fedavgg"), "fedavg"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_starts_nothing(coordinator, septum, example, first, arguments, says):
    done = septum("run", "clone", first, "--app", example, *arguments, "--json")
    assert done.code == 2
    assert says in json.dumps(done.envelope["error"])
    assert len(coordinator.plans) == 1


def test_a_clone_of_an_app_that_was_never_pushed_says_how_to_name_it(coordinator, septum, first):
    done = septum("run", "clone", first, "--json")
    assert (done.code, "--app ./FOLDER" in done.envelope["error"]["hint"]) == (2, True)


def test_a_repetition_with_the_same_model_is_reproduced(coordinator, septum, first):
    coordinator.facts_of = {"run-1": history(b"0", b"1"), "run-2": history(b"0", b"1")}
    coordinator.facts = history(b"0", b"1")
    done = septum("run", "reproduce", first, "--json")
    assert done.code == 0, done.err
    assert done.envelope["data"]["reproduced"] is True
    assert coordinator.plans["run-2"].digest == coordinator.plans["run-1"].digest


@pytest.mark.parametrize(
    ("other", "round_", "reason", "silos"),
    [
        (history(b"x", b"1x"), 0, "start", []),
        (history(b"0", b"1x"), 1, "training", []),
        (history(b"0", b"1x", silos=("austin",)), 1, "silos", ["boston"]),
        (history(b"0"), 1, "unended", []),
    ],
)
def test_a_repetition_with_another_model_fails_and_says_from_where_on_and_why(
    coordinator, septum, first, other, round_, reason, silos
):
    coordinator.facts_of = {"run-1": history(b"0", b"1"), "run-2": other}
    done = septum("run", "reproduce", first, "--json")
    assert done.code == 1
    found = done.envelope["data"]
    assert (found["reproduced"], found["round"], found["reason"], found["silos"]) == (False, round_, reason, silos)
    assert done.envelope["error"]["hint"] == "septum run compare run-1 run-2"


def test_a_run_that_has_not_finished_is_not_repeated(coordinator, septum, first):
    coordinator.status = RunStatus.STOPPED
    done = septum("run", "reproduce", first, "--json")
    assert (done.code, len(coordinator.plans)) == (2, 1)


def test_compare_shows_the_settings_that_differ_and_the_metrics_beside_each_other(coordinator, septum, example, first):
    assert septum("run", "clone", first, "--app", example, "--set", "lr=0.2").code == 0
    coordinator.facts_of = {"run-1": history(b"0", b"1", b"2"), "run-2": history(b"0", b"x")}
    data = septum("run", "compare", first, "run-2", "--json").envelope["data"]
    assert data["differences"] == {"hyper.lr": [0.01, 0.2]}
    assert [row["roc_auc"] for row in data["metrics"]["run-1"]] == [0.5, 0.9, 0.7]
    assert data["best"]["run-1"]["round"] == 1
    assert data["best"]["run-1"]["model"] == blob_of(b"1").digest
    shown = septum("run", "compare", first, "run-2").out
    assert all(text in shown for text in ("hyper.lr", "0.9000", "best in round 1"))
    assert septum("run", "compare", first, first).code == 2


def test_the_plan_of_a_run_is_shown_whole_with_its_digest(coordinator, septum, first):
    data = septum("run", "plan", first, "--json").envelope["data"]
    assert (data["digest"], data["plan"]["hyper"]["lr"]) == (coordinator.plans[first].digest, 0.01)
    assert "hyper.lr" in septum("run", "plan", first).out


def test_metrics_are_listed_and_written_to_a_file(coordinator, septum, first, tmp_path):
    coordinator.facts_of = {first: history(b"0", b"1", b"2")}
    listed = septum("metric", "list", first, "--json").envelope["data"]
    assert [row["round"] for row in listed["metrics"]] == [0, 1, 2]
    out = tmp_path / "metrics.csv"
    assert septum("metric", "export", first, "-o", str(out)).code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["roc_auc"] for row in rows] == ["0.5", "0.9", "0.7"]
    assert septum("metric", "export", first, "-o", str(out)).code == 1
    assert septum("metric", "export", first, "-o", str(out), "--force").code == 0
    assert septum("metric", "export", first, "-o", str(tmp_path / "m.xml")).code == 2
    as_json = tmp_path / "metrics.json"
    assert septum("metric", "export", first, "-o", str(as_json)).code == 0
    assert json.loads(as_json.read_text())["metrics"] == listed["metrics"]


def test_metrics_of_each_silo_are_listed_and_exported_where_the_run_had_no_masks(coordinator, septum, first, tmp_path):
    each = {"boston": metrics(0.6), "austin": metrics(0.4)}
    coordinator.facts_of = {first: [ModelMeasured(1, metrics(0.5), each), ModelMeasured(0, metrics(0.3), {})]}
    listed = septum("metric", "list", first, "--json").envelope["data"]["silos"]
    assert [(row["round"], row["silo"], row["roc_auc"]) for row in listed] == [(1, "austin", 0.4), (1, "boston", 0.6)]
    shown = [line.split()[:2] for line in septum("metric", "list", first, "--by-silo").out.splitlines()]
    assert shown == [["ROUND", "SILO"], ["0", "254"], ["1", "254"], ["1", "austin"], ["1", "boston"]]
    assert "SILO" not in septum("metric", "list", first).out
    for name in ("m.csv", "m.json"):
        assert septum("metric", "export", first, "-o", str(tmp_path / name)).code == 0
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    told = [(row["round"], row["silo"], row["roc_auc"]) for row in rows]
    assert told == [("0", "", "0.3"), ("1", "", "0.5"), ("1", "austin", "0.4"), ("1", "boston", "0.6")]
    assert json.loads((tmp_path / "m.json").read_text())["silos"] == listed


def test_a_masked_run_has_no_silos_own_figures_to_list(coordinator, septum, first):
    coordinator.facts_of, coordinator.masked = {first: history(b"0", b"1")}, True
    done = septum("metric", "list", first, "--by-silo", "--json")
    assert (done.code, "no silo's own figures have left it" in done.envelope["error"]["message"]) == (2, True)


def test_compare_aligns_the_curves_of_every_metric_by_their_rounds(coordinator, septum, example, first):
    septum("run", "clone", first, "--app", example)
    late = [ModelMeasured(k, metrics(0.8), {}) for k in (1, 3)]
    coordinator.facts_of = {"run-1": history(b"0", b"1"), "run-2": late}
    found = septum("run", "compare", first, "run-2", "--json").envelope["data"]["curves"]
    assert [(row["round"], row["values"]) for row in found["roc_auc"]] == [
        (0, [0.5, None]),
        (1, [0.9, 0.8]),
        (3, [None, 0.8]),
    ]
    assert [row["values"] for row in found["log_loss"]] == [[0.5, None], [0.5, 0.5], [None, 0.5]]
    shown = septum("run", "compare", first, "run-2", "--metric", "accuracy").out
    assert "ACCURACY OF ROUND" in shown
    assert "0.8000" in shown
    assert septum("run", "compare", first, "run-2", "--metric", "acc").code == 2


def test_noise_is_named_as_the_reason_in_a_run_with_privacy(coordinator, septum, first):
    coordinator.plans[first] = replace(coordinator.plans[first], privacy=Privacy(5.0))
    coordinator.facts_of = {"run-1": history(b"0", b"1"), "run-2": history(b"0", b"1x")}
    done = septum("run", "reproduce", first, "--json")
    assert (done.code, done.envelope["data"]["reason"]) == (1, "noise")


def test_a_models_card_is_shown_written_and_its_lineage_told_to_programs(coordinator, septum, first, tmp_path):
    coordinator.facts_of = {first: history(b"0", b"1", b"2")}
    data = septum("model", "card", first, "--round", "1", "--json").envelope["data"]
    assert (data["model"], data["round"], data["metrics"]["roc_auc"]) == (blob_of(b"1").digest, 1, 0.9)
    out = tmp_path / "card.md"
    assert septum("model", "card", first, "-o", str(out)).code == 0
    assert out.read_text() == septum("model", "card", first, "--json").envelope["data"]["card"]
    assert "## Privacy" in septum("model", "card", first).out
    assert septum("model", "card", first, "-o", str(out)).code == 1
    assert septum("model", "card", first, "--round", "9").code == 2
