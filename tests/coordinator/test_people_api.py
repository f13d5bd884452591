"""Who may do what, over the real API: roles, invitations, tokens, and what becomes of those who have none."""

from __future__ import annotations

import json
import stat

import pytest
from tests.coordinator.running import Running
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import PASSWORD, Visitor, grant, invited, operator, person, signed_in

from septum.client import Client
from septum.coordinator.api.app import api_routes
from septum.coordinator.api.document import permission_of
from septum.protocol.rights import RIGHTS, Role

pytestmark = pytest.mark.served

ORGANISATIONS = ("st-marys", "basel")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    for name in ORGANISATIONS:
        operator(running).told("POST", "/organisations", {"name": name, "title": f"The {name} hospital"})
    yield running
    running.stop()


@pytest.fixture(scope="module")
def people(coordinator):
    """One person of each role over the federation, and some over an organisation."""
    found = {role: person(coordinator, f"the-{role.value}", role.value) for role in Role}
    for place in ORGANISATIONS:
        for role in (Role.SILO_ADMIN, Role.VIEWER):
            name = f"{role.value}@{place}"
            found[name] = person(coordinator, f"{role.value}-{place}", name, organisation=place)
    return found


# What a route of these is about may not be seen, so that it is not there; or it has to be named first.
NOT_SEEN = ("/people/{name}", "/silos/{name}", "/projects/{name}", "/models/versions", "/deployments/{id}")


def filled(path):
    return (
        path.replace("{name}", "nobody")
        .replace("{silo}", "nowhere")
        .replace("{run_id}", "r-none")
        .replace("{digest}", f"blake3:{'0' * 64}")
    )


def test_each_role_opens_exactly_the_routes_that_the_rules_give_it(people):
    """A route that is not open says 403, or 404 where there is nothing to see; one that is says anything else."""
    for role in Role:
        for route in api_routes():
            permission = permission_of(route)
            if permission.right is None or (route.path.endswith("/events")):
                continue
            for method in route.methods:
                answer = people[role].ask(method, filled(route.path), b"{}" if method != "GET" else None)
                allowed = permission.right in RIGHTS[role]
                where = (role.value, method, route.path, answer.status, answer.body[:200])
                if allowed:
                    assert answer.status not in (401, 403), where
                elif any(word in route.path for word in NOT_SEEN):
                    assert answer.status in (403, 404), where
                else:
                    assert (answer.status, answer.error["code"]) == (403, "forbidden"), where


def test_a_viewer_looks_and_posts_nothing(people):
    viewer = people[Role.VIEWER]
    assert viewer.ask("GET", "/runs").status == 200
    refused = viewer.ask("POST", "/runs", b"{}", idempotency_key="k")
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert "run.submit" in refused.error["message"]


def test_the_people_of_another_organisation_are_not_there(people):
    admin = people["silo-admin@basel"]
    assert {one["organisation"] for one in admin.items("/people")} == {"basel"}
    for method, path, body in (
        ("GET", "/people/viewer-st-marys", None),
        ("PUT", "/people/viewer-st-marys/grants", {"grants": []}),
        ("POST", "/people/viewer-st-marys/suspend", None),
        ("POST", "/people/viewer-st-marys/reset", None),
    ):
        theirs = admin.ask(method, path, body)
        nobodys = admin.ask(method, path.replace("viewer-st-marys", "there-is-no-such"), body)
        assert theirs.status == nobodys.status == 404
        assert theirs.body.replace(b"viewer-st-marys", b"there-is-no-such") == nobodys.body
    assert people["viewer@st-marys"].ask("GET", "/session").status == 200
    assert [one["name"] for one in admin.items("/organisations")] == ["basel"]
    assert admin.ask("GET", "/organisations/st-marys").status == 404


def test_the_silos_of_another_organisation_are_not_there(people):
    st_marys, basel = people["silo-admin@st-marys"], people["silo-admin@basel"]
    assert st_marys.ask("POST", "/silos/north/invite?organisation=st-marys").status == 201
    assert [one["name"] for one in st_marys.items("/silos")] == ["north"]
    assert basel.items("/silos") == []
    assert basel.ask("POST", "/silos/north/invite?organisation=st-marys").status == 403
    assert basel.ask("POST", "/silos/south/invite").status == 403  # the first organisation's
    taken = basel.ask("POST", "/silos/north/invite?organisation=basel")
    assert (taken.status, taken.error["code"]) == (409, "conflict")
    hidden, none = basel.ask("DELETE", "/silos/north"), basel.ask("DELETE", "/silos/zorth")
    assert hidden.status == none.status == 404
    assert hidden.body.replace(b"north", b"zorth") == none.body
    assert people["viewer@st-marys"].ask("DELETE", "/silos/north").status == 403
    assert st_marys.ask("DELETE", "/silos/north").status == 204


def test_an_administrator_of_an_organisation_invites_into_it_and_gives_no_more_than_they_have(people):
    admin = people["silo-admin@basel"]
    assert invited(admin, "new-viewer", "viewer@basel", organisation="basel")
    for roles, organisation in (
        (["viewer@basel"], "st-marys"),
        (["researcher@basel"], "basel"),
        (["viewer"], "basel"),
        (["federation-admin"], "basel"),
        (["viewer@st-marys"], "basel"),
    ):
        body = {"name": "never", "organisation": organisation, "grants": [grant(one) for one in roles]}
        assert admin.ask("POST", "/people", body).status == 403, roles
    for role in ("researcher@basel", "federation-admin"):
        assert admin.ask("PUT", "/people/new-viewer/grants", {"grants": [grant(role)]}).status == 403
    both = [grant("viewer@basel"), grant("auditor@basel")]
    assert len(admin.told("PUT", "/people/new-viewer/grants", {"grants": both})["grants"]) == 2


def test_nobody_takes_over_someone_who_may_more_than_they(coordinator, people):
    """Resetting the password of a federation's administrator of one's own organisation would be a way up."""
    person(coordinator, "chief", "federation-admin", organisation="basel")
    for what in ("reset", "suspend"):
        assert people["silo-admin@basel"].ask("POST", f"/people/chief/{what}").status == 403
    assert people["silo-admin@basel"].ask("PUT", "/people/chief/grants", {"grants": []}).status == 403


def test_an_invitation_works_once(coordinator):
    once = invited(operator(coordinator), "wanda", "viewer")
    alone = Visitor(coordinator).ask("POST", "/session", {"name": "wanda", "password": once})
    assert (alone.status, alone.error["code"]) == (403, "password_change")
    weak = Visitor(coordinator).ask("POST", "/session", {"name": "wanda", "password": once, "new_password": "short"})
    assert (weak.status, weak.error["code"]) == (422, "config")
    signed_in(coordinator, "wanda", once, new_password=PASSWORD)
    again = {"name": "wanda", "password": once, "new_password": PASSWORD}
    assert Visitor(coordinator).ask("POST", "/session", again).status == 401
    assert signed_in(coordinator, "wanda", PASSWORD).told("GET", "/session")["name"] == "wanda"


def test_a_suspended_person_is_out_at_once_and_comes_back_by_password_alone(coordinator):
    paula = person(coordinator, "paula", "researcher")
    made = paula.told("POST", "/tokens", {"title": "script"})["token"]
    operator(coordinator).told("POST", "/people/paula/suspend")
    for secret in (paula.token, made):
        assert Visitor(coordinator, secret).ask("GET", "/runs").status == 401
    wrong = Visitor(coordinator).ask("POST", "/session", {"name": "paula", "password": PASSWORD})
    assert (wrong.status, wrong.error["code"]) == (401, "auth")
    operator(coordinator).told("POST", "/people/paula/restore")
    assert Visitor(coordinator, made).ask("GET", "/runs").status == 401
    assert signed_in(coordinator, "paula", PASSWORD).ask("GET", "/runs").status == 200


def test_who_is_suspended_hears_no_more_of_a_run(coordinator, monkeypatch):
    monkeypatch.setattr("septum.coordinator.api.streams.KEEPALIVE_S", 0.1)
    coordinator.enrolled("cleveland")
    with Client(coordinator.access) as client:
        run = client.submit(plan_of(("cleveland",)), key="heard").id
    frank = person(coordinator, "frank", "viewer")
    connection = coordinator.connect()
    connection.request("GET", f"/api/v1/runs/{run}/events", headers={"authorization": f"Bearer {frank.token}"})
    stream = connection.getresponse()
    assert stream.readline().startswith(b"id: 1")
    operator(coordinator).told("POST", "/people/frank/suspend")
    assert b"run_ended" not in stream.read()  # the stream has ended, the run has not
    connection.close()


def test_roles_that_are_taken_back_are_gone_with_the_next_request(coordinator):
    rosa = person(coordinator, "rosa", "viewer")
    assert rosa.ask("GET", "/runs").status == 200
    operator(coordinator).told("PUT", "/people/rosa/grants", {"grants": []})
    assert rosa.ask("GET", "/runs").status == 403
    assert rosa.told("GET", "/session")["rights"] == []


def test_a_token_has_at_most_the_rights_of_its_person_and_no_account(coordinator):
    petra = person(coordinator, "petra", "researcher")
    narrow = Visitor(coordinator, petra.told("POST", "/tokens", {"title": "t", "rights": ["run.read"]})["token"])
    assert narrow.ask("GET", "/runs").status == 200
    refused = narrow.ask("GET", "/models")
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert "this token" in refused.error["message"]
    for method, path, body in (
        ("POST", "/tokens", {"title": "another"}),
        ("PUT", "/account/password", {"password": PASSWORD, "new_password": PASSWORD}),
        ("POST", "/account/totp", None),
    ):
        assert narrow.ask(method, path, body).status == 403
    assert petra.ask("POST", "/tokens", {"title": "t", "rights": ["user.manage"]}).status == 403
    assert petra.ask("POST", "/tokens", {"title": "t", "days": 0}).status == 422
    operator(coordinator).told("PUT", "/people/petra/grants", {"grants": []})
    assert narrow.ask("GET", "/runs").status == 403


def test_a_token_is_revoked_by_its_own_person_alone(coordinator):
    olga, nina = person(coordinator, "olga", "viewer"), person(coordinator, "nina", "viewer")
    made = olga.told("POST", "/tokens", {"title": "t"})
    token = Visitor(coordinator, made["token"])
    assert token.ask("GET", "/runs").status == 200
    assert nina.ask("DELETE", f"/tokens/{made['about']['id']}").status == 404
    assert nina.items("/tokens") == []
    assert "token" not in olga.items("/tokens")[0]
    assert olga.items("/tokens")[0]["used_at"] > 0
    assert olga.ask("DELETE", f"/tokens/{made['about']['id']}").status == 204
    assert token.ask("GET", "/runs").status == 401


def test_the_operators_token_is_a_federations_administrator_without_an_account(coordinator):
    who = operator(coordinator).told("GET", "/session")
    assert (who["name"], who["via"]) == ("operator", "operator")
    assert set(who["rights"]) == {right.value for right in RIGHTS[Role.FEDERATION_ADMIN]}
    for method, path in (("DELETE", "/session"), ("POST", "/tokens"), ("POST", "/account/totp")):
        assert operator(coordinator).ask(method, path, b"{}").status in (401, 403)


def test_a_silos_key_opens_no_route_of_a_person(coordinator):
    silo = coordinator.enrolled("hungary")
    for path in ("/runs", "/people", "/session", "/organisations"):
        answer = coordinator.ask("GET", f"/api/v1{path}", None, silo.signed("GET", f"/api/v1{path}"))
        assert (answer.status, answer.error["code"]) == (401, "auth")


@pytest.mark.parametrize("secret", ["septum_s_" + "x" * 43, "septum_t_" + "x" * 43, "x", "septum_s_", "é"])
def test_a_token_that_is_not_known_lets_nobody_in(coordinator, secret):
    answer = coordinator.ask(
        "GET", "/api/v1/runs", None, {"authorization": f"Bearer {secret}".encode().decode("latin-1")}
    )
    assert (answer.status, answer.error["code"]) == (401, "auth")
    assert secret not in answer.body.decode() or secret == "x"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/people", {"name": "Robert'); DROP TABLE people;--"}, 422),
        ("/people", {"name": "x", "grants": [{"role": "owner", "scope": {"over": "federation"}}]}, 400),
        (
            "/people",
            {"name": "x", "grants": [{"role": "federation-admin", "scope": {"over": "organisation", "name": "a"}}]},
            400,
        ),
        ("/people", {"name": "x", "organisation": "nowhere"}, 404),
        ("/people", {"name": "operator"}, 422),
        ("/people", {"name": "x", "full_name": "two\nlines"}, 422),
        ("/people", {"name": "x", "grants": [{"role": "viewer", "scope": {"over": "project", "name": "p"}}]}, 404),
        ("/people", [], 400),
        ("/people", b"\xff", 400),
        ("/people", None, 400),
        ("/organisations", {"name": "St Mary"}, 422),
        ("/organisations", {"name": "st-marys"}, 409),
        ("/session", {"name": "admin", "password": 12345}, 400),
        ("/session", {"name": "a" * 300, "password": "x"}, 400),
        ("/session", b'{"name": "' + b"a" * 10_000_000 + b'"}', 413),
        ("/tokens", {"title": "t"}, 403),  # the operator is nobody who has tokens
    ],
)
def test_what_makes_no_sense_is_refused(coordinator, path, body, status):
    answer = operator(coordinator).ask("POST", path, body)
    assert answer.status == status, answer.body
    assert "12345" not in answer.body.decode()


def test_an_organisation_goes_when_it_is_empty(coordinator, people):
    here = operator(coordinator)
    here.told("POST", "/organisations", {"name": "empty"})
    assert here.ask("DELETE", "/organisations/empty").status == 204
    assert here.ask("DELETE", "/organisations/empty").status == 404
    assert here.ask("DELETE", "/organisations/basel").status == 409
    assert here.ask("DELETE", "/organisations/default").status == 409


def test_the_first_start_makes_an_administrator_whose_password_has_to_be_changed(coordinator, tmp_path):
    path = coordinator.config.data_dir / "admin-password.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    access = json.loads(path.read_text())
    alone = Visitor(coordinator).ask("POST", "/session", access)
    assert (alone.status, alone.error["code"]) == (403, "password_change")
    admin = signed_in(coordinator, **access, new_password=PASSWORD)
    assert set(admin.told("GET", "/session")["rights"]) == {right.value for right in RIGHTS[Role.FEDERATION_ADMIN]}
    assert Visitor(coordinator).ask("POST", "/session", {**access, "new_password": PASSWORD}).status == 401
