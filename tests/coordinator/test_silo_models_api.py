"""Silos' own models over the API: of runs that keep them, for those who may, to the byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.coordinator.running import KEYS, NARROW, WIDE, Running, finish, next_seed, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import Visitor, operator, person

from septum.client import Client
from septum.errors import DigestError, NotFoundError
from septum.protocol import tensors
from septum.protocol.plan import Masking, digest_of

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary")


def plan(**changed):
    return plan_of(SILOS, seed=next_seed(), **changed)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Cleveland is of the north, hungary of the south; the runs are in a project of both, or in none."""
    running = Running(tmp_path_factory.mktemp("coordinator"))
    here = operator(running)
    for name in ("north", "south"):
        here.told("POST", "/organisations", {"name": name, "title": f"The {name}"})
    with Client(running.access) as client:
        silos = [running.enrolled("cleveland", "north"), running.enrolled("hungary", "south")]
        here.told("POST", "/groups", {"name": "both", "silos": list(SILOS)})
        for name in ("heart", "lung"):
            here.told("POST", "/projects", {"name": name, "group": "both", "description": name})
        yield running, silos, client
    running.stop()


@pytest.fixture(scope="module")
def kept(place):
    """A run of two rounds in the project heart that keeps them."""
    return lived(place[1], plan(keep_silo_models=True), NARROW, "heart")


def lived(silos, wanted, width, project=""):
    run, told = start_round_one(silos, wanted, next(KEYS), width, project)
    finish(silos, run, told, width)
    return run


def own(run, silo="hungary", round_=1):
    return f"/runs/{run}/silo-models/{round_}/{silo}"


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_silos_model_is_what_the_round_began_with_and_its_update(place, tmp_path, width):
    _, silos, client = place
    run = lived(silos, plan(keep_silo_models=True), width)
    models, found = client.models(run), client.silo_models(run)
    assert [(one.round, one.silo) for one in found] == [(round_, silo) for round_ in (1, 2) for silo in SILOS]
    assert client.silo_models(run, "hungary") == tuple(one for one in found if one.silo == "hungary")
    rounds = {one.round: one.digest for one in models}
    assert all(one.base == rounds[one.round - 1] for one in found)
    assert all(one.federation is not None and one.federation.rows for one in found)
    client.download(rounds[0], tmp_path / "base")
    client.download(rounds[1], tmp_path / "next")
    each = []
    for one in found[:2]:
        size_bytes = client.download_silo_model(one, tmp_path / one.silo)
        assert (size_bytes, digest_of((tmp_path / one.silo).read_bytes())) == (one.size_bytes, one.digest)
        each.append(tensors.decode((tmp_path / one.silo).read_bytes())["w"])
        moved = each[-1] - tensors.decode((tmp_path / "base").read_bytes())["w"]
        assert one.update_norm == pytest.approx(float(np.linalg.norm(moved)), rel=1e-5)
    assert len({one.tobytes() for one in each}) == len(each)
    told = client.run(run)
    assert (told.keeps_silo_models, told.masked) == (True, False)


def test_a_download_that_was_cut_goes_on(place, kept):
    here = operator(place[0])
    whole = here.ask("GET", own(kept)).body
    rest = here.ask("GET", own(kept), range="bytes=100-")
    assert (rest.status, rest.body) == (206, whole[100:])
    assert here.ask("GET", own(kept), if_none_match="*").status == 304


def test_the_list_is_paged_and_narrowed(place, kept):
    here = operator(place[0])
    assert [one["silo"] for one in here.items(f"/runs/{kept}/silo-models?round=2")] == list(SILOS)
    page = here.told("GET", f"/runs/{kept}/silo-models?limit=3")
    rest = here.told("GET", f"/runs/{kept}/silo-models?limit=3&after={page['next']}")
    assert (len(page["items"]), len(rest["items"]), rest["next"], page["why"]) == (3, 1, None, "")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "the run was not to keep them"),
        ({"masking": Masking()}, "the run was masked: they never left the silos"),
    ],
    ids=["not-kept", "masked"],
)
def test_other_runs_have_none_and_say_why(place, changed, why):
    running, _, client = place
    run = client.submit(plan(**changed), key=next(KEYS)).id
    assert operator(running).told("GET", f"/runs/{run}/silo-models") == {"items": [], "next": None, "why": why}
    assert operator(running).ask("GET", own(run)).error["code"] == "not_found"
    client.stop(run)


# What a role gives: may the models of heart's run be listed, and hungary's be downloaded? 403: it is there, but not so.
ROLES = {
    "federation-admin": (200, 200),
    "silo-admin": (200, 200),
    "reviewer": (200, 200),
    "researcher": (200, 403),
    "auditor": (200, 403),
    "viewer": (200, 403),
    "reviewer@project:heart": (200, 200),
    "researcher@project:heart": (200, 403),
    "reviewer@project:lung": (404, 404),
    "silo-admin@south": (404, 200),
    "reviewer@south": (404, 200),
    "viewer@south": (404, 403),
    "silo-admin@north": (404, 404),
    "researcher@north": (404, 404),
}


@pytest.mark.parametrize("role", ROLES)
def test_who_may_see_and_download_them(place, kept, role):
    running, _, _ = place
    visitor = person(running, f"p{list(ROLES).index(role)}", role)
    asked = (visitor.ask("GET", f"/runs/{kept}/silo-models").status, visitor.ask("GET", own(kept)).status)
    assert asked == ROLES[role]


def test_a_silos_people_see_what_is_of_their_silo_and_nothing_else_of_the_run(place, kept):
    running, _, client = place
    theirs = person(running, "steward", "silo-admin@south")
    assert {one["silo"] for one in theirs.items(f"/runs/{kept}/silo-models?silo=hungary")} == {"hungary"}
    for path in (f"/runs/{kept}/silo-models?silo=cleveland", own(kept, "cleveland"), f"/runs/{kept}", own("r-none")):
        answer = theirs.ask("GET", path)
        assert answer.status == 404
        assert "there is no run" in answer.error["message"]
    without = client.submit(plan_of(("cleveland",), keep_silo_models=True, seed=next_seed()), key=next(KEYS)).id
    assert theirs.ask("GET", f"/runs/{without}/silo-models?silo=hungary").status == 404
    client.stop(without)


def test_nobody_without_a_token_gets_any(place, kept):
    assert Visitor(place[0]).ask("GET", own(kept)).status == 401


def test_what_is_not_there_is_named(place, kept, tmp_path):
    _, _, client = place
    one = client.silo_models(kept)[0]
    for changed in ({"round": 9}, {"silo": "nowhere"}):
        with pytest.raises(NotFoundError, match=f"run {kept} keeps no model of silo"):
            client.download_silo_model(replace(one, **changed), tmp_path / "x")


def test_an_update_that_has_rotted_is_found_before_a_byte_of_it_is_sent(place, tmp_path):
    running, silos, client = place
    run = lived(silos, plan(keep_silo_models=True), NARROW)
    one = client.silo_models(run)[0]
    name = one.update.partition(":")[2]
    path = running.config.data_dir / "blobs" / f"silo-models-{run}" / name[:2] / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestError, match="has rotted on disk"):
        client.download_silo_model(one, tmp_path / "x")
