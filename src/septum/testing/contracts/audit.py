"""The contract of `ports.audit.AuditLog`, as tests. Subclass AuditContract and give it logs to try."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.audit_key import witnessed
from septum.adapters.identity.roster_keys import verify
from septum.errors import NotFoundError
from septum.ports.audit import AuditLog
from septum.protocol.audit import (
    AuditEvent,
    AuditFilter,
    AuditKind,
    Checker,
    Record,
    check_goes_on,
    check_signature,
    check_witness,
    read_event,
)
from septum.protocol.feed import Kind
from septum.protocol.merkle import is_included, leaf_hash

RECORDS = (
    Record(Kind.SILO_INVITED, "ada", {"silo": "basel", "organisation": "st-marys"}),
    Record(Kind.RUN_SUBMITTED, "ben", {"run": "r-1", "project": "sepsis"}),
    Record(AuditKind.MODEL_MADE, about={"run": "r-1", "round": "1", "model": "blake3:aa"}),
    Record(AuditKind.SIGN_IN_REFUSED, about={"person": 'o"brien \\ "run":"x"', "address": "::1"}),
    Record(Kind.RUN_ENDED, about={"run": "r-1", "outcome": "finished"}),
    Record(Kind.RUN_SUBMITTED, "ada", {"run": "r-2"}),
    Record(AuditKind.SIGNED_IN, "ada\u00e9", {"address": "10.0.0.1"}),
)
FILTERS = (
    AuditFilter(),
    AuditFilter(kind="run"),
    AuditFilter(kind="run.submitted"),
    AuditFilter(by="ada"),
    AuditFilter(run="r-1"),
    AuditFilter(silo="basel"),
    AuditFilter(kind="run", by="ada", run="r-1"),
    AuditFilter(since="1970-01-01T00:00:03"),
    AuditFilter(until="1970-01-01T00:00:03", kind="run"),
    AuditFilter(kind="ru"),
)
SILO = Ed25519PrivateKey.from_private_bytes(bytes(32))


def fill(log: AuditLog) -> list[bytes]:
    """The events behind whatever was there, each at a second of its own."""
    begin = len(log.after(0))
    for second, record in enumerate(RECORDS):
        log.append([record], at=float(second))
    return [entry.event for entry in log.after(begin)]


class AuditContract:
    """Every audit log passes these."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[AuditLog]:
        """A log that lives in `directory`."""

    def test_events_are_numbered_and_chained_from_the_first_on(self, tmp_path: Path) -> None:
        """In one append or in several."""
        with self.make(tmp_path) as log:
            begun = len(log.after(0))
            log.append(RECORDS[:3], at=1.0)
            log.append(RECORDS[3:], at=2.5)
            entries = log.after(0)
            checker = Checker()
            for entry in entries:
                checker.take(entry)
            events = [read_event(entry.event) for entry in entries]
            assert [event.seq for event in events] == list(range(1, begun + len(RECORDS) + 1))
            assert [(event.kind, event.by, event.about) for event in events[begun:]] == [
                (record.kind.value, record.by, record.about) for record in RECORDS
            ]
            assert events[-1].at == "1970-01-01T00:00:02.500000Z"
            assert log.after(2, limit=3) == entries[2:5]
            assert log.check() == len(entries)

    def test_a_page_has_what_is_wanted_newest_first(self, tmp_path: Path) -> None:
        """As `AuditFilter.wants` has it, page by page as well."""
        with self.make(tmp_path) as log:
            fill(log)
            events = [read_event(entry.event) for entry in reversed(log.after(0))]
            for wanted, limit in product(FILTERS, (100, 2)):
                found: list[AuditEvent] = []
                before = 0
                while page := log.page(wanted, limit=limit, before=before):
                    found += page
                    before = page[-1].seq
                assert found == [event for event in events if wanted.wants(event)], wanted

    def test_a_write_and_what_it_records_are_there_together(self, tmp_path: Path) -> None:
        """Here the write is another event; with a head over both, if that is wanted."""
        with self.make(tmp_path) as log:
            with log.recording(RECORDS[:2], at=3.0, sign=True):
                log.append(RECORDS[2:3], at=3.0)
            log.append(RECORDS[3:4], at=3.0)
            size = len(log.after(0))
            kinds = sorted(read_event(entry.event).kind for entry in log.after(size - 4))
            assert kinds == sorted(record.kind.value for record in RECORDS[:4])
            head = log.newest_head()
            assert head is not None
            assert head.head.size == size - 1

    def test_a_head_is_signed_once_and_covers_all_events(self, tmp_path: Path) -> None:
        """By the log's own key, and each goes on from the one before."""
        with self.make(tmp_path) as log:
            heads = []
            for second, record in enumerate(RECORDS):
                log.append([record], at=0.0)
                head = log.sign(at=float(second))
                assert head is not None
                assert log.sign(at=99.0) == head == log.newest_head()
                check_signature(head, verify)
                heads.append(head)
            assert len({head.key for head in heads}) == 1
            assert list(log.heads()) == heads
            assert list(log.heads(after=heads[1].head.size, limit=2)) == heads[2:4]
            checker, left = Checker(), list(heads)
            for entry in log.after(0):
                checker.take(entry)
                if left[0].head.size == checker.size:
                    checker.check_head(left.pop(0).head)
            assert not left
            for first, second_ in product(heads, heads):
                one, other = first.head, second_.head
                if one.size <= other.size:
                    check_goes_on(one, other, log.consistency(one.size, other.size))

    def test_every_event_is_proven_to_be_in_every_log_that_has_it(self, tmp_path: Path) -> None:
        """And nothing is proven of one that is not there."""
        with self.make(tmp_path) as log:
            fill(log)
            entries, head = log.after(0), log.sign(at=1.0)
            assert head is not None
            size, root = head.head.size, bytes.fromhex(head.head.root)
            for seq, entry in enumerate(entries, 1):
                assert is_included(leaf_hash(entry.event), seq - 1, size, log.inclusion(seq, size), root)
            for seq, among in ((0, size), (1, size + 1)):
                with pytest.raises(NotFoundError):
                    log.inclusion(seq, among)
            for first, second in ((0, 1), (2, 1), (1, size + 1)):
                with pytest.raises(NotFoundError):
                    log.consistency(first, second)

    def test_a_silos_countersignature_is_kept_once(self, tmp_path: Path) -> None:
        """Beside the head that it is of."""
        with self.make(tmp_path) as log:
            for _ in range(2):
                log.append(RECORDS, at=1.0)
                head = log.sign(at=1.0)
                assert head is not None
                for silo in self.silos():
                    log.witness(witnessed(head.head, silo, SILO, 2.0))
                    log.witness(witnessed(head.head, silo, SILO, 3.0))
            found = log.witnesses()
            assert [(one.size, one.silo) for one in found] == sorted(
                (head.head.size, silo) for head in log.heads() for silo in self.silos()
            )
            assert {one.at for one in found} == {"1970-01-01T00:00:02.000000Z"}
            for one in found:
                (of,) = [head.head for head in log.heads() if head.head.size == one.size]
                check_witness(of, one, verify)
            first = log.witnesses(limit=3)
            assert list(first) == list(found[:2])
            assert list(log.witnesses(after=first[-1].size, limit=3)) == list(found[2:])
            with pytest.raises(NotFoundError):
                log.witness(witnessed(Checker().head(""), "basel", SILO, 2.0))

    def silos(self) -> tuple[str, ...]:
        """Silos that the log may know."""
        return ("basel", "bern")
