"""Is an audit log checked as it is written? Known answers by hand, and files that somebody has changed."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.audit_key import AuditKey, witnessed
from septum.adapters.identity.roster_keys import verify
from septum.errors import AuditError, MessageError
from septum.protocol.audit import (
    AUDIT_SAYS,
    GENESIS,
    MAX_TEXT,
    UNRECORDED,
    AuditEntry,
    AuditKind,
    Checker,
    HeadSeen,
    Record,
    TreeHead,
    check_goes_on,
    check_signature,
    check_witness,
    event_of,
    linked,
    read_event,
    record_of,
    records_of,
)
from septum.protocol.audit_file import check, entry_of_line, line_of_entry, write
from septum.protocol.feed import Change, Kind
from septum.protocol.messages import Outcome
from septum.testing.contracts.audit import RECORDS, SILO
from septum.testing.memory_audit import MemoryAudit


def test_the_chain_and_the_root_of_two_events_worked_out_by_hand():
    one = b'{"about":{},"at":"1970-01-01T00:00:00.000000Z","by":"ada","kind":"person.signed_in","seq":1}'
    two = b'{"about":{"run":"r-1"},"at":"1970-01-01T00:00:01.500000Z","by":"","kind":"run.ended","seq":2}'
    assert event_of(1, Record(AuditKind.SIGNED_IN, "ada"), 0.0).bytes == one
    assert event_of(2, Record(Kind.RUN_ENDED, about={"run": "r-1"}), 1.5).bytes == two
    first = sha256(sha256(b"septum-audit-v1").digest() + one).digest()
    second = sha256(first + two).digest()
    checker = Checker()
    checker.take(AuditEntry(one, first))
    checker.take(AuditEntry(two, second))
    left, right = sha256(b"\x00" + one).digest(), sha256(b"\x00" + two).digest()
    assert checker.head("now") == TreeHead(2, "now", sha256(b"\x01" + left + right).hexdigest(), second.hex())


def test_every_kind_is_explained_and_none_of_the_feeds_means_something_else():
    kinds = [kind.value for kind in (*Kind, *AuditKind)]
    assert len(kinds) == len(set(kinds))
    assert set(AUDIT_SAYS) == set(kinds)


def test_a_change_is_recorded_with_all_that_it_says():
    change = Change(
        Kind.RUN_ENDED, "ada", "r-1", project="sepsis", outcome=Outcome.FAILED, reason="no quorum", roles=("a", "b")
    )
    assert record_of(change) == Record(
        Kind.RUN_ENDED,
        "ada",
        {"run": "r-1", "project": "sepsis", "outcome": "failed", "reason": "no quorum", "roles": "a b"},
    )
    assert {record.kind for record in records_of(Change(kind) for kind in Kind)} == set(Kind) - UNRECORDED


def test_texts_that_are_too_long_are_cut_so_that_every_event_can_be_read():
    event = event_of(1, Record(AuditKind.SIGNED_IN, "x" * 9999, {f"field-{n}": "\u00e9" * 9999 for n in range(5)}), 0.0)
    assert len(event.by) == MAX_TEXT
    assert read_event(event.bytes) == event


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"seq":1}', b'{"about":{"a":1},"at":"","by":"","kind":"","seq":1}'])
def test_what_is_no_event_is_not_read_as_one(data):
    with pytest.raises(MessageError):
        read_event(data)


@pytest.mark.parametrize("own", ["x", "1:", "1:zz", "-1:" + "0" * 64, "1:" + "0" * 65])
def test_what_is_no_newest_event_is_refused(own):
    with pytest.raises(MessageError):
        HeadSeen(0, None, own)


def test_a_head_and_its_countersignature_are_signed_as_different_things():
    log = filled()
    signed = log.newest_head()
    mine = witnessed(signed.head, "basel", SILO, 1.0)
    check_signature(signed, verify)
    check_witness(signed.head, mine, verify)
    crossed = AuditKey(SILO).sign(signed.head)
    with pytest.raises(AuditError, match="is not the head"):
        check_witness(signed.head, type(mine)("basel", mine.size, crossed.key, crossed.signature), verify)
    with pytest.raises(AuditError, match="does not hold"):
        check_signature(type(signed)(signed.head, mine.key, mine.signature), verify)


def test_a_shorter_log_never_goes_on_from_a_longer_one():
    log = filled()
    small, large = log.heads()[0].head, log.heads()[-1].head
    check_goes_on(small, large, log.consistency(small.size, large.size))
    with pytest.raises(AuditError, match="it was cut or put back"):
        check_goes_on(large, small, ())


# --- files -------------------------------------------------------------------------------------------------------


def filled():
    """Seven events, with heads of three, six and seven, the middle one countersigned."""
    log = MemoryAudit()
    for begin, end in ((0, 3), (3, 6), (6, 7)):
        log.append(RECORDS[begin:end], at=1.0)
        log.sign(at=1.0)
    log.witness(witnessed(log.heads()[1].head, "basel", SILO, 1.0))
    return log


def lines_of(log):
    return list(write("septum", log.entries, log.heads(), log.witnesses()))


def test_a_file_says_what_is_in_it():
    log = filled()
    found = check(lines_of(log), verify, log.newest_head().key)
    assert (found.events, found.heads, found.head) == (7, 3, log.newest_head())
    assert found.silos == {"basel": 6}


def test_a_third_party_needs_no_septum():
    """The hashes of a file, with the standard library alone."""
    chain = GENESIS
    for line in lines_of(filled()):
        if line.startswith(b'{"event":'):
            content = json.loads(line)
            event = json.dumps(content["event"], sort_keys=True, separators=(",", ":")).encode()
            chain = sha256(chain + event).digest()
            assert content["hash"] == chain.hex()
    assert chain != GENESIS


def test_events_newer_than_the_newest_head_are_checked_as_well():
    log = filled()
    log.append(RECORDS[:2], at=2.0)
    lines = lines_of(log)
    assert check(lines, verify).events == 9
    bad = [line.replace(b'"by":"ada"', b'"by":"bob"') if b'"seq":8' in line else line for line in lines]
    with pytest.raises(AuditError, match="audit event 8 does not hold"):
        check(bad, verify)


def changed(kind, change, number=0):
    """The lines with the n-th line of a kind given to `change`."""
    lines = lines_of(filled())
    places = [place for place, line in enumerate(lines) if line.startswith(b'{"%s":' % kind)]
    place = places[number]
    return [*lines[:place], *change(lines[place]), *lines[place + 1 :]]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (lines_of(filled())[:-1], "it was cut after 7 events"),
        (lines_of(filled())[:8], "the end is missing"),
        (lines_of(filled())[1:], "line 1: "),
        ([], "this is no audit log"),
        ([b"not JSON\n"], "line 1"),
        ([*lines_of(filled()), b"{}\n"], "behind the end"),
        (changed(b"event", lambda line: [line.replace(b"r-1", b"r-3")], 1), "audit event 2 does not hold"),
        (changed(b"event", lambda _: [], 3), "audit event 4 does not hold: in its place stands event 5"),
        (changed(b"event", lambda line: [line, line], 3), "audit event 5 does not hold"),
        (changed(b"event", lambda line: [line[:-20] + b"\n"], 3), "line 8"),
        (changed(b"head", lambda _: [], 2), "has not as many lines"),
        (changed(b"head", lambda line: [line.replace(b'"size":6', b'"size":5')], 1), "signature under the head"),
        (changed(b"countersignature", lambda line: [line.replace(b'"size":6', b'"size":7')]), "silo 'basel' signed"),
        (changed(b"countersignature", lambda line: [line.replace(b'"size":6', b'"size":5')]), "and the file has none"),
        (changed(b"countersignature", lambda _: []), "has not as many lines"),
    ],
)
def test_whatever_is_changed_in_a_file_is_found(lines, named):
    with pytest.raises(AuditError, match=named):
        check(lines, verify)


def test_events_that_change_places_are_found():
    lines = lines_of(filled())
    lines[6], lines[7] = lines[7], lines[6]
    with pytest.raises(AuditError, match="audit event 3 does not hold: in its place stands event 4"):
        check(lines, verify)


def test_a_whole_log_that_somebody_made_anew_is_signed_by_a_foreign_key():
    forged = filled()
    assert check(lines_of(forged), verify).events == 7  # it holds in itself
    with pytest.raises(AuditError, match="and not by ed25519:"):
        check(lines_of(forged), verify, filled().newest_head().key)


def test_a_head_by_a_foreign_key_among_others_is_found():
    log = filled()
    foreign = AuditKey(Ed25519PrivateKey.generate()).sign(log.heads()[0].head)
    log._heads[0] = foreign
    with pytest.raises(AuditError, match="is signed by"):
        check(lines_of(log), verify)


def test_a_history_that_was_rewritten_under_its_own_heads_is_found():
    log, other = filled(), MemoryAudit()
    other.append([RECORDS[1], *RECORDS[1:]], at=1.0)
    log.entries = other.entries
    with pytest.raises(AuditError, match="signed over 3 events is not that of the events here"):
        check(lines_of(log), verify)


def test_a_line_is_its_event_to_the_byte():
    entry = AuditEntry(b'{"a":1}', bytes(range(32)))
    assert entry_of_line(line_of_entry(entry)) == entry
    assert linked(GENESIS, entry.event) != entry.hash
    with pytest.raises(MessageError):
        entry_of_line(b'{"event":{},"hash":"00"}')
