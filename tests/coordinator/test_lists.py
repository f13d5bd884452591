"""Lists of the public API: all of them in pages, and narrowed by the coordinator."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.coordinator.running import Running
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import operator, person

from septum.client import Client
from septum.coordinator.api.paging import MAX_LIMIT
from septum.protocol.facts import RunCreated, RunEnded
from septum.protocol.plan import Masking, Plan
from septum.protocol.query import Query, QueryColumn

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary", "switzerland")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    for silo in SILOS:
        running.enrolled(silo)
    here = operator(running)
    for name in ("north", "south"):
        here.told("POST", "/organisations", {"name": name, "title": f"The {name}"})
        here.told("POST", "/groups", {"name": name, "silos": ["cleveland" if name == "north" else "hungary"]})
        here.told("POST", "/projects", {"name": name, "group": name, "description": f"about {name}"})
    person(running, "ada", "viewer", organisation="north")
    person(running, "grace", "researcher")
    with Client(running.access) as client:
        for number in range(3):
            plan = replace(plan_of(("cleveland",), seed=number), name=f"heart {number}")
            client.stop(client.submit(plan, key=f"k{number}").id)
    yield running
    running.stop()


@pytest.fixture
def here(coordinator):
    return operator(coordinator)


def names(here, path):
    return [one.get("name", one.get("id")) for one in here.items(path)]


def test_every_list_is_paged_by_the_same_two_parameters(coordinator):
    schema = json.loads(coordinator.ask("GET", "/api/v1/openapi.json").body)
    schemas, lists = schema["components"]["schemas"], []
    for path, methods in schema["paths"].items():
        content = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        shape = content.get("application/json", {}).get("schema", {})
        shape = schemas[shape["$ref"].rpartition("/")[2]] if "$ref" in shape else shape
        assert shape.get("type") != "array", f"{path}: a list without pages"
        if "items" in shape.get("properties", {}):
            lists.append(path)
            asked = {one["name"]: one["schema"] for one in methods["get"]["parameters"] if one["in"] == "query"}
            assert asked["limit"]["maximum"] == MAX_LIMIT, path
            assert asked["after"]["type"] == "string", path
            assert "next" in shape["properties"], path
    assert len(lists) >= 10


@pytest.mark.parametrize(
    "path", ["/runs", "/silos", "/groups", "/projects", "/organisations", "/people", "/runs/{run}/journal"]
)
def test_pages_cover_each_item_once_and_the_last_says_so(here, path):
    path = path.format(run=here.items("/runs")[0]["id"])
    whole, found, after = here.told("GET", f"{path}?limit=1000"), [], ""
    assert whole["next"] is None
    assert len(whole["items"]) >= 2
    for _ in range(len(whole["items"]) + 1):
        page = here.told("GET", f"{path}?limit=1&after={after}")
        assert len(page["items"]) <= 1
        found += page["items"]
        after = page["next"] or ""
        if not after:
            break
    assert found == whole["items"]


@pytest.mark.parametrize("path", ["/silos", "/groups", "/people", "/runs/{run}/journal"])
def test_a_place_that_no_list_gave_out_is_refused(here, path):
    path = path.format(run=here.items("/runs")[0]["id"])
    for after in ("nonsense", "WzEsMl0", "e30", "%00", "1e9"):  # [1,2] and {} in base64
        answer = here.ask("GET", f"{path}?after={after}")
        assert (answer.status, answer.error["code"]) == (400, "message"), after


def test_a_place_in_another_list_is_no_place_in_this_one(here):
    after = here.told("GET", "/silos?limit=1")["next"]
    answer = here.ask("GET", f"/runs/{here.items('/runs')[0]['id']}/journal?after={after}")
    assert (answer.status, answer.error["code"]) == (400, "message")


def test_a_run_says_when_it_ended(here):
    """As its journal has it: while it is at work, in memory, and in a list."""
    listed = here.items("/runs")
    for run in listed:
        (ended,) = [
            entry["at"] for entry in here.items(f"/runs/{run['id']}/journal") if entry["fact"]["kind"] == "run_ended"
        ]
        assert run["ended_at"] == here.told("GET", f"/runs/{run['id']}")["ended_at"] == ended >= run["created_at"]
    assert listed


def test_runs_are_found_by_name_text_submitter_and_time(coordinator, here):
    grace = person(coordinator, "hopper", "researcher")
    body = json.dumps({**here.told("GET", f"/runs/{here.items('/runs')[0]['id']}/plan"), "name": "hers"}).encode()
    made = grace.ask("POST", "/runs", body, idempotency_key="hers")
    run = json.loads(made.body)
    assert (made.status, run["submitter"]) == (201, "hopper")
    again = json.loads(here.ask("POST", "/runs", body, idempotency_key="hers").body)
    assert (again["id"], again["submitter"]) == (run["id"], "hopper")
    here.told("POST", f"/runs/{run['id']}/stop")
    assert names(here, "/runs?submitter=hopper") == ["hers"]
    assert names(here, "/runs?q=HOPP") == ["hers"]
    assert names(here, "/runs?name=heart%201") == ["heart 1"]
    assert names(here, "/runs?q=heart&submitter=operator&status=stopped") == ["heart 2", "heart 1", "heart 0"]
    assert names(here, f"/runs?since={run['created_at']}") == ["hers"]
    assert names(here, "/runs?q=%25") == []
    assert here.told("GET", f"/runs/{run['id']}")["submitter"] == "hopper"


def test_runs_that_ask_for_statistics_are_found_while_they_do_and_after(coordinator, here):
    query, app = Query((QueryColumn("age"),)), plan_of(("cleveland",)).app
    asking = Plan("asks", app=app, hyper={}, silos=SILOS, rounds=1, masking=Masking(), query=query)
    with Client(coordinator.access) as client:
        run = client.submit(asking, key="asks").id
        assert [one.id for one in client.runs(asks=True)] == [run]
        client.stop(run)
        assert [one.id for one in client.runs(asks=True)] == [run]
    assert names(here, "/runs?asks=true&status=stopped&limit=1") == ["asks"]
    assert names(here, "/runs?asks=true&status=finished") == names(here, "/runs?asks=true&submitter=hopper") == []
    assert "asks" in names(here, "/runs?asks=false")
    assert here.ask("GET", "/runs?asks=perhaps").status == 422


def test_silos_people_and_the_others_are_found(here):
    assert names(here, "/silos?group=north") == ["cleveland"]
    assert names(here, "/silos?q=LAND&status=offline") == ["cleveland", "switzerland"]
    assert names(here, "/silos?status=online") == names(here, "/silos?organisation=north") == []
    assert names(here, "/silos?label=region=north") == []
    assert here.ask("GET", "/silos?group=nowhere").status == 404
    assert names(here, "/people?role=viewer") == ["ada"]
    assert names(here, "/people?organisation=north&q=AD") == ["ada"]
    assert here.ask("GET", "/people?role=king").status == 422
    assert names(here, "/groups?q=nor") == names(here, "/projects?q=about%20nor") == ["north"]
    assert names(here, "/organisations?q=THE%20SOUTH") == ["south"]


def test_facts_of_one_kind_are_asked_for_alone(coordinator, here):
    with Client(coordinator.access) as client:
        run = client.runs(submitter="operator")[0].id
        assert [type(entry.fact) for entry in client.journal(run, kinds=[RunEnded])] == [RunEnded]
        both = [RunCreated, RunEnded]
        assert [type(entry.fact) for entry in client.whole_journal(run, both)] == both
    answer = here.ask("GET", f"/runs/{run}/journal?kind=run_ende")
    assert (answer.status, answer.error["message"]) == (400, "kind='run_ende': did you mean 'run_ended'?")


def test_the_client_reads_lists_of_more_than_a_page(coordinator, monkeypatch):
    monkeypatch.setattr("septum.client.wire.PAGE", 1)
    with Client(coordinator.access) as client:
        assert [silo.name for silo in client.silos()] == list(SILOS)
        assert [silo.name for silo in client.silos(group="south")] == ["hungary"]
