"""Trackers find a run under the reference's names, and of what is not known nothing is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from septum import __version__
from septum.adapters.tracking.naming import DEFAULT_PARAMETERS, names_of
from septum.adapters.tracking.records import Begun, Over, Point
from septum.errors import ConfigError
from septum.ports.tracker import (
    FinalModel,
    RoundMeasured,
    RunEnded,
    RunStarted,
    SiloEnded,
    SiloMeasured,
    SiloStarted,
)
from septum.protocol.messages import Outcome
from septum.protocol.plan import Masking, Private, StrategyRef
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.query import Query, QueryColumn
from septum.testing.contracts.samples import METRICS, new_run

NAMES = names_of("fed-heart-disease", DEFAULT_PARAMETERS, "[tracking.mlflow]")
HYPER = {"epochs": 1, "lr": 1e-3, "batch_size": 4, "optimizer": "adam", "weight_decay": 0.0, "seed": 7}
PLAN = replace(new_run("r-1").plan, hyper=HYPER)
REFERENCE = {
    "epochs": "1",
    "learning-rate": "0.001",
    "batch-size": "4",
    "client-optimizer": "adam",
    "weight-decay": "0.0",
}


def test_a_run_is_the_servers_entry_with_the_references_parameters():
    (begun,) = NAMES.of_run(RunStarted("r_1", 10.0, PLAN))
    assert isinstance(begun, Begun)
    assert (begun.place.experiment, begun.place.name) == ("fed-heart-disease-server", "fed-heart-disease-server-r-1")
    assert begun.parameters == {**REFERENCE, "device": "cpu", "center": "cleveland, hungary", "round": "3"}


def test_a_silo_is_a_clients_entry_with_its_rank():
    told = [
        SiloStarted("r-1", 10.0, "hungary", 2, PLAN, train_rows=195, device="cpu"),
        SiloMeasured("r-1", 11.0, "hungary", 2, 1, replace(METRICS, roc_auc=0.75), 0.5),
        SiloEnded("r-1", 12.0, "hungary", 2, Outcome.STOPPED),
    ]
    begun, auc, loss, over = NAMES.of_silos(told)
    assert isinstance(begun, Begun)
    assert begun.place.experiment == "fed-heart-disease-client-2"
    assert begun.parameters == {**REFERENCE, "Train Data Size": "195", "device": "cpu", "center": "hungary"}
    assert auc == Point(begun.place, 11.0, "Validation:AUC", 1, 0.75)
    assert loss == Point(begun.place, 11.0, "Training:Loss", 1, 0.5)
    assert over == Over(begun.place, 12.0, Outcome.STOPPED, {})


def test_what_is_not_known_is_left_out():
    (begun,) = NAMES.of_silos([SiloStarted("r-1", 10.0, "hungary", 2, replace(PLAN, hyper={"lr": 0.5}))])
    assert begun.parameters == {"learning-rate": "0.5", "center": "hungary"}
    assert list(NAMES.of_silos([SiloMeasured("r-1", 11.0, "hungary", 2, 1, METRICS)])) == []  # rows of one class
    (loss,) = NAMES.of_run(RoundMeasured("r-1", 12.0, 2, METRICS))
    assert (loss.metric, loss.step, loss.value) == ("Test:Loss", 2, METRICS.log_loss)


def test_a_device_that_is_a_hyper_parameter_goes_first():
    (begun,) = NAMES.of_run(RunStarted("r-1", 10.0, replace(PLAN, hyper={"device": "cuda:0"})))
    assert begun.parameters["device"] == "cpu"  # of the server: what it aggregates on
    (begun,) = NAMES.of_silos([SiloStarted("r-1", 1.0, "hungary", 2, replace(PLAN, hyper={"device": "cuda:0"}))])
    assert begun.parameters["device"] == "cuda:0"


def test_where_septum_trains_by_itself_its_own_settings_are_stored():
    """An app's hyper-parameters have no part in training with enforced differential privacy."""
    privacy = Privacy(target_epsilon=5.0, batch=32, learning_rate=0.25)
    enforced = replace(PLAN, masking=Masking(), privacy=privacy, early_stopping=None, strategy=StrategyRef())
    told = SiloStarted("r-1", 10.0, "hungary", 2, enforced, device="cpu")
    (begun,) = NAMES.of_silos([told])
    assert begun.parameters == {"learning-rate": "0.25", "batch-size": "32", "device": "cpu", "center": "hungary"}
    attested = replace(enforced, privacy=replace(privacy, strength=Strength.ATTESTED))
    (begun,) = NAMES.of_silos([replace(told, plan=attested)])
    assert begun.parameters == {**REFERENCE, "device": "cpu", "center": "hungary"}


def test_a_run_can_be_made_again_from_its_tags():
    (begun,) = NAMES.of_run(RunStarted("r-1", 10.0, PLAN))
    (over,) = NAMES.of_run(RunEnded("r-1", 15.0, Outcome.FINISHED, "", "blake3:" + "0" * 64))
    tags = {**begun.tags, **over.tags}
    assert tags["septum.plan_digest"] == PLAN.digest
    assert tags["septum.app_digest"] == PLAN.app.digest
    assert tags["septum.model"] == "blake3:" + "0" * 64
    assert tags["septum.version"] == __version__
    assert tags["septum.reproduce"] == "septum run reproduce r-1"
    assert json.loads(tags["septum.hyper"]) == HYPER
    assert "septum.reason" not in tags  # there was none


def test_statistics_that_were_asked_are_no_experiment():
    query = Query((QueryColumn("chol"),))
    plan = replace(PLAN, early_stopping=None)
    asked = replace(plan, query=query, rounds=1, hyper={}, strategy=StrategyRef(), masking=Masking())
    assert list(NAMES.of_run(RunStarted("r-1", 10.0, asked))) == []


def test_a_model_without_the_silos_own_parameters_is_said_to_be_in_part():
    found = FinalModel("r-1", 3, "blake3:" + "0" * 64, PLAN, Path("/m"), None)
    assert NAMES.of_model(1.0, found).shared
    private = replace(PLAN, private=Private(parameters=("head.*",)))
    assert not NAMES.of_model(1.0, replace(found, plan=private)).shared


@pytest.mark.parametrize(
    ("prefix", "parameters", "message"),
    [
        ("fed heart", "", "prefix is 'fed heart'"),
        ("", "", "prefix is ''"),
        ("fed--heart", "", "prefix is 'fed--heart'"),
        ("fed", "learning-rate", "parameters has 'learning-rate', which is not NAME=HYPER_PARAMETER"),
        ("fed", "learning-rate=lr|", "parameters has"),
        ("fed", "=lr", "parameters has"),
    ],
)
def test_names_that_cannot_be_are_refused(prefix, parameters, message):
    with pytest.raises(ConfigError) as refused:
        names_of(prefix, parameters, "[tracking.mlflow]")
    assert message in refused.value.message
    assert refused.value.hint
