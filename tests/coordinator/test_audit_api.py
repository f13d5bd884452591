"""The audit log over the real API: what is recorded before it is answered, who may read it, and what silos witness."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from tests.coordinator.running import Running, finish, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import API, PASSWORD, Visitor, invited, operator, person, signed_in

from septum.adapters.identity.audit_key import witnessed
from septum.adapters.identity.roster_keys import verify
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.cli.audit_views import exported
from septum.client import Client
from septum.coordinator import audit
from septum.errors import AuditError
from septum.protocol import audit_file
from septum.protocol.audit import EMPTY_HEAD, AuditFilter, HeadSeen, HeadShown, check_goes_on, check_signature
from septum.protocol.codec import decode, encode
from septum.protocol.merkle import is_included, leaf_hash

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary", "switzerland")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    before, audit.HEAD_EVERY_S = audit.HEAD_EVERY_S, 0.05
    running = Running(tmp_path_factory.mktemp("coordinator"), hold_s=0.5)
    running.silos = [running.enrolled(name) for name in SILOS]
    yield running
    running.stop()
    audit.HEAD_EVERY_S = before


@pytest.fixture(scope="module")
def run(coordinator):
    """A run of one round that has ended."""
    run, told = start_round_one(coordinator.silos, plan_of(rounds=1), "audited", 3)
    finish(coordinator.silos, run, told, 3)
    return run


@pytest.fixture
def client(coordinator):
    with Client(coordinator.access) as client:
        yield client


def newest(client, kind, **about):
    """The newest event of this kind that is about these."""
    for event in client.audit.page(AuditFilter(kind=kind), limit=1000):
        if about.items() <= {"by": event.by, **event.about}.items():
            return event
    raise AssertionError(f"there is no {kind} about {about}")


def look(silo, size, witness=None):
    answer = silo.post("/silo/v1/audit", encode(HeadSeen(size, witness)))
    assert answer.status == 200, answer.body
    return decode(HeadShown, answer.body)


def grown_beyond(silo, size):
    """The newest head, once it is of more than so many events."""
    while True:
        shown = look(silo, size)
        if shown.head is not None and shown.head.head.size > size:
            return shown


def test_what_is_changed_is_recorded_with_who_did_it(coordinator, client):
    assert newest(client, "silo.enrolled", silo="hungary")
    assert newest(client, "silo.invited", silo="hungary").by == "operator"
    ada = person(coordinator, "ada-changes", "researcher")
    assert newest(client, "person.invited", person="ada-changes").by == "operator"
    assert newest(client, "person.signed_in", by="ada-changes").about["address"] == "127.0.0.1"
    ada.told("DELETE", "/session")
    assert newest(client, "person.signed_out", by="ada-changes")


def test_a_round_is_recorded_in_its_own_commit_under_a_head(client, run):
    found = client.audit.page(AuditFilter(run=run), limit=100)
    kinds = [event.kind for event in reversed(found)]
    assert kinds[:2] == ["run.submitted", "run.started"]
    assert kinds[-1] == "run.ended"
    made = [event for event in found if event.kind == "model.made"]
    assert {event.about["round"] for event in made} == {"0", "1"}
    heads = {signed.head.size for signed in client.audit.heads()}
    assert any(max(made, key=lambda event: event.seq).seq <= size for size in heads)


def test_who_was_not_let_in_is_recorded_and_no_name_that_is_none(coordinator, client):
    person(coordinator, "ben-refused", "viewer")
    for name, password in (("ben-refused", "not his password"), ("my secret phrase", "x")):
        assert Visitor(coordinator).ask("POST", "/session", {"name": name, "password": password}).status == 401
    found = client.audit.page(AuditFilter(kind="person.sign_in_refused"), limit=2)
    assert [event.about["person"] for event in found] == ["", "ben-refused"]


def test_who_asks_for_what_they_have_no_right_to_is_recorded(coordinator, client):
    carl = person(coordinator, "carl-viewer", "viewer")
    assert carl.ask("GET", "/people").status == 403
    assert newest(client, "access.refused", by="carl-viewer").about["asked"] == f"GET {API}/people"
    assert Visitor(coordinator, "no such token").ask("GET", "/runs").status == 401
    assert newest(client, "access.refused", by="").about["asked"] == f"GET {API}/runs"


def test_who_looks_at_people_logs_and_models_is_recorded_once_a_minute(coordinator, client, run):
    dora = person(coordinator, "dora-reads", "auditor", "researcher")
    for _ in range(3):
        dora.told("GET", "/people")
        dora.told("GET", "/audit")
    dora.told("GET", f"/runs/{run}/logs")
    assert dora.ask("GET", f"/models/{client.run(run).model}").status == 200
    seen = [event.kind for event in client.audit.page(AuditFilter(by="dora-reads"), limit=100)]
    assert sorted(seen) == sorted(
        ["person.joined", "person.signed_in", "people.read", "audit.read", "logs.read", "model.downloaded"]
    )


def test_a_request_in_a_silos_name_that_is_not_its_own_is_recorded(coordinator, client):
    silo = coordinator.silos[0]
    answer = silo.post("/silo/v1/poll", b"{}", Signature="sig=:AAAA:")
    assert answer.status == 401
    assert newest(client, "silo.not_known").about["asked"] == "POST /silo/v1/poll"


def test_only_who_may_reads_it(coordinator):
    for role, status in (("auditor", 200), ("federation-admin", 200), ("viewer", 403), ("researcher", 403)):
        visitor = person(coordinator, f"reads-{role}", role)
        for path in ("/audit", "/audit/lines", "/audit/heads", "/audit/countersignatures"):
            assert visitor.ask("GET", path).status == status, (role, path)
    basel = operator(coordinator)
    basel.told("POST", "/organisations", {"name": "basel"})
    once = invited(basel, "reads-of-basel", "auditor@basel", organisation="basel")
    local = signed_in(coordinator, "reads-of-basel", once, new_password=PASSWORD)
    assert local.ask("GET", "/audit").status == 403  # it is the whole federation's


def test_a_silo_sees_heads_that_go_on_from_one_another_and_its_signature_is_kept(coordinator, client):
    silo, seen = coordinator.silos[1], EMPTY_HEAD
    for _ in range(3):
        person(coordinator, f"grows-{seen.size}", "viewer")
        shown = grown_beyond(silo, seen.size)
        check_signature(shown.head, verify)
        check_goes_on(seen, shown.head.head, [bytes.fromhex(one) for one in shown.proof])
        seen = shown.head.head
    look(silo, seen.size, witnessed(seen, silo.name, silo.key, 1.0))
    assert (silo.name, seen.size) in {(one.silo, one.size) for one in client.audit.countersignatures()}
    proof = client.audit.inclusion(2, seen.size)
    second = list(client.audit.lines())[1]
    assert is_included(leaf_hash(second.event.encode()), 1, seen.size, proof, bytes.fromhex(seen.root))


def test_a_silo_signs_for_itself_alone(coordinator, client):
    one, other = coordinator.silos[:2]
    head = grown_beyond(one, 0).head.head
    for witness in (witnessed(head, other.name, one.key, 1.0), witnessed(head, one.name, other.key, 1.0)):
        look(one, head.size, witness)
    assert one.name not in {found.silo for found in client.audit.countersignatures()}


def test_an_export_holds_and_has_no_secret_in_it(coordinator, client):
    once = invited(operator(coordinator), "eve-secret", "researcher")
    eve = signed_in(coordinator, "eve-secret", once, new_password=PASSWORD)
    made = eve.told("POST", "/tokens", {"title": "for a program", "rights": ["run.read"], "days": 1})
    token = client.invite("zurich").token
    lines = list(exported(client.audit))
    found = audit_file.check(lines, verify, next(iter(client.audit.heads())).key)
    assert found.events == len([line for line in lines if line.startswith(b'{"event"')])
    text = b"".join(lines).decode()
    for secret in (once, PASSWORD, eve.token, made["token"], token, coordinator.access.token):
        assert secret not in text


def test_a_byte_that_is_changed_in_the_database_is_found_by_whoever_exports_it(tmp_path):
    running = Running(tmp_path / "data", hold_s=0.5)
    person(running, "ada", "viewer")
    running.stop()
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE_NAME)) as database, database:
        (seq,) = database.execute("SELECT seq FROM audit WHERE kind = 'person.invited'").fetchone()
        database.execute("UPDATE audit SET event = replace(event, 'ada', 'eva') WHERE seq = ?", (seq,))
    running = Running(tmp_path / "data", hold_s=0.5)
    try:
        with Client(running.access) as client, pytest.raises(AuditError, match=f"audit event {seq} does not hold"):
            audit_file.check(exported(client.audit), verify)
    finally:
        running.stop()
    with open_store(tmp_path / "data") as stores, pytest.raises(AuditError, match=f"audit event {seq} "):
        stores.audit.check()


def test_pages_lead_through_all_of_it(coordinator):
    here = operator(coordinator)
    for path in ("/audit/lines", "/audit/heads", "/audit"):
        whole, after, found = here.told("GET", f"{path}?limit=1000")["items"], "", []
        while True:
            page = json.loads(here.ask("GET", f"{path}?limit=3{f'&after={after}' if after else ''}").body)
            found += page["items"]
            after = page["next"]
            if after is None or len(found) >= 12:
                break
        assert found[:9] == whole[:9] or path == "/audit"
