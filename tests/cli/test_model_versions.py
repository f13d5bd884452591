"""How registered models and deployments look to people."""

from __future__ import annotations

from dataclasses import replace

from septum.cli import model_version_views as views
from septum.protocol.deploying import DeployState, Told
from septum.protocol.facts import Metrics
from septum.protocol.registered import (
    Act,
    Deployment,
    DeploymentView,
    ModelStage,
    ModelVersionView,
    SiloState,
    said_of,
)
from septum.testing.contracts.registered import BOB, FIRST

VERSION = replace(FIRST, version=3, approved=BOB, metrics=Metrics(9, 0.5, 0.7, 0.6))
VIEW = ModelVersionView(VERSION, ModelStage.DEPLOYED, ("north",))
DEPLOYMENT = Deployment(7, "heart", 3, "", ("north", "south"), Act("ada", 0.0))


def test_a_version_is_shown_with_its_stage_and_what_to_do_next():
    line, data, following = views.version(replace(VIEW, stage=ModelStage.APPROVED, used_by=())).shown
    assert "heart 3: approved" in line
    assert VERSION.model.digest in line
    assert "by bob" in line
    assert following == "next: septum model deploy heart 3 --group GROUP"
    assert len(views.version(VIEW).shown) == 2
    assert data.rows == tuple((silo, "not said") for silo in VERSION.plan.silos)
    told = replace(VERSION, datasets={VERSION.plan.silos[0]: "blake3:12"})
    assert views.version(replace(VIEW, version=told)).shown[1].rows[0] == (VERSION.plan.silos[0], "blake3:12")
    (table,) = views.versions([VIEW]).shown
    assert table.rows == (("heart", "3", "deployed", "r-1 round 2", table.rows[0][4], "north"),)
    assert "0.6000" in table.rows[0][4]


def test_a_deployment_is_shown_silo_by_silo_with_what_was_replaced():
    states = (
        SiloState("north", Told(7, DeployState.FAILED, "it did not reach the bound"), 1.0),
        SiloState("west", Told(7, DeployState.ACTIVE), 1.0),
    )
    (table,) = views.deployments([DeploymentView(DEPLOYMENT, ("north", "south"), states)]).shown
    assert table.rows == (
        ("7", "heart 3", "north", "failed", "it did not reach the bound"),
        ("7", "heart 3", "south", "nothing yet", ""),
        ("7", "heart 3", "west", "replaced; was active", ""),
    )


def test_a_deployment_to_a_group_without_silos_says_so():
    empty = DeploymentView(replace(DEPLOYMENT, group="cardio", silos=()))
    (table,) = views.deployments([empty]).shown
    assert table.rows[0][2] == "group cardio, which has no silo"


def test_a_card_says_what_became_of_a_model():
    assert said_of(VIEW) == "heart 3: deployed; registered by ada, approved by bob; used by north"
    retired = replace(VIEW, version=replace(VERSION, retired=BOB), stage=ModelStage.RETIRED, used_by=())
    assert said_of(retired) == "heart 3: retired; registered by ada, approved by bob, retired by bob"
