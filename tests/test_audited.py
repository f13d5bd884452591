"""Would the check that stands behind every test of real processes notice, if an audit log did not hold?"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.audited import Log, check_all, leave_out, log_in

from septum.adapters.files import replace_file
from septum.adapters.identity.audit_key import ensure_audit_key, witnessed
from septum.adapters.identity.keys import make_private_key
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.protocol.codec import dumps, to_json
from septum.silo.witness import SEEN_NAME, Seen
from septum.testing.contracts.audit import RECORDS, fill


@pytest.fixture
def federation(tmp_path):
    """A coordinator's log of two heads, of which silo basel has seen the first and countersigned it."""
    data_dir, silo = tmp_path / "coordinator", tmp_path / "basel" / "state"
    silo.mkdir(parents=True)
    with open_store(data_dir) as stores:
        stores.registry.invite("basel", b"hash", expires_at=1.0)
        fill(stores.audit)
        seen = stores.audit.sign(at=2.0)
        stores.audit.witness(witnessed(seen.head, "basel", make_private_key(silo / "key.pem"), 3.0))
        fill(stores.audit)
        stores.audit.sign(at=4.0)
    replace_file(silo / SEEN_NAME, dumps(to_json(Seen(seen))), durable=False)
    return tmp_path


def changed(federation, statement, *values):
    with closing(sqlite3.connect(federation / "coordinator" / DATABASE_NAME)) as database, database:
        assert database.execute(statement, values).rowcount == 1


def test_a_log_that_nobody_changed_is_found_and_holds(federation):
    log = log_in(federation / "coordinator" / DATABASE_NAME)
    assert isinstance(log, Log)
    assert (len(log.entries), len(log.heads), len(log.countersignatures)) == (1 + 2 * len(RECORDS), 2, 1)
    assert check_all(federation) == 1


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE audit SET event = replace(event, 'ben', 'bem') WHERE seq = 3", "audit event 3 does not hold"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", "audit event 5 does not hold"),
        ("DELETE FROM audit WHERE seq = 5", "audit event 5 does not hold"),
        (
            "UPDATE audit_heads SET content = replace(content, '1970-', '1971-') WHERE size < 10",
            "signature under the head",
        ),
        (
            "UPDATE audit_witnesses SET content = replace(content, 'signature\":\"', 'signature\":\"0')",
            "silo 'basel' signed",
        ),
    ],
)
def test_one_byte_that_was_changed_is_noticed(federation, statement, why):
    changed(federation, statement)
    with pytest.raises(AssertionError, match=f"the audit log in .*coordinator: .*{why}"):
        check_all(federation)


def test_a_log_that_was_cut_behind_its_newest_head_is_noticed(federation):
    changed(federation, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    with pytest.raises(AssertionError, match="the audit log in"):
        check_all(federation)


def test_a_whole_log_that_was_made_anew_is_not_the_one_that_a_silo_has_seen(federation):
    """Also where it holds in itself, under the coordinator's own key."""
    key = (federation / "coordinator" / "audit-key.pem").read_bytes()
    for path in (federation / "coordinator").glob("septum.sqlite*"):
        path.unlink()
    with open_store(federation / "coordinator") as stores:
        for _ in range(3):
            stores.audit.append(RECORDS, at=9.0)
        stores.audit.sign(at=9.0)
    assert (federation / "coordinator" / "audit-key.pem").read_bytes() == key
    with pytest.raises(AssertionError, match="the head that was signed over 8 events is not that of the events here"):
        check_all(federation)


def test_a_log_under_another_key_is_noticed(federation):
    (federation / "coordinator" / "audit-key.pem").unlink()
    ensure_audit_key(federation / "coordinator")
    with pytest.raises(AssertionError, match="is signed by"):
        check_all(federation)


def test_what_a_test_has_damaged_on_purpose_is_left_out(federation):
    changed(federation, "UPDATE audit SET hash = zeroblob(32) WHERE seq = 5")
    leave_out(federation / "coordinator", "this test is about that")
    assert check_all(federation) == 0
