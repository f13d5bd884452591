"""Runs are stored in a real MLflow server, the model with a signature; what goes wrong there is said in one sentence.

The process that speaks to it may reach this machine's loopback alone: what it looks up elsewhere fails the test.
"""

from __future__ import annotations

import json
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.adapters.tracking.answering import answering
from tests.adapters.tracking.services import ARN, CREDENTIALS, mlflow_server

from septum.adapters.asked_process import AskedProcess
from septum.adapters.tracking.mlflow_sink import MlflowSink
from septum.adapters.tracking.naming import DEFAULT_PARAMETERS, names_of
from septum.adapters.tracking.process import MODULE, ProcessTracker, Setup, environment
from septum.adapters.tracking.records import Begun, Place, Point
from septum.adapters.tracking.registry import TRACKERS
from septum.errors import AuthError, ConfigError, ConnectionFailedError, ForbiddenError, RateLimitedError
from septum.ports.tracker import FinalModel, RoundMeasured, RunEnded, RunStarted, TrackerSettings
from septum.protocol import payload, tensors
from septum.protocol.messages import Outcome, blob_of
from septum.sdk import harness
from septum.sdk.package import load_app
from septum.sdk.package_file import build
from septum.sdk.synthetic import synthetic_table
from septum.testing.contracts.samples import METRICS, new_run

pytestmark = [pytest.mark.processes, pytest.mark.filterwarnings("ignore")]

HEART = Path(__file__).parents[3] / "examples" / "heart_disease"
NOWHERE = "http://127.0.0.1:9"
BEGIN = RunStarted("r-1", 1.0, new_run("r-1").plan)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="module")
def client(server):
    from mlflow import MlflowClient  # heavy

    return MlflowClient(server)


@pytest.fixture(scope="module")
def other():
    """Another server: what it answers, its URL, and what it was asked."""
    answers = [(500, b"")]
    with answering(answers) as (url, asked):
        yield answers, url, asked


@pytest.fixture(scope="module")
def asked(server, other):
    """One process for all trackers here, as loading takes seconds; it reaches the two servers and NOWHERE alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            **CREDENTIALS,
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": server,
            "AWS_ENDPOINT_URL": server,
        }.items():
            patch.setenv(name, value)
        process = AskedProcess(MODULE, "the process that tracks in mlflow", environment(), idle_s=300)
    yield process
    process.close()


@pytest.fixture
def tracked(server, other, asked, tmp_path):
    """Makes trackers."""

    def make(uri, prefix="fed", find=None):
        hosts = tuple(authority(url) for url in (server, other[1], NOWHERE))
        setup = Setup("mlflow", {"uri": uri}, str(tmp_path), hosts, "[tracking.mlflow]: hosts")
        return ProcessTracker(setup, names_of(prefix, DEFAULT_PARAMETERS, ""), find=find, asked=asked)

    return make


def authority(url):
    return url.removeprefix("http://")


def run_named(client, experiment, run):
    found = client.get_experiment_by_name(experiment)
    (one,) = client.search_runs([found.experiment_id], f"tags.`septum.run` = '{run}'")
    return one


def story(plan, digest=""):
    yield RunStarted("r-1", 10.0, plan)
    for round_ in range(3):
        yield RoundMeasured("r-1", 11.0 + round_, round_, replace(METRICS, roc_auc=0.5 + round_ / 10))
    yield RunEnded("r-1", 15.0, Outcome.FINISHED, "", digest)


@pytest.fixture(scope="module")
def final(tmp_path_factory):
    """A model of the example with its package, and what it predicts for some rows."""
    folder = tmp_path_factory.mktemp("final")
    loaded = load_app(HEART)
    app, hyper = loaded.app, loaded.app.resolve({})
    package = build(HEART, app.name, app.fields, folder)
    table = synthetic_table(loaded.manifest.columns)
    sums = harness.summands(app, harness.prepare(app, hyper, table))
    weights = np.random.default_rng(5).normal(0, 1, (1, 13)).astype(np.float32)
    parameters = {"weight": weights, "bias": np.float32([0.5])}
    content = tensors.encode(payload.model_tensors(parameters, sums))
    (folder / "model.safetensors").write_bytes(content)
    plan = replace(new_run("r-1").plan, app=replace(new_run("r-1").plan.app, digest=package.digest))
    plan = replace(plan, hyper=app.hyper_values(hyper))
    digest = blob_of(content).digest
    rows = synthetic_table(loaded.manifest.columns, rows=9, missing=0.0)
    wanted = 1 / (1 + np.exp(-harness.score(app, hyper, rows, parameters, sums)))
    return FinalModel("r-1", 2, digest, plan, folder / "model.safetensors", package.path), rows, wanted


def test_a_run_is_stored_with_its_model_and_again_changes_nothing(server, client, tracked, final):
    found, rows, wanted = final
    for _ in range(2):  # it hears things at least once, and after a restart all of them
        tracker = tracked(server, "fed-heart-disease", lambda *_: nullcontext(found))
        for told in story(found.plan, found.digest):
            tracker.tell(told)
    run = run_named(client, "fed-heart-disease-server", "r-1")
    assert run.info.run_name == "fed-heart-disease-server-r-1"
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 10_000, 15_000)
    assert run.data.params["learning-rate"] == "0.001"
    assert run.data.params["center"] == "cleveland, hungary"
    assert run.data.tags["septum.model"] == found.digest
    assert run.data.tags["septum.plan_digest"] == found.plan.digest
    history = client.get_metric_history(run.info.run_id, "Test:AUC")
    assert [(one.step, one.value) for one in history] == [(0, 0.5), (1, 0.6), (2, 0.7)]
    assert set(run.data.metrics) == {"Test:AUC", "Test:Loss"}
    import mlflow  # heavy

    mlflow.set_tracking_uri(server)
    check_model(f"runs:/{run.info.run_id}/model", rows, wanted)


def check_model(uri, rows, wanted):
    import mlflow  # heavy
    import pandas

    model = mlflow.pyfunc.load_model(uri)
    frame = pandas.DataFrame({name: column for name, column in rows.columns.items() if name != "num"})
    assert np.allclose(model.predict(frame)["probability"], wanted, rtol=1e-6)
    assert [column.name for column in model.metadata.signature.inputs.inputs] == list(frame.columns)


def test_a_model_of_no_package_is_stored_as_its_tensors(server, client, tracked, final):
    found = replace(final[0], package=None)
    tracker = tracked(server, "of-a-folder", lambda *_: nullcontext(found))
    for told in story(found.plan, found.digest):
        tracker.tell(told)
    run = run_named(client, "of-a-folder-server", "r-1")
    assert [one.path for one in client.list_artifacts(run.info.run_id, "model")] == ["model/model.safetensors"]


def test_a_tracking_server_of_sagemaker_is_asked_by_its_arn(client, tracked, final, tmp_path):
    """Its artifacts lie in a bucket, and clients write there; here it is a folder."""
    client.create_experiment("by-arn-server", str(tmp_path / "bucket"))
    tracker = tracked(ARN, "by-arn", lambda *_: nullcontext(final[0]))
    for told in story(final[0].plan, final[0].digest):
        tracker.tell(told)
    run = run_named(client, "by-arn-server", "r-1")
    assert (run.info.status, run.data.metrics["Test:AUC"]) == ("FINISHED", 0.7)
    check_model(f"{run.info.artifact_uri}/model", *final[1:])


def test_missing_credentials_are_said_with_where_they_go(server, tmp_path, monkeypatch):
    for name in (*CREDENTIALS, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    more = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": server}
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    tracker = TRACKERS["mlflow"](TrackerSettings(tmp_path, {"uri": ARN, "hosts": authority(server)}))
    with closing(tracker), pytest.raises(AuthError, match="does not accept us") as refused:
        tracker.tell(BEGIN)
    assert "AWS credentials" in refused.value.hint


def test_a_server_that_does_not_let_us_in_is_said_without_our_password(tracked, other):
    other[0][:] = [(401, b"You are not authenticated")]
    with pytest.raises(AuthError) as refused:
        tracked(other[1].replace("//", "//me:secret@")).tell(BEGIN)
    assert refused.value.message.startswith(f"MLflow at {other[1]} does not accept us")
    assert "secret" not in refused.value.message
    assert "MLFLOW_TRACKING_USERNAME" in refused.value.hint


def test_an_address_where_nothing_is_is_said_and_no_other_host_is_looked_up(tracked):
    with pytest.raises(ConnectionFailedError, match=f"MLflow at {NOWHERE} cannot be asked"):
        tracked(NOWHERE).tell(BEGIN)
    with pytest.raises(ForbiddenError) as refused:
        tracked("http://mlflow.example.org").tell(BEGIN)
    message = "the tracker wants to reach mlflow.example.org, which [tracking.mlflow]: hosts does not name"
    assert refused.value.message == message


def test_too_much_at_one_time_is_told_as_such(tracked, other):
    busy = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "too many for this workspace"}
    other[0][:] = [(429, json.dumps(busy).encode())]
    with pytest.raises(RateLimitedError, match=f"MLflow at {other[1]} is asked too much"):
        tracked(other[1]).tell(BEGIN)


def test_of_a_batch_that_is_refused_in_part_the_rest_is_stored(server, client):
    """One name that MLflow does not take, among three."""
    sink, begun = MlflowSink(server), begun_at("in-part")
    points = [Point(begun.place, 2.0, name, 1, 0.5) for name in ("Test:AUC", "what?", "Test:Loss")]
    taken = sink.take([begun, *points])
    assert taken.refused == 1
    assert "what?" in taken.why
    assert set(run_named(client, "in-part-server", "r-1").data.metrics) == {"Test:AUC", "Test:Loss"}


def test_what_was_deleted_there_is_told_and_counted(server, client):
    sink, begun = MlflowSink(server), begun_at("deleted")
    assert sink.take([begun]).refused == 0
    client.delete_run(run_named(client, "deleted-server", "r-1").info.run_id)
    lost = MlflowSink(server).take([Point(begun.place, 2.0, "Test:AUC", 1, 0.5)])
    assert lost.refused == 1
    assert lost.why == "MLflow has no run deleted-server-r-1: it was deleted there"
    client.delete_experiment(client.get_experiment_by_name("deleted-server").experiment_id)
    with pytest.raises(ConfigError, match="experiment 'deleted-server' was deleted there") as refused:
        MlflowSink(server).take([begun])
    assert refused.value.hint.startswith("mlflow experiments restore")


def begun_at(prefix):
    return Begun(Place(f"{prefix}-server", "r-1"), 1.0, {"round": "3"}, {"septum.run": "r-1"})
