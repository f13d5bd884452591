"""What a silo's model says of new rows: mapped as its own data are, by the model in use, with its own parameters."""

from __future__ import annotations

import csv
import os
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from tests.cli.test_silo_model import about
from tests.silo.small_app import approved, write_app, write_data

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import ConfigError, DataError, NotFoundError, WorkerError
from septum.ports.launcher import WorkerLimits
from septum.protocol import payload, tensors
from septum.protocol.deploying import DeploymentOrder, DeployState
from septum.protocol.messages import blob_of
from septum.protocol.plan import AppRef
from septum.protocol.silo import Denied
from septum.sdk.mapping import ColumnMapping
from septum.silo.datasets import Dataset
from septum.silo.deploy_rules import Accept, DeployRules
from septum.silo.deployed import Deployed, DeployedModels, Held, State
from septum.silo.deploying import Deciding
from septum.silo.kept import KeptModels, layout_digest
from septum.silo.outgoing import layout_in
from septum.silo.policy import Policy
from septum.silo.score_input import read_rows
from septum.silo.score_output import write_predictions
from septum.silo.scorer import Place, Scoring, probabilities
from septum.silo.tensor_file import pieces_of

INPUTS = """
@app.inputs
def inputs(table, h):
    return {"x": table["x"]}
"""


def written(path, *rows):
    path.write_text("\n".join([",".join(row) for row in rows]) + "\n")
    return path


def place_of(folder, content, *, extra=INPUTS, private=False, rules=DeployRules(Accept.AUTO)):  # noqa: B008  frozen
    """A silo in which a model is in use."""
    write_app(folder / "app", extra=extra)
    if private:
        app_py, manifest = folder / "app" / "app.py", folder / "app" / "septum.toml"
        code = app_py.read_text().replace("np.float32)}\n", 'np.float32), "b": np.zeros(1, np.float32)}\n', 1)
        app_py.write_text(code.replace('p["w"][0]', 'p["w"][0] + p["b"]'))
        manifest.write_text(f'{manifest.read_text()}\n[private]\nparameters = ["b"]\n')
    app = approved(folder / "app", write_data(folder / "data.csv"))
    models = DeployedModels(folder)
    models.make()
    blob = blob_of(content).without_bytes()
    models.path(blob.digest).write_bytes(content)
    ref = AppRef("small", "1.0.0", app.digest)
    order = DeploymentOrder(1, "heart", 3, "r-1", 2, blob, ref, {}, 7, app.private)
    held = Held(order, DeployState.ACTIVE, 1.0)
    models.save(State({"heart": Deployed(held, held)}))
    deciding = Deciding(rules, Policy(), lambda ref: app if ref.digest == app.digest else Denied("apps", "no"), 2)
    place = Place("north", InlineLauncher(), WorkerLimits(), models.folder / "predict")
    return Scoring(models, deciding, place, KeptModels(folder)), app


def model(w=2.0):
    return tensors.encode(payload.model_tensors({"w": np.full((1, 1), w, np.float32)}, {}))


def test_rows_are_predicted_in_their_order_beside_their_ids(tmp_path):
    scoring, app = place_of(tmp_path, model())
    source = written(tmp_path / "in.csv", ("id", "x", "y"), ("a", "0.5", "1"), ("b", "-1", "0"), ("c", "0", ""))
    with scoring.open() as scorer:
        rows = read_rows(source, app.dataset, app.columns)
        logits = scorer.logits(rows.table)
        folder = tmp_path / "deployed" / "predict"
        assert len(list(folder.iterdir())) == 1
        about_it = write_predictions(tmp_path / "out.csv", rows.ids, probabilities(logits), scorer.held, 0.0)
    assert logits.tolist() == [1.0, -2.0, 0.0]
    found = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert found == [["id", "probability"], ["a", "0.731059"], ["b", "0.119203"], ["c", "0.5"]]
    assert blob_of(model()).digest in about_it.read_text()
    assert list(folder.iterdir()) == []  # nothing of the rows is left


def test_what_a_killed_process_has_left_of_rows_goes_and_what_another_uses_stays(tmp_path):
    scoring, _ = place_of(tmp_path, model())
    work = tmp_path / "deployed" / "predict"
    for name in (f"{2**22 + 1}-dead", f"{os.getppid()}-alive"):  # no process has a number that large
        (work / name).mkdir(parents=True)
        (work / name / "rows").write_text("a patient")
    with scoring.open():
        assert {path.name.partition("-")[2] for path in work.iterdir()} >= {"alive"}
        assert not (work / f"{2**22 + 1}-dead").exists()


def test_without_ids_rows_are_numbered_and_those_asked_for_are_kept(tmp_path):
    scoring, app = place_of(tmp_path, model())
    source = written(tmp_path / "in.csv", ("ward", "x", "bed"), ("3", "1", "7"))
    assert read_rows(source, app.dataset, app.columns).ids == {"ward": ["3"], "bed": ["7"]}
    assert read_rows(source, app.dataset, app.columns, ["bed"]).ids == {"bed": ["7"]}
    bare = written(tmp_path / "bare.csv", ("x",), ("1",), ("2",))
    rows = read_rows(bare, app.dataset, app.columns)
    held = scoring.active()
    write_predictions(tmp_path / "out.csv", rows.ids, np.array([0.5, 0.25]), held, 0.0)
    assert (tmp_path / "out.csv").read_text() == "row,probability\n1,0.5\n2,0.25\n"


def test_rows_are_mapped_as_the_silos_own_data_are(tmp_path):
    _, app = place_of(tmp_path, model())
    mapped = Dataset("lab", "csv", {"path": "x", "delimiter": ";"}, {"x": ColumnMapping("wert", factor=10.0)})
    source = written(tmp_path / "in.csv", ("id;wert",), ("a;0.5",))
    rows = read_rows(source, mapped, app.columns)
    assert (rows.table["x"].tolist(), rows.ids) == ([5.0], {"id": ["a"]})


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("id", "z"), ("a", "1")], "no column 'x'"),
        ([("1", "2"), ("3", "4")], "no column 'x'"),
        ([("x",), ("1",), ("two",)], "row 2, column 'x': not a number"),
        ([("x",)], "no rows"),
        ([("id", "x"), ("a",)], "1 cells, 2 are needed"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, rows, says):
    _, app = place_of(tmp_path, model())
    with pytest.raises(DataError, match=says):
        read_rows(written(tmp_path / "in.csv", *rows), app.dataset, app.columns)


def test_a_row_without_a_needed_value_is_named_and_nothing_is_predicted(tmp_path):
    scoring, app = place_of(tmp_path, model())
    rows = read_rows(written(tmp_path / "in.csv", ("id", "x"), ("a", "1"), ("b", "")), app.dataset, app.columns)
    with scoring.open() as scorer, pytest.raises(WorkerError, match="row 2: feature 'x'"):
        scorer.logits(rows.table)


def test_an_app_that_says_nothing_of_its_inputs_predicts_nothing(tmp_path):
    scoring, app = place_of(tmp_path, model(), extra="")
    rows = read_rows(written(tmp_path / "in.csv", ("x",), ("1",)), app.dataset, app.columns)
    with scoring.open() as scorer, pytest.raises(WorkerError, match=r"has no @app\.inputs"):
        scorer.logits(rows.table)


def test_the_silos_own_parameters_stand_over_the_federations(tmp_path):
    scoring, app = place_of(tmp_path, model(), private=True)
    with pytest.raises(Exception, match="no private parameters"):
        scoring.open()
    content = tensors.encode({"w": np.zeros((1, 1), np.float32), "b": np.float32([5.0])})
    layout = layout_digest(layout_in(model()))
    kept = replace(about("r-1"), app="small", dataset=app.dataset.name, layout=layout, private=("b",))
    KeptModels(tmp_path).keep(kept, pieces_of(content, lambda name: name))
    rows = read_rows(written(tmp_path / "in.csv", ("x",), ("1",)), app.dataset, app.columns)
    with scoring.open() as scorer:
        assert scorer.logits(rows.table).tolist() == [7.0]  # 1 * the federation's 2, + the silo's own 5


def test_a_name_that_is_refused_or_not_there_predicts_nothing(tmp_path):
    scoring, _ = place_of(tmp_path, model())
    with pytest.raises(NotFoundError, match="lung"):
        scoring.open("lung")
    scoring.models.say("heart", accept=False)
    with pytest.raises(NotFoundError, match="refused"):
        scoring.open("heart")


def test_an_app_that_is_approved_no_more_predicts_nothing(tmp_path):
    scoring, _ = place_of(tmp_path, model())
    held = scoring.active()
    other = replace(held, order=replace(held.order, app=AppRef("small", "1.0.0", "sha256:" + "1" * 64)))
    scoring.models.save(State({"heart": Deployed(other, other)}))
    with pytest.raises(ConfigError, match="cannot predict here: apps: no"):
        scoring.open()


def test_parquet_in_and_parquet_out(tmp_path):
    scoring, app = place_of(tmp_path, model())
    pyarrow.parquet.write_table(pyarrow.table({"id": [7, 8], "x": [0.0, None]}), tmp_path / "in.parquet")
    rows = read_rows(tmp_path / "in.parquet", app.dataset, app.columns)
    assert (rows.ids, rows.table["x"][0], np.isnan(rows.table["x"][1])) == ({"id": ["7", "8"]}, 0.0, True)
    write_predictions(tmp_path / "out.parquet", rows.ids, np.array([0.5, 0.25]), scoring.active(), 0.0)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict() == {
        "id": ["7", "8"],
        "probability": [0.5, 0.25],
    }
