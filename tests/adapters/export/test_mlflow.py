"""A model as MLflow loads it predicts as its app does, through the data contract, and no pickle is in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from septum.adapters.export import mlflow_folder
from septum.adapters.export.mlflow_model import About, load
from septum.errors import AppError, DataError, DigestError
from septum.protocol import payload, tensors
from septum.protocol.messages import blob_of
from septum.sdk import harness
from septum.sdk.package import load_app
from septum.sdk.synthetic import synthetic_table

pytestmark = [
    pytest.mark.processes,  # MLflow asks `uname` for the processor
    pytest.mark.filterwarnings("ignore"),  # and warns of what is its own
]

HEART = Path(__file__).parents[3] / "examples" / "heart_disease"


@pytest.fixture(scope="module")
def heart():
    """The example, with a model and its statistics."""
    loaded = load_app(HEART)
    app, hyper = loaded.app, loaded.app.resolve({})
    prepared = harness.prepare(app, hyper, synthetic_table(loaded.manifest.columns))
    sums = harness.summands(app, prepared)
    generator = np.random.default_rng(5)
    parameters = {
        "weight": generator.normal(0, 1, (1, 13)).astype(np.float32),
        "bias": np.float32([0.5]),
    }
    return loaded, hyper, parameters, sums


@pytest.fixture(scope="module")
def folder(heart, tmp_path_factory):
    loaded, _, parameters, sums = heart
    base = tmp_path_factory.mktemp("mlflow")
    content = tensors.encode(payload.model_tensors(parameters, sums))
    (base / "model.safetensors").write_bytes(content)
    about = About(loaded.digest, loaded.app.hyper_values(loaded.app.resolve({})), blob_of(content).digest, "r-1", 3)
    columns = loaded.manifest.columns
    mlflow_folder.write_folder(base / "out", HEART, base / "model.safetensors", about, columns, ())
    return base / "out"


def rows_of(loaded, rows=9):
    import pandas  # an optional extra, heavy

    table = synthetic_table(loaded.manifest.columns, rows=rows, missing=0.0)
    return table, pandas.DataFrame({name: column for name, column in table.columns.items() if name != "num"})


def test_mlflow_loads_it_and_predicts_as_the_app_does(heart, folder):
    import mlflow.pyfunc  # an optional extra, heavy

    loaded, hyper, parameters, sums = heart
    table, frame = rows_of(loaded)
    model = mlflow.pyfunc.load_model(str(folder))
    found = model.predict(frame)["probability"]
    expected = 1 / (1 + np.exp(-harness.score(loaded.app, hyper, table, parameters, sums)))
    assert np.allclose(found, expected, rtol=1e-6)
    names = [column.name for column in model.metadata.signature.inputs.inputs]
    assert names == [name for name in loaded.manifest.columns if name != "num"]


def test_rows_outside_the_contract_are_named_by_the_loaded_model(heart, folder):
    _, frame = rows_of(heart[0])
    frame.loc[4, "chol"] = 9000.0
    with pytest.raises(DataError, match="row 5, column 'chol': above the maximum"):
        load(folder / "data" / "model").predict(frame)


def test_what_was_changed_in_the_folder_is_not_loaded(folder, tmp_path):
    for name, error in (("model.safetensors", DigestError), ("app/app.py", AppError)):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder / "data" / "model", copy)
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content + b"\n")
        with pytest.raises(error):
            load(copy)


def test_no_pickle_is_in_what_is_written(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".yaml", ".txt", ".json", ".py", ".toml", ".md", ".safetensors", ""}
    for path in files:
        content = path.read_bytes()
        assert content[:2] not in {bytes([0x80, protocol]) for protocol in range(2, 6)}, path  # how pickles begin
        assert b"pickle" not in content, path
    assert json.loads((folder / "data" / "model" / "septum.json").read_bytes())["run"] == "r-1"
    assert {path.name for path in files} >= {"MLmodel", "model.safetensors", "septum.toml", "app.py"}
