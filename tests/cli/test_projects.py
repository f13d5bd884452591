"""Groups and projects on the command line, against a real coordinator."""

from __future__ import annotations

import pytest
from tests.coordinator.running import Running
from tests.coordinator.visitors import person

pytestmark = pytest.mark.served


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("coordinator"))
    for name in ("north", "south", "west"):
        found.enrolled(name)
    yield found
    found.stop()


@pytest.fixture
def operator(septum, running):
    """Call a command with the operator's access."""
    return lambda *arguments: septum(*arguments, "--operator-file", running.config.data_dir / "operator.json")


def data(done):
    assert done.code == 0, done.out + done.err
    return done.envelope["data"]


def test_a_group_is_made_changed_and_deleted(operator):
    assert data(operator("group", "create", "heart", "north", "south", "--json"))["silos"] == ["north", "south"]
    assert data(operator("group", "add", "heart", "west", "north", "--json"))["silos"] == ["north", "south", "west"]
    assert data(operator("group", "remove", "heart", "north", "west", "--json"))["silos"] == ["south"]
    assert "south" in operator("group", "show", "heart").out
    assert operator("group", "list").out.splitlines()[1].split() == ["heart", "south", "nobody"]
    assert data(operator("group", "delete", "heart", "--json"))["status"] == "deleted"
    assert "septum group create" in operator("group", "list").out
    assert operator("group", "add", "heart", "north").code == 2


def test_runs_are_submitted_to_a_project_and_listed_by_it(operator, running, septum, example):
    operator("group", "create", "cardio", "north", "south")
    made = data(operator("project", "create", "sepsis", "--group", "cardio", "--description", "Who gets it", "--json"))
    assert (made["silos"], made["organisations"]) == (["north", "south"], ["default"])
    run = data(operator("run", "submit", example, "--inspect", "--project", "sepsis", "--json"))
    assert [silo["name"] for silo in run["silos"]] == ["north", "south"]
    assert run["project"] == "sepsis"
    assert "project   sepsis" in operator("run", "show", run["id"]).out
    free = data(operator("run", "submit", example, "--inspect", "--json"))
    assert len(free["silos"]) == 3
    refused = operator("run", "submit", example, "--inspect", "--project", "sepsis", "--silos", "north,west", "--json")
    assert refused.code == 2
    assert "not in group 'cardio' of project 'sepsis': west" in refused.envelope["error"]["message"]
    again = data(operator("run", "clone", run["id"], "--app", example, "--json"))
    assert again["project"] == "sepsis"

    def listed(*options):
        return [one["id"] for one in data(operator("run", "list", *options, "--json"))["runs"]]

    assert listed("--project", "sepsis") == [again["id"], run["id"]]
    assert listed("--status", "gathering", "--app", "heart-disease") == [again["id"], free["id"], run["id"]]
    assert listed("--status", "finished", "--status", "failed") == []
    assert operator("run", "list", "--status", "gatherin").code == 2
    assert operator("run", "list", "--project", "none").code == 2
    visitor = person(running, "rita", "researcher@project:sepsis")
    mine = septum(
        "run", "list", "--url", running.url, "--token", visitor.token, "--ca", running.access.ca_file, "--json"
    )
    assert [one["id"] for one in data(mine)["runs"]] == [again["id"], run["id"]]


def test_a_closed_project_says_so(operator, example):
    operator("group", "create", "lung", "north")
    operator("project", "create", "asthma", "--group", "lung")
    assert data(operator("project", "close", "asthma", "--json"))["closed"]
    assert "closed" in operator("project", "list").out
    assert "it takes no new runs" in operator("project", "show", "asthma").out
    refused = operator("run", "submit", example, "--inspect", "--project", "asthma", "--json")
    assert (refused.code, refused.envelope["error"]["code"]) == (1, "conflict")
    assert operator("group", "delete", "lung").code == 1
