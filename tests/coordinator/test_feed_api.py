"""The feed over the real API: what is told, by whom it was done, who sees it, live and page by page."""

from __future__ import annotations

import itertools
import json

import pytest
from tests.coordinator.running import Running, finish, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import API, PASSWORD, grant, operator, person

from septum.client import Client

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary", "switzerland")
KEYS = (f"f-{n}" for n in itertools.count())
SEEDS = itertools.count(5000)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), hold_s=0.5, approve_own=True)
    here = operator(running)
    here.told("POST", "/organisations", {"name": "basel"})
    running.silos = [running.enrolled(name) for name in SILOS]
    here.told("POST", "/groups", {"name": "heart", "silos": list(SILOS)})
    here.told("POST", "/projects", {"name": "sepsis", "group": "heart", "organisations": ["basel"]})
    here.told("POST", "/projects", {"name": "asthma", "group": "heart", "organisations": ["default"]})
    yield running
    running.stop()


def entries(visitor, query=""):
    """What somebody is told, oldest first: what has happened, about what, and who did it."""
    found = visitor.items(f"/activity{query}")
    assert [one["seq"] for one in found] == sorted((one["seq"] for one in found), reverse=True)
    return [one["change"] for one in reversed(found)]


def kinds(visitor, query=""):
    return [one["kind"] for one in entries(visitor, query)]


def submit(coordinator, in_project=""):
    with Client(coordinator.access) as client:
        return client.submit(plan_of(seed=next(SEEDS), gather_s=3600.0), key=next(KEYS), project=in_project).id


def about(change):
    return {name: value for name, value in change.items() if value and name not in ("kind", "by")}


def test_how_the_federation_came_about_is_told_with_who_did_it(coordinator):
    told = entries(operator(coordinator), "?limit=1000")
    seen = [(one["kind"], one["by"], about(one)) for one in told if one["kind"] != "silo.online"]
    silo = {"silo": "hungary", "organisation": "default"}
    assert ("organisation.added", "operator", {"organisation": "basel"}) in seen
    assert ("silo.invited", "operator", silo) in seen
    assert ("silo.enrolled", "", silo) in seen
    assert ("group.added", "operator", {"group": "heart"}) in seen
    assert ("project.added", "operator", {"group": "heart", "project": "sepsis"}) in seen


def test_a_run_is_told_from_its_submission_to_its_end_and_its_rounds_are_not(coordinator):
    paula = person(coordinator, "paula", "researcher")
    plan = plan_of(seed=next(SEEDS))
    run, told = start_round_one(coordinator.silos, plan, next(KEYS), 3)
    paula.told("POST", f"/runs/{run}/pause")
    paula.told("POST", f"/runs/{run}/resume")
    finish(coordinator.silos, run, told, 3)
    here = operator(coordinator)
    changes = entries(here, f"?run={run}")
    assert [(one["kind"], one["by"]) for one in changes] == [
        ("run.submitted", "operator"),
        ("run.started", ""),
        ("run.paused", "paula"),
        ("run.resumed", "paula"),
        ("run.ended", ""),
    ]
    assert (changes[-1]["outcome"], changes[-1]["app"]) == ("finished", "heart==1.0.0")
    stopped = submit(coordinator)
    paula.told("POST", f"/runs/{stopped}/stop", {"reason": "by mistake"})
    (last,) = entries(here, f"?run={stopped}&kind=run.ended")
    assert (last["by"], last["outcome"], last["reason"]) == ("paula", "stopped", "by mistake")


def test_what_becomes_of_a_model_is_told_to_those_who_see_its_project(coordinator):
    plan, key = plan_of(seed=next(SEEDS)), next(KEYS)
    run, told = start_round_one(coordinator.silos, plan, key, 3, project="sepsis")
    finish(coordinator.silos, run, told, 3)
    with Client(coordinator.access) as client:
        client.registered.register(run, "heart")
        client.registered.approve("heart", 1)
        client.registered.deploy("heart", 1, group="heart")
        client.registered.retire("heart", 1)
        client.registered.retire("heart", 1)
    changes = entries(operator(coordinator), "?kind=model")
    assert [(one["kind"], one["by"], one["project"], one["run"]) for one in changes] == [
        (f"model.{what}", "operator", "sepsis", run) for what in ("registered", "approved", "deployed", "retired")
    ]
    assert [one["model"] for one in changes] == ["heart", "heart 1", "heart 1", "heart 1"]
    mia = person(coordinator, "mia", "viewer@project:sepsis")
    noa = person(coordinator, "noa", "viewer@project:asthma")
    assert (len(kinds(mia, "?kind=model")), kinds(noa, "?kind=model")) == (4, [])


def test_the_same_request_again_tells_nothing(coordinator):
    here = operator(coordinator)
    run = submit(coordinator)
    here.told("POST", f"/runs/{run}/pause")
    here.told("PUT", "/groups/heart/silos/hungary")
    here.told("POST", "/people", {"name": "rex", "grants": [grant("viewer")]})
    before = entries(here, "?limit=1000")
    here.told("POST", f"/runs/{run}/pause")
    here.told("PUT", "/groups/heart/silos/hungary")  # it is in it
    here.told("PUT", "/people/rex/grants", {"grants": [grant("viewer")]})
    here.told("POST", "/people/rex/restore")
    assert here.ask("POST", "/people", {"name": "rex"}).status == 409
    assert entries(here, "?limit=1000") == before


def test_people_come_get_roles_and_tokens_and_go(coordinator):
    here = operator(coordinator)
    ines = person(coordinator, "ines", "viewer")
    made = ines.told("POST", "/tokens", {"title": "a script of mine"})
    here.told("PUT", "/people/ines/grants", {"grants": [grant("researcher@project:sepsis")]})
    ines.told("DELETE", f"/tokens/{made['about']['id']}")
    here.told("POST", "/people/ines/suspend")
    here.told("POST", "/people/ines/restore")
    here.told("POST", "/people/ines/reset")
    mine = [one for one in entries(here, "?limit=1000&kind=person&kind=token") if one["person"] == "ines"]
    assert [(one["kind"], one["by"]) for one in mine] == [
        ("person.invited", "operator"),
        ("person.joined", "ines"),
        ("token.made", "ines"),
        ("person.roles", "operator"),
        ("token.revoked", "ines"),
        ("person.suspended", "operator"),
        ("person.restored", "operator"),
        ("person.reset", "operator"),
    ]
    assert mine[3]["roles"] == ["researcher@project:sepsis"]
    whole = here.ask("GET", "/activity?limit=1000").body.decode()
    assert made["token"] not in whole
    assert "a script of mine" not in whole
    assert PASSWORD not in whole


@pytest.fixture(scope="module")
def told_of(coordinator):
    """Something of each noun, in and out of the project sepsis and the organisation basel."""
    here = operator(coordinator)
    runs = {name: submit(coordinator, name) for name in ("sepsis", "asthma", "")}
    here.told("POST", "/silos/zurich/invite?organisation=basel")
    here.told("POST", "/groups", {"name": "apart", "silos": ["hungary"]})
    here.told("POST", "/people", {"name": "bea", "organisation": "basel", "grants": [grant("viewer@basel")]})
    return runs


def test_who_has_a_role_over_a_project_sees_what_is_in_it_and_nothing_else(coordinator, told_of):
    emil = person(coordinator, "emil", "viewer@project:sepsis")
    told = entries(emil, "?limit=1000")
    runs = {one["run"] for one in told if one["kind"].startswith("run")}
    assert runs & set(told_of.values()) == {told_of["sepsis"]}
    assert {one["project"] for one in told if one["kind"].startswith("run")} == {"sepsis"}
    assert {one["project"] for one in told if one["kind"].startswith("project")} == {"sepsis"}
    assert {one["silo"] for one in told if one["kind"].startswith("silo")} == set(SILOS)
    assert {one["group"] for one in told if one["kind"].startswith("group")} == {"heart"}
    assert not [one for one in told if one["kind"].split(".")[0] in ("person", "token", "organisation")]


def test_who_has_a_role_over_an_organisation_sees_what_lies_in_it(coordinator, told_of):
    olga = person(coordinator, "olga", "silo-admin@basel", organisation="basel")
    told = entries(olga, "?limit=1000")
    assert {one["project"] for one in told if one["kind"].startswith("run")} == {"sepsis"}
    assert told_of["sepsis"] in {one["run"] for one in told}
    assert {one["person"] for one in told if one["kind"].startswith("person")} == {"bea", "olga"}
    assert {one["organisation"] for one in told if one["kind"].startswith("organisation")} == {"basel"}
    assert "zurich" in {one["silo"] for one in told}


def test_what_somebody_sees_of_the_feed_is_what_the_lists_show_them(coordinator, told_of):
    people = [
        person(coordinator, f"eye-{number}", *roles, organisation=home)
        for number, (home, *roles) in enumerate(
            [
                ("default", "viewer@project:asthma"),
                ("basel", "viewer@basel"),
                ("basel", "auditor@basel"),
                ("default", "auditor"),
                ("default", "viewer@basel", "researcher@project:asthma"),
                ("default",),
            ]
        )
    ]
    for one in people:
        lists = {
            "run": ("run", "/runs?limit=1000", "id"),
            "silo": ("silo", "/silos", "name"),
            "group": ("group", "/groups", "name"),
            "project": ("project", "/projects", "name"),
            "person": ("person", "/people", "name"),
            "organisation": ("organisation", "/organisations", "name"),
        }
        told = entries(one, "?limit=1000") if one.ask("GET", "/activity").status == 200 else []
        for noun, (field, path, name) in lists.items():
            listed = {item[name] for item in one.items(path)} if one.ask("GET", path).status == 200 else set()
            seen = {change[field] for change in told if change["kind"].startswith(f"{noun}.")}
            assert seen <= listed, (one.name, noun)
            assert seen or not listed or noun in ("person", "organisation"), (one.name, noun)


def test_a_token_without_the_right_to_runs_is_told_of_none(coordinator, told_of):
    petra = person(coordinator, "petra", "researcher")
    made = petra.told("POST", "/tokens", {"title": "t", "rights": ["silo.read"]})["token"]
    narrow = type(petra)(coordinator, made)
    assert {kind.split(".")[0] for kind in kinds(narrow, "?limit=1000")} == {"silo"}


def test_pages_cover_everything_once_and_filters_hold(coordinator, told_of):
    here = operator(coordinator)
    whole = here.items("/activity?limit=1000")
    paged, after = [], ""
    while page := here.items(f"/activity?limit=7&after={after}"):
        paged += page
        after = page[-1]["seq"]
    assert [one["seq"] for one in paged] == [one["seq"] for one in whole]
    assert {kind.split(".")[0] for kind in kinds(here, "?kind=run")} == {"run"}
    assert {one["project"] for one in entries(here, "?project=sepsis")} == {"sepsis"}
    assert {one["silo"] for one in entries(here, "?silo=hungary")} == {"hungary"}
    wrong = here.ask("GET", "/activity?kind=runs")
    assert (wrong.status, wrong.error["code"]) == (422, "config")
    assert "did you mean" in wrong.error["message"]
    assert here.ask("GET", "/events", last_event_id="x").status == 422


def test_what_happens_is_told_live_to_those_who_may_see_it_and_taken_up_where_it_broke(coordinator, told_of):
    eva = person(coordinator, "eva", "viewer@project:sepsis")
    connection = coordinator.connect()
    connection.request("GET", f"{API}/events?kind=run", headers={"authorization": f"Bearer {eva.token}"})
    stream = connection.getresponse()
    hidden, shown, next_one = (submit(coordinator, name) for name in ("asthma", "sepsis", "sepsis"))

    def frame(lines):
        number, data = lines.readline(), lines.readline()
        assert lines.readline() == b"\n"
        return int(number.removeprefix(b"id: ")), json.loads(data.removeprefix(b"data: "))

    number, entry = frame(stream)
    assert (entry["seq"], entry["change"]["run"], entry["change"]["kind"]) == (number, shown, "run.submitted")
    connection.close()
    again = coordinator.connect()
    headers = {"authorization": f"Bearer {eva.token}", "last-event-id": str(number)}
    again.request("GET", f"{API}/events?kind=run", headers=headers)
    assert frame(again.getresponse())[1]["change"]["run"] == next_one
    again.close()
    assert hidden in {one["run"] for one in entries(operator(coordinator))}


def test_a_role_that_is_taken_back_ends_what_is_seen_of_the_feed(coordinator, told_of, monkeypatch):
    monkeypatch.setattr("septum.coordinator.api.streams.KEEPALIVE_S", 0.1)
    udo = person(coordinator, "udo", "viewer@project:sepsis")
    connection = coordinator.connect()
    connection.request("GET", f"{API}/events?kind=run", headers={"authorization": f"Bearer {udo.token}"})
    stream = connection.getresponse()
    assert stream.readline() == b": nothing new\n"
    operator(coordinator).told("PUT", "/people/udo/grants", {"grants": [grant("viewer@project:asthma")]})
    for _ in range(4):  # two keep-alives: it was looked up anew
        stream.readline()
    submit(coordinator, "sepsis")
    seen = submit(coordinator, "asthma")
    line = stream.readline()
    while line.startswith(b":") or line == b"\n":
        line = stream.readline()
    assert seen in stream.readline().decode()
    connection.close()


def test_the_client_reads_pages_and_follows(coordinator, told_of):
    with Client(coordinator.access) as client:
        newest = client.feed.page(limit=1)[0]
        run = submit(coordinator)
        client.stop(run)
        watching = client.feed.watch(after=newest.seq, run=run)
        assert [next(watching).change.kind.value for _ in range(2)] == ["run.submitted", "run.ended"]
        from_now = client.feed.watch(kinds=["run"])
        later = submit(coordinator)
        assert next(from_now).change.run == later
        watching.close()
        from_now.close()


def test_the_oldest_go_when_there_are_more_than_are_kept(tmp_path):
    running = Running(tmp_path, feed_entries=100)
    try:
        here = operator(running)
        for number in range(90):
            here.told("POST", f"/silos/silo-{number}/invite")
        for number in range(20):
            here.told("POST", f"/silos/more-{number}/invite")
        assert len(operator(running).items("/activity?limit=1000")) == 110  # until it is trimmed
    finally:
        running.stop()
    running = Running(tmp_path, feed_entries=100)
    try:
        kept = operator(running).items("/activity?limit=1000")
        assert (len(kept), kept[-1]["seq"], kept[0]["change"]["silo"]) == (100, 11, "more-19")
    finally:
        running.stop()
