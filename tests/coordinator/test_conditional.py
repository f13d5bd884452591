"""ETags: what a caller has already is not sent again, and nobody writes over what they have not seen."""

from __future__ import annotations

import json
import threading

import pytest
from tests.coordinator.running import NARROW, Running, finish, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import grant, operator, person

from septum.client import Client

pytestmark = pytest.mark.served


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    person(running, "ada", "viewer")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def here(coordinator):
    return operator(coordinator)


@pytest.fixture(scope="module")
def run(coordinator):
    silos = [coordinator.enrolled(name) for name in ("cleveland", "hungary")]
    run, told = start_round_one(silos, plan_of(("cleveland", "hungary")), "tagged", NARROW)
    finish(silos, run, told, NARROW)
    return run


def tag_of(here, path):
    return here.ask("GET", path).headers["etag"]


@pytest.mark.parametrize("path", ["/runs", "/runs/{run}", "/runs/{run}/plan", "/models", "/people", "/people/ada"])
def test_what_the_caller_has_already_is_not_sent_again(here, run, path):
    path = path.format(run=run)
    first = here.ask("GET", path)
    again = here.ask("GET", path, if_none_match=f'"other", W/{first.headers["etag"]}')
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"].startswith("private")
    assert here.ask("GET", path, if_none_match='"other"').body == first.body


def test_a_thing_that_changes_has_another_tag(here):
    here.told("POST", "/groups", {"name": "tagged"})
    of_list, of_one = tag_of(here, "/groups"), tag_of(here, "/groups/tagged")
    here.told("POST", "/groups", {"name": "tagged-2"})
    assert here.ask("GET", "/groups", if_none_match=of_list).status == 200
    assert here.ask("GET", "/groups/tagged", if_none_match=of_one).status == 304


def test_what_a_digest_names_may_be_kept_for_ever_by_the_caller_alone(coordinator, here, run):
    with Client(coordinator.access) as client:
        digest = client.run(run).model
    answer = here.ask("GET", f"/models/{digest}")
    assert answer.headers["etag"] == f'"{digest}"'
    for path in (f"/models/{digest}", f"/runs/{run}/plan"):
        assert here.ask("GET", path).headers["cache-control"] == "private, max-age=31536000, immutable"
    known = here.ask("GET", f"/models/{digest}", if_none_match=f'"{digest}"')
    assert (known.status, known.body) == (304, b"")
    part = here.ask("GET", f"/models/{digest}", range="bytes=2-5")
    assert (part.status, part.body) == (206, answer.body[2:6])


def test_roles_are_not_written_over_unseen(here):
    seen = tag_of(here, "/people/ada")
    wanted = {"grants": [grant("viewer"), grant("reviewer")]}
    assert here.ask("PUT", "/people/ada/grants", wanted, if_match=seen).status == 200
    stale = here.ask("PUT", "/people/ada/grants", {"grants": []}, if_match=seen)
    assert (stale.status, stale.error["code"]) == (412, "precondition")
    assert len(here.told("GET", "/people/ada")["grants"]) == 2
    assert here.ask("PUT", "/people/ada/grants", {"grants": [grant("viewer")]}, if_match="*").status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/groups/{name}/silos/cleveland"),
        ("DELETE", "/groups/{name}"),
        ("POST", "/projects/{name}/close"),
    ],
)
def test_every_write_to_a_thing_honours_the_condition(here, run, method, path):
    name = f"of-{method.lower()}"
    here.told("POST", "/groups", {"name": name})
    if path.startswith("/projects"):
        here.told("POST", "/projects", {"name": name, "group": name})
    path = path.format(name=name)
    thing = "/".join(path.split("/")[:3])
    before = here.ask("GET", thing)
    assert here.ask(method, path, if_match='"stale"').status == 412
    assert here.ask("GET", thing).body == before.body
    assert here.ask(method, path, if_match=before.headers["etag"]).status in (200, 204)


def test_a_thing_that_is_not_there_or_may_not_be_seen_fits_no_condition(coordinator, here):
    assert here.ask("PUT", "/groups/nowhere/silos/cleveland", if_match="*").status == 412
    nobody = operator(coordinator)
    nobody.token = "wrong"
    assert nobody.ask("DELETE", "/groups/tagged", if_match="*").status == 401


def test_of_many_who_write_over_what_they_have_seen_one_does(here):
    here.told("POST", "/groups", {"name": "raced", "silos": []})
    seen, statuses = tag_of(here, "/groups/raced"), []

    def write(silo):
        statuses.append(here.ask("PUT", f"/groups/raced/silos/{silo}", if_match=seen).status)

    silos = [f"racer-{number}" for number in range(6)]
    for silo in silos:
        here.told("POST", f"/silos/{silo}/invite")
    threads = [threading.Thread(target=write, args=(silo,)) for silo in silos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [200, *[412] * 5]
    assert len(json.loads(here.ask("GET", "/groups/raced").body)["silos"]) == 1
