"""`septum demo --tracker`: exactly the reference's names are stored, by the coordinator and by each hospital itself.

Real services on this machine. Every process may reach theirs alone, by the silos' policies and the coordinator's
`hosts`; a name that is looked up besides fails the test, for then nothing is stored.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from tests.adapters.tracking.services import CREDENTIALS, mlflow_server, moto_server
from tests.e2e.runs import APP, FILES, FOLDER, OPEN, a_plan, undisturbed

from septum.cli.demo_tracker import DemoTracking
from septum.cli.federation import Federation
from septum.client import Client
from septum.protocol.facts import RunEnded
from septum.silo.track_spool import read_tracked, waiting_in

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

ROUNDS = 3
SILOS = ["cleveland", "hungary", "long-beach-va", "switzerland"]
TRAINING = {"epochs", "learning-rate", "batch-size", "client-optimizer", "weight-decay", "device", "center"}
SERVER = (TRAINING | {"round"}, {"Test:AUC", "Test:Loss"})
CLIENT = (TRAINING | {"Train Data Size"}, {"Validation:AUC", "Training:Loss"})
TRAIN_ROWS = {"cleveland": 199, "hungary": 172, "long-beach-va": 85, "switzerland": 30}


def demo(folder, tracker, environment):
    command = [sys.executable, "-m", "septum", "demo", "--json", "--no-compare", "--rounds", str(ROUNDS)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "SAGEMAKER_"))}
    environment = {**kept, "AWS_EC2_METADATA_DISABLED": "true", **environment}
    done = subprocess.run(
        [*command, "--tracker", tracker], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["tracked"] == {tracker: list(experiments())}
    return data


def experiments():
    """Every experiment, with the silo that it is of and the names that it has to hold."""
    clients = {f"fed-heart-disease-client-{rank}": (silo, *CLIENT) for rank, silo in enumerate(SILOS, start=1)}
    return {"fed-heart-disease-server": ("", *SERVER), **clients}


def test_mlflow_has_the_references_names_and_a_model_that_predicts(tmp_path):
    with mlflow_server(tmp_path) as url:
        data = demo(tmp_path, "mlflow", {"MLFLOW_TRACKING_URI": url})
        from mlflow import MlflowClient  # heavy

        client = MlflowClient(url)
        found = {experiment.name: experiment for experiment in client.search_experiments()}
        assert found.keys() - {"Default"} == experiments().keys()
        for name, (silo, parameters, metrics) in experiments().items():
            (run,) = client.search_runs([found[name].experiment_id])  # one for the RUN, not one a round
            assert run.info.run_name == f"{name}-{data['run']}"
            assert run.info.status == "FINISHED"
            assert set(run.data.params) == parameters, name
            assert set(run.data.metrics) == metrics, name
            assert run.data.tags["septum.plan_digest"] == data["plan_digest"]
            assert run.data.tags["septum.reproduce"] == f"septum run reproduce {data['run']}"
            for metric in metrics:
                steps = [one.step for one in client.get_metric_history(run.info.run_id, metric)]
                assert steps == list(range(1 if metric == "Training:Loss" else 0, ROUNDS + 1)), metric
            if silo:
                assert run.data.params["center"] == silo
                assert run.data.params["Train Data Size"] == str(TRAIN_ROWS[silo])
            else:
                check_server(url, run, data)


def check_server(url, run, data):
    import mlflow  # heavy
    import pandas

    assert run.data.metrics["Test:AUC"] == pytest.approx(data["roc_auc_all"])
    assert run.data.metrics["Test:Loss"] == pytest.approx(data["log_loss_all"])
    assert run.data.tags["septum.model"] == data["model_digest"]
    mlflow.set_tracking_uri(url)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    columns = {name: [float("nan")] for name in model.metadata.signature.inputs.input_names()}
    patient = {"age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2, "thalach": 150}
    row = columns | {name: [float(value)] for name, value in {**patient, "exang": 0, "oldpeak": 2.3}.items()}
    assert 0 < model.predict(pandas.DataFrame(row))["probability"][0] < 1


def test_sagemaker_has_the_references_names(tmp_path):
    with moto_server(tmp_path) as url:
        data = demo(tmp_path, "sagemaker", {**CREDENTIALS, "AWS_ENDPOINT_URL": url})
        import boto3  # heavy

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("sagemaker", region_name=CREDENTIALS["AWS_DEFAULT_REGION"], endpoint_url=url, **keys)
        found = {one["Experiment"]["ExperimentName"] for one in client.search(Resource="Experiment")["Results"]}
        assert found == experiments().keys()
        for name, (silo, parameters, metrics) in experiments().items():
            (trial,) = client.list_trials(ExperimentName=name)["TrialSummaries"]
            assert trial["TrialName"] == f"{name}-{data['run']}"
            component = client.describe_trial_component(TrialComponentName=trial["TrialName"])
            assert component["Status"]["PrimaryStatus"] == "Completed"
            assert set(component["Parameters"]) == parameters, name
            stored = {one["MetricName"]: one for one in component["Metrics"]}
            assert stored.keys() == metrics, name
            assert {one["Count"] for one in stored.values()} <= {ROUNDS, ROUNDS + 1}
            assert all(one["TimeStamp"].microsecond == 0 for one in stored.values())
            if not silo:
                assert stored["Test:AUC"]["Last"] == pytest.approx(data["roc_auc_all"])


def test_a_tracker_that_never_answers_neither_delays_nor_changes_a_run(tmp_path):
    """Of the coordinator and of each silo; what is not stored waits."""
    tmp_path.chmod(0o711)
    plan = a_plan(ROUNDS)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # it takes connections, and says nothing
        authority = f"127.0.0.1:{deaf.getsockname()[1]}"
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{authority}"}
        tracking = DemoTracking({"sagemaker": {"prefix": "fed"}}, (authority,), environment)
        with Federation(tmp_path, FOLDER, APP.app.name, FILES, policy=OPEN, tracking=tracking) as federation:
            with Client(federation.start()) as client:
                run = client.submit(plan, key="one")
                *_, last = client.watch(run.id)
                assert isinstance(last.fact, RunEnded)
                assert client.run(run.id).model == undisturbed(plan)
            for site in federation.sites:
                folder = site.folder / "state"
                until(lambda folder=folder: waiting_in(folder, "sagemaker") == 2 * ROUNDS + 3)
                assert read_tracked(folder, "sagemaker").stored == 0


def until(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 20 s")


def test_a_demo_that_does_not_know_where_to_store_says_so_before_it_starts(tmp_path):
    command = [sys.executable, "-m", "septum", "demo", "--json", "--tracker"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    for tracker, said in (
        ("mlflow", "MLFLOW_TRACKING_URI is ''"),
        ("sagemaker", "AWS_DEFAULT_REGION names no region"),
        ("mlfow", "did you mean 'mlflow'"),
    ):
        done = subprocess.run([*command, tracker], cwd=tmp_path, capture_output=True, text=True, check=False, env=clean)
        assert done.returncode == 2
        assert said in done.stdout
