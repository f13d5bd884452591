"""Does a silo find that its coordinator's audit log is another one than it was? Against logs that lie."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.roster_keys import verify
from septum.errors import ConfigError, ConnectionFailedError
from septum.protocol.audit import HeadShown, check_witness
from septum.silo import audit
from septum.silo.log import Log
from septum.silo.witness import Witness, accept, changed_in, seen_in
from septum.testing.contracts.audit import RECORDS
from septum.testing.memory_audit import MemoryAudit

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Coordinator:
    """Shows the heads of a log, as `coordinator.audit_api` does; the log can be exchanged for another one."""

    def __init__(self):
        self.log, self.asked = MemoryAudit(), []

    def add(self, *records):
        self.log.append(records or RECORDS[:1], at=1.0)
        self.log.sign(at=1.0)

    def rewrite(self, number):
        """The same with another event, signed with the same key: what only a coordinator itself can do."""
        other, self.log = self.log, MemoryAudit()
        self.log._key = other._key
        for seq in range(1, len(other.entries) + 1):
            self.add(RECORDS[5] if seq == number else RECORDS[0])

    def show(self, seen):
        self.asked.append(seen)
        head = self.log.newest_head()
        proof = ()
        if head is not None and 0 < seen.size <= head.head.size:
            proof = self.log.consistency(seen.size, head.head.size)
        return HeadShown(head, tuple(one.hex() for one in proof))


@pytest.fixture
def coordinator():
    return Coordinator()


@pytest.fixture
def witness(coordinator, tmp_path):
    return Witness(tmp_path, "basel", KEY, lambda seen: coordinator.show(seen), Log(), lambda: 5.0)


def kinds(silo_dir):
    return [event.kind for event in audit.check(silo_dir)]


def test_a_log_that_only_grows_is_countersigned_head_by_head(coordinator, witness, tmp_path):
    witness.look()  # before there is a head
    for _ in range(3):
        coordinator.add(*RECORDS)
        witness.look()
        newest = coordinator.log.newest_head().head
        check_witness(newest, coordinator.asked[-1].witness, verify)  # in the same look, not a minute later
    assert [seen.size for seen in coordinator.asked] == [0, 0, 7, 7, 14, 14, 21]
    assert [seen.witness and seen.witness.size for seen in coordinator.asked] == [None, None, 7, None, 14, None, 21]
    witness.look()
    assert (coordinator.asked[-1].size, coordinator.asked[-1].witness) == (21, None)  # it has that one
    assert seen_in(tmp_path).head == coordinator.log.newest_head()
    assert kinds(tmp_path) == ["coordinator.known"]
    assert witness.refuses() is None


def test_a_signature_that_was_not_taken_is_brought_at_the_next_look(coordinator, witness):
    show, signed = coordinator.show, []

    def lossy(seen):
        if seen.witness is not None and not signed:
            signed.append(seen.witness)
            raise ConnectionFailedError("away")
        return show(seen)

    coordinator.show = lossy
    coordinator.add(*RECORDS)
    with pytest.raises(ConnectionFailedError):
        witness.look()
    witness.look()
    assert coordinator.asked[-1].witness == signed[0]


def test_of_a_log_that_never_rests_a_look_signs_one_head_and_leaves_the_next_to_the_next_look(coordinator, witness):
    show = coordinator.show

    def busy(seen):
        coordinator.add()
        return show(seen)

    coordinator.show = busy
    for _ in range(2):
        witness.look()
    assert [seen.witness and seen.witness.size for seen in coordinator.asked] == [None, 1, 2, 3]


def test_the_coordinator_is_told_the_newest_event_of_this_silos_own_log(coordinator, witness, tmp_path):
    audit.record(tmp_path, audit.SiloKind.APP_APPROVED, "ada")
    witness.look()
    assert coordinator.asked[0].own == str(audit.newest(tmp_path))


@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_history_that_was_rewritten_is_found_recorded_and_no_new_run_is_begun(number, coordinator, witness, tmp_path):
    for _ in range(7):
        coordinator.add()
    witness.look()
    before = seen_in(tmp_path)
    coordinator.rewrite(number)
    coordinator.add(*RECORDS)
    witness.look()
    witness.look()
    assert kinds(tmp_path) == ["coordinator.known", "coordinator.history_changed"]
    assert witness.refuses().rule == "audit"
    evidence = changed_in(tmp_path)
    assert (evidence.seen, evidence.shown.head) == (before.head, coordinator.log.newest_head())
    assert seen_in(tmp_path) == before  # what was seen stays what it was
    assert coordinator.asked[-1].witness is None


def test_a_history_that_was_rewritten_without_a_new_event_is_found(coordinator, witness):
    for _ in range(4):
        coordinator.add()
    witness.look()
    coordinator.rewrite(2)
    witness.look()
    assert witness.refuses() is not None


def test_a_history_that_was_cut_is_found(coordinator, witness, tmp_path):
    for _ in range(4):
        coordinator.add()
    witness.look()
    coordinator.rewrite(0)
    coordinator.log._heads = coordinator.log._heads[:2]
    witness.look()
    assert "it was cut or put back" in changed_in(tmp_path).why


def test_a_log_under_another_key_is_found(coordinator, witness, tmp_path):
    coordinator.add()
    witness.look()
    coordinator.log = MemoryAudit()
    coordinator.add()
    witness.look()
    assert "is signed by" in changed_in(tmp_path).why


def test_a_log_that_is_gone_is_found(coordinator, witness, tmp_path):
    coordinator.add()
    witness.look()
    coordinator.log = MemoryAudit()
    witness.look()
    assert "no audit log any more" in changed_in(tmp_path).why


def test_a_proof_that_is_none_is_no_proof(coordinator, witness, tmp_path):
    coordinator.add(*RECORDS)
    witness.look()
    coordinator.add()
    shown = coordinator.show
    coordinator.show = lambda seen: HeadShown(shown(seen).head, ("no hex",))
    witness.look()
    assert changed_in(tmp_path).why == "a bad proof"


def test_a_steward_who_knows_why_goes_on_with_the_log_as_it_is(coordinator, witness, tmp_path):
    coordinator.add(*RECORDS)
    witness.look()
    coordinator.rewrite(3)
    witness.look()
    with pytest.raises(ConfigError, match="a reason"):
        accept(tmp_path, "ada", " ")
    accept(tmp_path, "ada", "restored from the backup of Monday")
    assert witness.refuses() is None
    witness.look()
    assert witness.refuses() is None
    assert kinds(tmp_path)[-2:] == ["coordinator.history_accepted", "coordinator.known"]
    assert list(tmp_path.glob("audit-changed-7-*.json"))


def test_a_steward_who_was_told_before_need_not_wait_until_it_is_found(coordinator, witness, tmp_path):
    assert accept(tmp_path, "ada", "nothing was seen yet") is None
    coordinator.add(*RECORDS)
    witness.look()
    accept(tmp_path, "ada", "it is to be restored tonight")
    coordinator.rewrite(3)
    witness.look()
    assert witness.refuses() is None


def test_a_restart_of_the_agent_forgets_nothing(coordinator, witness, tmp_path):
    coordinator.add(*RECORDS)
    witness.look()
    coordinator.rewrite(3)
    again = Witness(tmp_path, "basel", KEY, coordinator.show, Log(), lambda: 5.0)
    again.look()
    assert again.refuses() is not None


def test_a_coordinator_that_is_away_changes_nothing(coordinator, witness, tmp_path):
    def away(seen):
        raise ConnectionFailedError("away")

    coordinator.show = away
    with pytest.raises(ConnectionFailedError):
        witness.look()
    assert kinds(tmp_path) == []
