"""Models under a name, and deployments, over the real API and over the silos' own."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from tests.coordinator.running import KEYS, Running, finish, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import operator, person

from septum.client import Client
from septum.errors import ConfigError, ConflictError, ForbiddenError, NotFoundError
from septum.protocol.codec import decode, encode
from septum.protocol.deploying import DeploymentOrders, DeployState, Told
from septum.protocol.plan import Metric
from septum.protocol.registered import ModelStage

pytestmark = pytest.mark.served

NAMES = (f"heart-{n}" for n in itertools.count())
SILOS = ("cleveland", "hungary", "switzerland")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), hold_s=0.5)
    running.silos = [running.enrolled(name) for name in SILOS]
    here = operator(running)
    here.told("POST", "/groups", {"name": "two", "silos": ["cleveland", "hungary"]})
    here.told("POST", "/groups", {"name": "heart", "silos": list(SILOS)})
    here.told("POST", "/projects", {"name": "sepsis", "group": "heart", "organisations": ["default"]})
    yield running
    running.stop()


@pytest.fixture(scope="module")
def run(coordinator):
    run, told = start_round_one(coordinator.silos, plan_of(), next(KEYS), 3, project="sepsis")
    finish(coordinator.silos, run, told, 3)
    return run


@pytest.fixture
def client(coordinator):
    with Client(coordinator.access) as client:
        yield client


@pytest.fixture(scope="module")
def bob(coordinator):
    return person(coordinator, "bob", "reviewer")


def client_of(visitor):
    return Client(replace(visitor.coordinator.access, token=visitor.token))


def approved(client, bob, run, name, rounds=(2,)):
    for number, round_ in enumerate(rounds, 1):
        client.registered.register(run, name, round_=round_)
        bob.told("POST", f"/models/versions/{name}/{number}/approve")


def orders(silo):
    answer = silo.get("/silo/v1/deployments")
    assert answer.status == 200, answer.body
    return {one.name: one for one in decode(DeploymentOrders, answer.body).items}


def say(silo, told):
    return silo.post("/silo/v1/account", encode(told))


def test_a_version_says_what_made_it_and_who_did_what(client, bob, run, coordinator):
    name = next(NAMES)
    made = client.registered.register(run, name, best=Metric.ROC_AUC)
    best = max((m for m in client.models(run) if m.metrics), key=lambda m: (m.metrics.roc_auc, -m.round))
    version = made.version
    assert (version.version, version.round, version.model.digest) == (1, best.round, best.digest)
    assert (version.plan, version.metrics, version.project) == (client.plan(run), best.metrics, "sepsis")
    assert (version.registered.by, version.approved, made.stage) == ("operator", None, ModelStage.CANDIDATE)
    seen = bob.told("POST", f"/models/versions/{name}/1/approve")
    assert (seen["stage"], seen["version"]["approved"]["by"]) == ("approved", "bob")
    assert client.registered.version(name, 1).version.approved.by == "bob"
    assert [one.version for one in client.registered.versions(name)] == [client.registered.version(name, 1).version]


def test_nobody_approves_their_own(client, run):
    name = next(NAMES)
    client.registered.register(run, name)
    assert not client.people.who().approve_own
    with pytest.raises(ForbiddenError, match="somebody else"):
        client.registered.approve(name, 1)
    with pytest.raises(ConflictError, match="candidate"):
        client.registered.deploy(name, 1, silos=["cleveland"])


def test_a_federation_of_one_person_may_say_otherwise(tmp_path):
    running = Running(tmp_path, approve_own=True)
    silos = [running.enrolled(name) for name in SILOS]
    run, told = start_round_one(silos, plan_of(), next(KEYS), 3)
    finish(silos, run, told, 3)
    with Client(running.access) as client:
        client.registered.register(run, "heart")
        assert client.people.who().approve_own
        assert client.registered.approve("heart", 1).stage is ModelStage.APPROVED
    running.stop()


def test_versions_are_listed_by_how_far_they_have_come(client, bob, run):
    name = next(NAMES)
    approved(client, bob, run, name, rounds=(0, 1))
    client.registered.register(run, name, round_=2)
    client.registered.retire(name, 1)

    def numbers(*stages):
        return [one.version.version for one in client.registered.versions(name, stages)]

    assert numbers() == [1, 2, 3]
    assert numbers(ModelStage.CANDIDATE) == [3]
    assert numbers(ModelStage.RETIRED, ModelStage.APPROVED) == [1, 2]
    assert numbers(ModelStage.DEPLOYED) == []
    assert name in {one.version.name for one in client.registered.versions(text=name[1:].upper())}
    assert client.registered.versions(text="no such name") == ()
    assert operator(bob.coordinator).ask("GET", "/models/versions?stage=lost").status == 422


def test_each_role_does_its_own_part(coordinator, run, bob):
    name = next(NAMES)
    ada = person(coordinator, "ada", "researcher@project:sepsis")
    cat = person(coordinator, "cat", "viewer")
    dan = person(coordinator, "dan", "researcher@default")
    eve = person(coordinator, "eve")
    register = (f"/models/versions?run={run}", {"name": name})
    assert [one.ask("POST", *register).status for one in (bob, cat, eve, ada, dan)] == [403, 403, 404, 201, 201]
    path = f"/models/versions/{name}/1"
    assert [one.ask("POST", f"{path}/approve").status for one in (ada, cat, eve, bob)] == [403, 403, 404, 200]
    deploy = ("/deployments", {"name": name, "version": 1, "silos": ["cleveland"]})
    assert [one.ask("POST", *deploy).status for one in (ada, bob, cat, eve)] == [403, 403, 403, 403]
    made = operator(coordinator).told("POST", *deploy)["deployment"]["id"]
    assert [one.ask("POST", f"{path}/retire").status for one in (ada, bob, cat, eve)] == [403, 403, 403, 404]
    for visitor, sees in ((ada, True), (cat, True), (eve, False)):
        assert (visitor.ask("GET", path).status, visitor.ask("GET", f"/deployments/{made}").status) == (
            (200, 200) if sees else (404, 404)
        )
    assert eve.ask("GET", "/models/versions").status == 403
    assert name in {one["version"]["name"] for one in ada.items("/models/versions")}


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("?run=nothing", {"name": "heart"}, 404),
        ("", {"name": "heart"}, 422),
        ("?run={run}", {"name": "Heart"}, 422),
        ("?run={run}", {"name": "x' OR '1'='1"}, 422),
        ("?run={run}", {"name": "heart", "round": 9}, 404),
        ("?run={run}", {"name": "heart", "round": 1, "best": "roc_auc"}, 422),
        ("?run={run}", {"name": "heart", "best": "beauty"}, 400),
        ("?run={run}", {}, 400),
    ],
)
def test_what_makes_no_sense_is_no_version(coordinator, run, query, body, status):
    answer = operator(coordinator).ask("POST", f"/models/versions{query.format(run=run)}", body)
    assert answer.status == status, answer.body
    assert "heart" not in [one["version"]["name"] for one in operator(coordinator).items("/models/versions")]


@pytest.mark.parametrize("path", ["/models/versions/heart/x", "/models/versions/heart/0", "/deployments/x"])
def test_a_path_that_names_nothing_is_answered_so(coordinator, path):
    answer = operator(coordinator).ask("GET", path)
    assert answer.status in (404, 422), answer.body
    assert json.loads(answer.body)


def test_silos_use_the_newest_deployment_of_a_name_and_an_older_version_comes_back(client, bob, run, coordinator):
    cleveland, hungary, switzerland = coordinator.silos
    name = next(NAMES)
    approved(client, bob, run, name, rounds=(1, 2))
    first = client.registered.deploy(name, 1, group="two")
    assert first.used_by == ("cleveland", "hungary")
    second = client.registered.deploy(name, 2, silos=["hungary"])
    assert [orders(silo)[name].version for silo in (cleveland, hungary)] == [1, 2]
    assert name not in orders(switzerland)
    assert client.registered.version(name, 1).stage is ModelStage.DEPLOYED
    back = client.registered.deploy(name, 1, silos=["hungary"])
    assert back.deployment.id > second.deployment.id
    assert orders(hungary)[name].version == 1
    assert client.registered.version(name, 2).stage is ModelStage.APPROVED
    assert client.registered.deployment(second.deployment.id).used_by == ()
    operator(coordinator).told("PUT", "/groups/two/silos/switzerland")
    assert orders(switzerland)[name].version == 1
    operator(coordinator).told("DELETE", "/groups/two/silos/switzerland")
    assert name not in orders(switzerland)


def test_what_is_retired_is_used_nowhere_and_nothing_takes_its_place(client, bob, run, coordinator):
    name = next(NAMES)
    approved(client, bob, run, name, rounds=(1, 2))
    client.registered.deploy(name, 1, silos=["cleveland"])
    client.registered.deploy(name, 2, silos=["cleveland"])
    assert client.registered.retire(name, 2).stage is ModelStage.RETIRED
    assert name not in orders(coordinator.silos[0])
    with pytest.raises(ConflictError):
        client.registered.deploy(name, 2, silos=["cleveland"])


def test_a_silo_gets_the_bytes_that_are_meant_for_it_and_no_others(client, bob, run, coordinator):
    cleveland, hungary, _ = coordinator.silos
    name = next(NAMES)
    approved(client, bob, run, name, rounds=(0,))
    client.registered.deploy(name, 1, silos=["cleveland"])
    order = orders(cleveland)[name]
    path = f"/silo/v1/deployments/blobs/{order.model.digest}"
    answer = cleveland.get(path)
    assert (answer.status, len(answer.body)) == (200, order.model.size_bytes)
    assert hungary.get(path).status == 404
    assert cleveland.get("/silo/v1/deployments/blobs/" + "blake3:" + 64 * "0").status == 404
    assert cleveland.get("/silo/v1/deployments/nothing").status == 404
    assert coordinator.ask("GET", "/silo/v1/deployments").status == 401
    assert (order.app, order.hyper, order.seed) == (client.plan(run).app, client.plan(run).hyper, 0)


def test_how_far_a_silo_has_got_is_shown_and_nobody_speaks_for_others(client, bob, run, coordinator):
    cleveland, hungary, _ = coordinator.silos
    name = next(NAMES)
    approved(client, bob, run, name)
    id_ = client.registered.deploy(name, 1, silos=["cleveland"]).deployment.id
    for told in (Told(id_, DeployState.PULLED), Told(id_, DeployState.FAILED, "it did not reach the bound")):
        assert say(cleveland, told).status == 200
    assert say(hungary, Told(id_, DeployState.ACTIVE)).status == 404
    assert say(cleveland, Told(10_000, DeployState.ACTIVE)).status == 404
    (state,) = client.registered.deployment(id_).states
    assert (state.silo, state.told.state, state.told.reason) == (
        "cleveland",
        DeployState.FAILED,
        "it did not reach the bound",
    )
    client.registered.deploy(name, 1, silos=["cleveland"])
    assert say(cleveland, Told(id_, DeployState.ACTIVE)).status == 404, "it was replaced"


def test_a_silo_that_speaks_in_a_loop_is_asked_to_wait(client, bob, run, coordinator):
    cleveland = coordinator.silos[0]
    name = next(NAMES)
    approved(client, bob, run, name)
    id_ = client.registered.deploy(name, 1, silos=["cleveland"]).deployment.id
    told = [Told(id_, DeployState.FAILED, f"for the {n}th time") for n in range(12)]
    assert {say(cleveland, one).status for one in told} == {200, 503}
    assert say(cleveland, client.registered.deployment(id_).states[0].told).status == 200, "known already"


@pytest.mark.parametrize("silos", [(), ("nobody",)])
def test_a_deployment_to_nobody_is_refused(client, bob, run, silos):
    name = next(NAMES)
    approved(client, bob, run, name)
    with pytest.raises((ConfigError, NotFoundError)):
        client.registered.deploy(name, 1, silos=silos)
    with pytest.raises(ConfigError):
        client.registered.deploy(name, 1, group="two", silos=("cleveland",))
    assert client.registered.deployments(name) == ()


def test_a_registered_model_is_not_pruned_until_it_is_retired(tmp_path):
    running = Running(tmp_path)
    silos = [running.enrolled(name) for name in SILOS]
    run, told = start_round_one(silos, plan_of(rounds=6), next(KEYS), 3)
    finish(silos, run, told, 3)
    with Client(running.access) as client:
        client.registered.register(run, "heart", round_=3)
        there = client.models(run)[3].digest
        assert client.prune(older_than_days=0, really=True).runs[0].models == 3
        client.download(there, tmp_path / "kept")
        with pytest.raises(NotFoundError):
            client.registered.register(run, "heart", round_=4)
        client.registered.retire("heart", 1)
        assert client.prune(older_than_days=0, really=True).runs[0].models == 1
        with pytest.raises(NotFoundError):
            client.download(there, tmp_path / "gone")
    running.stop()
