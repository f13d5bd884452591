"""Runs are stored in SageMaker Experiments, as moto's server keeps them; what goes wrong is said in one sentence.

The process that speaks to it may reach this machine's loopback alone: what it looks up elsewhere fails the test.
"""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.adapters.tracking.answering import answering
from tests.adapters.tracking.services import CREDENTIALS, REGION, moto_server

from septum.adapters.tracking.naming import DEFAULT_PARAMETERS, names_of
from septum.adapters.tracking.process import Desk, ProcessTracker, Setup
from septum.adapters.tracking.registry import TRACKERS
from septum.adapters.tracking.sagemaker_sink import SagemakerSink
from septum.errors import AuthError, ConfigError, ConnectionFailedError, MissingExtraError, RateLimitedError
from septum.ports.tracker import RoundMeasured, RunEnded, RunStarted, SiloMeasured, SiloStarted, TrackerSettings
from septum.protocol.messages import Outcome
from septum.testing.contracts.samples import METRICS, new_run

pytestmark = [pytest.mark.processes, pytest.mark.filterwarnings("ignore")]

PLAN = new_run("r-1").plan
BEGIN = RunStarted("r-1", 10.0, PLAN)
MODEL = "blake3:" + "0" * 64
AT = 1_700_000_000.75


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Credentials that nobody else has, and no file of anybody's."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**CREDENTIALS, "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def client(server, environment):
    import boto3  # heavy

    environment.setenv("AWS_ENDPOINT_URL", server)
    return boto3.client("sagemaker")


def measured(round_, auc):
    return RoundMeasured("r-1", AT + round_, round_, replace(METRICS, roc_auc=auc))


def test_a_run_is_stored_and_again_changes_nothing(server, client, tmp_path):
    settings = {"prefix": "fed-heart-disease", "hosts": server.removeprefix("http://"), "region": REGION}
    for _ in range(2):
        with closing(TRACKERS["sagemaker"](TrackerSettings(tmp_path, settings))) as tracker:
            tracker.tell(replace(BEGIN, at=AT))
            for round_ in range(12):  # more than one batch takes
                tracker.tell(measured(round_, round_ / 16))
            tracker.tell(RunEnded("r-1", AT + 20, Outcome.FINISHED, "", MODEL))
    name = "fed-heart-disease-server-r-1"
    assert client.describe_trial(TrialName=name)["ExperimentName"] == "fed-heart-disease-server"
    found = client.describe_trial_component(TrialComponentName=name)
    assert found["Status"]["PrimaryStatus"] == "Completed"
    assert found["Parameters"]["learning-rate"] == {"NumberValue": 0.001}
    assert found["Parameters"]["center"] == {"StringValue": "cleveland, hungary"}
    assert found["InputArtifacts"]["septum.plan_digest"]["Value"] == PLAN.digest
    assert found["OutputArtifacts"]["septum.model"]["Value"] == MODEL
    assert found["StartTime"] == datetime.fromtimestamp(int(AT), UTC)
    (auc,) = [one for one in found["Metrics"] if one["MetricName"] == "Test:AUC"]
    assert (auc["Count"], auc["Last"], auc["TimeStamp"]) == (12, 11 / 16, datetime.fromtimestamp(int(AT), UTC))
    assert {one["MetricName"] for one in found["Metrics"]} == {"Test:AUC", "Test:Loss"}
    asked = {"Filters": [{"Name": "ExperimentName", "Operator": "Equals", "Value": "fed-heart-disease-server"}]}
    (one,) = client.search(Resource="Experiment", SearchExpression=asked)["Results"]
    assert one["Experiment"]["ExperimentName"] == "fed-heart-disease-server"


def inline(prefix):
    """One that speaks to the service from this very process."""
    setup = Setup("sagemaker", {"region": ""}, "/", None, "")
    return ProcessTracker(setup, names_of(prefix, DEFAULT_PARAMETERS, ""), asked=Desk())


def test_each_silo_is_a_client_with_its_rank(client):
    tracker = inline("ranked")
    for rank, silo in enumerate(PLAN.silos, start=1):
        told = [
            SiloStarted("r-1", AT, silo, rank, PLAN, train_rows=100 * rank, device="cpu"),
            SiloMeasured("r-1", AT, silo, rank, 1, replace(METRICS, roc_auc=rank / 4), 0.5),
        ]
        tracker.tell_silos(told)
    for rank in (1, 2):
        found = client.describe_trial_component(TrialComponentName=f"ranked-client-{rank}-r-1")
        assert found["Parameters"]["Train Data Size"] == {"NumberValue": 100.0 * rank}
        values = {one["MetricName"]: one["Last"] for one in found["Metrics"]}
        assert values == {"Validation:AUC": rank / 4, "Training:Loss": 0.5}


@contextmanager
def service(environment, *answers):
    with answering(list(answers)) as (url, asked):
        environment.setenv("AWS_ENDPOINT_URL", url)
        yield asked


def problem(kind, message):
    return 400, json.dumps({"__type": kind, "message": message}).encode()


def test_missing_credentials_are_said_with_where_they_go(environment):
    for name in CREDENTIALS:
        environment.delenv(name)
    with pytest.raises(ConfigError, match=r"\[tracking.sagemaker\]: You must specify a region") as refused:
        inline("fed").tell(BEGIN)
    assert "AWS_DEFAULT_REGION" in refused.value.hint
    environment.setenv("AWS_DEFAULT_REGION", REGION)
    with service(environment, (200, b"{}")), pytest.raises(AuthError, match="Unable to locate credentials") as denied:
        inline("fed").tell(BEGIN)
    assert "AWS_ACCESS_KEY_ID" in denied.value.hint


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (problem("ThrottlingException", "Rate exceeded"), RateLimitedError, "SageMaker is asked too much: .*Rate"),
        (problem("AccessDeniedException", "not authorized"), AuthError, "SageMaker does not accept us: .*not auth"),
        ((500, b"{}"), ConnectionFailedError, "SageMaker cannot be asked"),
    ],
)
def test_what_may_go_well_later_is_said_and_comes_again(environment, answer, error, message):
    with service(environment, answer) as asked, pytest.raises(error, match=message):
        inline("fed").tell(BEGIN)
    assert len(asked) == 1  # trying again is septum's own business


def test_of_a_batch_that_is_refused_in_part_the_rest_is_stored_and_what_is_refused_is_counted(environment):
    errors = [{"Code": "VALIDATION_ERROR", "MetricIndex": 1}, {"Code": "CONFLICT_ERROR", "MetricIndex": 0}]
    names, told = names_of("fed", DEFAULT_PARAMETERS, ""), measured(3, 0.5)
    with service(environment, (200, json.dumps({"Errors": errors}).encode())):
        taken = SagemakerSink("").take(list(names.of_run(told)))
    assert taken.refused == 1  # what is there already is stored
    assert taken.why == "SageMaker refuses Test:Loss of step 3 of fed-server-r-1: VALIDATION_ERROR"
    errors[1]["Code"] = "INTERNAL_ERROR"
    later = pytest.raises(ConnectionFailedError, match="could not take 1 of 2 points of fed-server-r-1")
    with service(environment, (200, json.dumps({"Errors": errors}).encode())), later:
        SagemakerSink("").take(list(names.of_run(told)))


def test_settings_that_cannot_be_used_are_named(tmp_path, monkeypatch):
    for values, message in (({"region": "here"}, "region is 'here'"), ({"uri": "x"}, "unknown key 'uri'")):
        with pytest.raises(ConfigError) as refused:
            TRACKERS["sagemaker"](TrackerSettings(tmp_path, values))
        assert message in refused.value.message
    monkeypatch.setattr("septum.adapters.tracking.experiments.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="boto3"):
        TRACKERS["sagemaker"](TrackerSettings(tmp_path, {}))
