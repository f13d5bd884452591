"""Groups, projects, and which runs a person sees, over the real API."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.coordinator.running import Running, finish, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import API, grant, operator, person

from septum.client import Client
from septum.protocol.codec import dumps, to_json
from septum.protocol.rights import Right, Scope, may, organisation, project, read_grant

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary", "switzerland")
OWNERS = {"sepsis": ("st-marys",), "asthma": ("basel",), "shared": ("basel", "st-marys")}
KEYS = (f"p-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), hold_s=0.5)
    here = operator(running)
    for name in ("st-marys", "basel"):
        here.told("POST", "/organisations", {"name": name})
    running.silos = [running.enrolled(name) for name in SILOS]
    running.enrolled("outside")
    here.told("POST", "/groups", {"name": "heart", "silos": list(SILOS)})
    for name, owners in OWNERS.items():
        here.told("POST", "/projects", {"name": name, "group": "heart", "organisations": list(owners)})
    yield running
    running.stop()


def submit(coordinator, in_project=""):
    """A run that waits for its silos."""
    with Client(coordinator.access) as client:
        return client.submit(plan_of(seed=next(SEEDS), gather_s=3600.0), key=next(KEYS), project=in_project).id


SEEDS = itertools.count(1000)


@pytest.fixture(scope="module")
def runs(coordinator):
    """Runs by id, with the project of each: two of each project and of none."""
    return {submit(coordinator, name): name for _ in range(2) for name in (*OWNERS, "")}


@pytest.fixture(scope="module")
def finished(coordinator):
    """A run of the project sepsis that has made its model."""
    plan = plan_of(seed=next(SEEDS))
    key = next(KEYS)
    with Client(coordinator.access) as client:
        run = client.submit(plan, key=key, project="sepsis").id
    # the same key, plan and project again is the same run
    told = start_round_one(coordinator.silos, plan, key, 3, project="sepsis")
    assert told[0] == run
    finish(coordinator.silos, *told, 3)
    return run


def ids(visitor, query=""):
    return [one["id"] for one in visitor.items(f"/runs{query}")]


# --- groups and projects -------------------------------------------------------------------------------------------


def test_silos_of_an_open_group_join_when_they_enrol_and_members_are_changed_by_name(coordinator):
    here = operator(coordinator)
    here.told("POST", "/groups", {"name": "open", "open_to": "default"})
    coordinator.enrolled("newcomer")
    assert here.told("GET", "/groups/open")["silos"] == ["newcomer"]
    assert here.told("PUT", "/groups/open/silos/hungary")["silos"] == ["hungary", "newcomer"]
    assert here.told("DELETE", "/groups/open/silos/newcomer")["silos"] == ["hungary"]
    assert here.ask("PUT", "/groups/open/silos/nobody").status == 404
    assert here.ask("DELETE", "/groups/open").status == 204
    assert here.ask("GET", "/groups/open").status == 404
    kept = here.ask("DELETE", "/groups/heart")
    assert (kept.status, kept.error["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/groups", {"name": "Heart"}, 422),
        ("/groups", {"name": "heart"}, 409),
        ("/groups", {"name": "x' OR '1'='1"}, 422),
        ("/groups", {"name": "more", "silos": ["nobody"]}, 404),
        ("/groups", {"name": "more", "open_to": "nowhere"}, 404),
        ("/groups", {"name": "more", "silos": "hungary"}, 400),
        ("/projects", {"name": "sepsis", "group": "heart"}, 409),
        ("/projects", {"name": "more", "group": "none"}, 404),
        ("/projects", {"name": "more", "group": "heart", "organisations": []}, 422),
        ("/projects", {"name": "more", "group": "heart", "organisations": ["nowhere"]}, 404),
        ("/projects", {"name": "more", "group": "heart", "description": "a\nb"}, 422),
        ("/projects", {"name": "more"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused(coordinator, path, body, status):
    answer = operator(coordinator).ask("POST", path, body)
    assert answer.status == status, answer.body
    assert "more" not in [one["name"] for one in operator(coordinator).items(path)]


def test_a_closed_project_keeps_its_runs_and_takes_no_new_ones(coordinator):
    here = operator(coordinator)
    here.told("POST", "/projects", {"name": "over", "group": "heart"})
    run = submit(coordinator, "over")
    assert here.told("POST", "/projects/over/close")["closed"]
    refused = post(here, "/runs?project=over", plan_of())
    assert (refused.status, refused.error["code"]) == (409, "conflict")
    assert ids(here, "?project=over") == [run]
    assert here.told("GET", f"/runs/{run}")["project"] == "over"
    assert here.ask("POST", "/projects", {"name": "over", "group": "heart"}).status == 409


def test_a_run_asks_the_silos_of_its_projects_group_alone(coordinator):
    here = operator(coordinator)
    refused = post(here, "/runs?project=sepsis", plan_of(("hungary", "outside")))
    assert (refused.status, refused.error["code"]) == (422, "config")
    assert "outside" in refused.error["message"]
    assert "hungary" not in refused.error["message"]
    assert post(here, "/runs", plan_of(("hungary", "outside"))).status == 201
    unknown = post(here, "/runs?project=none", plan_of())
    assert unknown.status == 404


def test_a_key_makes_one_run_in_one_project(coordinator):
    plan, key = plan_of(seed=next(SEEDS)), next(KEYS)
    with Client(coordinator.access) as client:
        run = client.submit(plan, key=key, project="sepsis")
        assert client.submit(plan, key=key, project="sepsis").id == run.id
    refused = post(operator(coordinator), "/runs?project=asthma", plan, key)
    assert (refused.status, refused.error["code"]) == (409, "conflict")
    assert "project" in refused.error["message"]


# --- who sees what -------------------------------------------------------------------------------------------------


def test_a_role_over_a_project_shows_its_runs_and_no_others(coordinator, runs, finished):
    one = person(coordinator, "sina", "researcher@project:sepsis")
    assert {run for run, name in runs.items() if name == "sepsis"} | {finished} <= set(ids(one))
    assert {view["project"] for view in one.items("/runs")} == {"sepsis"}
    assert [view["name"] for view in one.items("/projects")] == ["sepsis"]
    assert [view["name"] for view in one.items("/groups")] == ["heart"]
    assert [view["name"] for view in one.items("/silos")] == sorted(SILOS)
    assert one.ask("GET", "/silos/hungary").status == 200
    assert one.ask("GET", "/silos/outside").status == 404
    assert one.ask("DELETE", "/silos/hungary").status == 403
    other = next(run for run, name in runs.items() if name == "asthma")
    free = next(run for run, name in runs.items() if not name)
    for hidden in (other, free):
        for method, path in (
            ("GET", ""),
            ("GET", "/plan"),
            ("GET", "/journal"),
            ("GET", "/events"),
            ("GET", "/timeline"),
            ("POST", "/stop"),
            ("POST", "/pause"),
            ("POST", "/resume"),
        ):
            theirs = one.ask(method, f"/runs/{hidden}{path}")
            nobodys = one.ask(method, f"/runs/r-nnnnnnnnnnnn{path}")
            assert theirs.status == nobodys.status == 404, (method, path)
            assert theirs.body.replace(hidden.encode(), b"r-nnnnnnnnnnnn") == nobodys.body
        assert one.ask("GET", f"/models?run={hidden}").status == 404
        assert one.ask("GET", f"/runs?after={hidden}").status == 404
    assert one.ask("GET", "/runs?project=asthma").status == one.ask("GET", "/runs?project=none").status == 404
    assert post(one, "/runs?project=asthma", plan_of()).status == 404
    assert post(one, "/runs", plan_of()).status == 403
    assert post(one, "/runs?project=sepsis", plan_of(seed=next(SEEDS))).status == 201
    assert one.ask("POST", "/projects/asthma/close").status == 404
    assert one.ask("POST", "/projects/sepsis/close").status == 403


def test_a_viewer_of_a_project_posts_nothing(coordinator, runs):
    one = person(coordinator, "vivian", "viewer@project:sepsis")
    mine = next(run for run, name in runs.items() if name == "sepsis")
    assert one.ask("GET", f"/runs/{mine}/journal").status == 200
    for path in ("stop", "pause", "resume"):
        refused = one.ask("POST", f"/runs/{mine}/{path}")
        assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert post(one, "/runs?project=sepsis", plan_of()).status == 403


def test_a_model_is_downloaded_by_way_of_a_run_that_made_it(coordinator, finished, runs):
    one, viewer = (
        person(coordinator, name, f"{role}@project:sepsis") for name, role in (("mia", "researcher"), ("max", "viewer"))
    )
    digest = one.items(f"/models?run={finished}")[-1]["digest"]
    assert [model["run"] for model in one.items("/models")] == [finished]
    assert one.ask("GET", f"/models/{digest}?run={finished}").status == 200
    assert viewer.ask("GET", f"/models/{digest}?run={finished}").status == 403
    assert one.ask("GET", f"/models/{digest}").status == 403
    mine = next(run for run, name in runs.items() if name == "sepsis")
    assert one.ask("GET", f"/models/{digest}?run={mine}").status == 404
    stranger = person(coordinator, "stella", "researcher@project:asthma")
    assert stranger.ask("GET", f"/models/{digest}?run={finished}").status == 404
    assert stranger.items("/models") == []
    assert operator(coordinator).ask("GET", f"/models/{digest}").status == 200


def test_whoever_has_a_role_over_an_owner_sees_the_projects_runs(coordinator, runs):
    one = person(coordinator, "olga", "viewer@basel", organisation="basel")
    assert {view["project"] for view in one.items("/runs")} == {"asthma", "shared"}
    assert [view["name"] for view in one.items("/projects")] == ["asthma", "shared"]


def test_the_stream_of_a_run_ends_when_the_role_is_taken_back(coordinator, runs, monkeypatch):
    monkeypatch.setattr("septum.coordinator.api.streams.KEEPALIVE_S", 0.1)
    one = person(coordinator, "emil", "viewer@project:sepsis")
    mine = next(run for run, name in runs.items() if name == "sepsis")
    connection = coordinator.connect()
    connection.request("GET", f"{API}/runs/{mine}/events", headers={"authorization": f"Bearer {one.token}"})
    stream = connection.getresponse()
    assert stream.readline()
    operator(coordinator).told("PUT", "/people/emil/grants", {"grants": [grant("viewer@project:asthma")]})
    stream.read()  # to its end, though the run goes on
    connection.close()
    assert one.ask("GET", f"/runs/{mine}/events").status == 404


# --- lists ---------------------------------------------------------------------------------------------------------


def test_pages_with_filters_cover_each_run_once(coordinator, runs, finished):
    here = operator(coordinator)
    for query, wanted in (
        ("?project=sepsis", lambda view: view.get("project") == "sepsis"),
        ("?app=heart", lambda view: view["app"]["name"] == "heart"),
        ("?status=finished", lambda view: view["status"] == "finished"),
        ("?status=gathering&status=finished", lambda view: view["status"] in ("gathering", "finished")),
        (
            "?status=gathering&project=shared",
            lambda view: (view["status"], view.get("project")) == ("gathering", "shared"),
        ),
        ("?status=paused", lambda view: view["status"] == "paused"),
    ):
        expected = [view["id"] for view in here.items("/runs?limit=1000") if wanted(view)]
        found, after = [], ""
        while page := ids(here, f"{query}&limit=2{after}"):
            assert len(page) <= 2
            found += page
            after = f"&after={page[-1]}"
        assert found == expected, query
    assert finished in ids(here, "?status=finished&project=sepsis")
    assert ids(here, "?app=heart==0") == ids(here, "?app=nothing") == []
    assert here.ask("GET", "/runs?status=trainning").status == 422


def test_a_page_of_a_narrow_role_is_full_however_many_runs_of_others_lie_between(coordinator, runs):
    here = operator(coordinator)
    first = submit(coordinator, "asthma")
    for _ in range(4):
        submit(coordinator, "sepsis")
    second = submit(coordinator, "asthma")
    one = person(coordinator, "nora", "viewer@project:asthma")
    assert ids(one, "?limit=2") == [second, first]
    assert ids(here, "?limit=2&project=asthma") == [second, first]


GRANTS = st.sampled_from(
    [
        "viewer@project:sepsis",
        "researcher@project:asthma",
        "auditor@project:shared",
        "viewer@st-marys",
        "researcher@basel",
        "silo-admin@st-marys",
        "viewer@default",
    ]
)


@pytest.fixture(scope="module")
def drawn(coordinator):
    return person(coordinator, "drawn")


@pytest.mark.laws
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.sets(GRANTS, max_size=3))
def test_nobody_sees_a_run_that_no_role_of_theirs_covers(coordinator, runs, drawn, held):
    """And everybody sees all those that one covers: listed, read, and steered exactly as far as it goes."""
    grants = [read_grant(one) for one in held]
    operator(coordinator).told("PUT", "/people/drawn/grants", {"grants": [grant(one) for one in held]})
    within: dict[str, tuple[Scope, ...]] = {"": ()}
    for one in operator(coordinator).items("/projects"):
        within[one["name"]] = (project(one["name"]), *map(organisation, one["organisations"]))
    everything = operator(coordinator).items("/runs?limit=1000")
    places = {view["id"]: view.get("project", "") for view in everything}
    covered = {run for run, name in places.items() if may(grants, Right.RUN_READ, *within[name])}
    listed = drawn.ask("GET", "/runs?limit=1000")
    assert listed.status == (200 if held else 403)
    if held:
        assert ids(drawn, "?limit=1000") == [run for run in places if run in covered]
    for run, name in runs.items():
        steers = may(grants, Right.RUN_STEER, *within[name])
        assert drawn.ask("GET", f"/runs/{run}/plan").status == (200 if run in covered else 404)
        status = 200 if steers else 403 if run in covered else 404
        assert drawn.ask("POST", f"/runs/{run}/pause").status == status


def post(visitor, path, plan, key=""):
    return visitor.ask("POST", path, dumps(to_json(plan)), idempotency_key=key or next(KEYS))
