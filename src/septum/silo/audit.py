"""What was done in this silo, and by whom? One line an event in `audit.jsonl`, chained by hashes; it stays here.

The events and the chain are those of the coordinator's log (protocol/audit.py). A line that was changed, removed, added
or put elsewhere is found by the chain. An end that was cut off is found by the newest event that the coordinator was
told (`witness.py`), which its log keeps: whoever may write this directory may make a whole chain anew, and cannot make
that one.
"""

from __future__ import annotations

import time
import types
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from septum.errors import AuditError, MessageError
from septum.protocol.audit import AuditEntry, AuditEvent, Checker, Record, event_of, linked, read_event
from septum.protocol.audit_file import entry_of_line, line_of_entry
from septum.silo.file_lock import locked
from septum.silo.lines import MAX_LINE_BYTES, append_line, whole_lines

FILE_NAME, LOCK_NAME = "audit.jsonl", "audit.lock"


class SiloKind(Enum):
    """What is recorded in a silo."""

    ENROLLED = "silo.enrolled"
    KEY_RENEWED = "silo.key_renewed"
    AGENT_STARTED = "agent.started"
    RULES = "rules.in_force"
    APP_APPROVED = "app.approved"
    APP_REVOKED = "app.revoked"
    ROSTER_PINNED = "roster.pinned"
    DATA_OPENED = "data.opened"
    RUN_REFUSED = "run.refused"
    BUDGET = "budget.entry"
    SUMS_FORGIVEN = "sums.forgiven"
    PAUSED = "silo.paused"
    RESUMED = "silo.resumed"
    WITHDRAWN = "run.withdrawn"
    COORDINATOR_KNOWN = "coordinator.known"
    HISTORY_CHANGED = "coordinator.history_changed"
    HISTORY_ACCEPTED = "coordinator.history_accepted"


SAYS: Mapping[SiloKind, str] = types.MappingProxyType(
    {
        SiloKind.ENROLLED: "This machine has become the silo, with this key.",
        SiloKind.KEY_RENEWED: "The silo has this key in place of the one before.",
        SiloKind.AGENT_STARTED: "The agent was started.",
        SiloKind.RULES: "The rules of `silo.toml` have this digest from now on.",
        SiloKind.APP_APPROVED: "A steward, or a key that the rules name, has said that a package may run.",
        SiloKind.APP_REVOKED: "A steward has said that a package may not run any more.",
        SiloKind.ROSTER_PINNED: "A roster counts from now on: by a steward's word, or as the next after the last.",
        SiloKind.DATA_OPENED: "A run was given rows of a dataset: its digest, how many rows, which columns.",
        SiloKind.RUN_REFUSED: "A run was refused, by this rule.",
        SiloKind.BUDGET: "The privacy ledger has a new entry: reserved, settled, released, refused or recovered.",
        SiloKind.SUMS_FORGIVEN: "Break-glass: a steward lets the same be summed over other silos than before.",
        SiloKind.PAUSED: "A steward lets no run begin.",
        SiloKind.RESUMED: "A steward lets runs begin again.",
        SiloKind.WITHDRAWN: "A steward has left a run for good.",
        SiloKind.COORDINATOR_KNOWN: "The coordinator has shown under which key it signs its audit log.",
        SiloKind.HISTORY_CHANGED: "The coordinator's audit log is not the one that this silo has seen.",
        SiloKind.HISTORY_ACCEPTED: "Break-glass: a steward goes on with the coordinator's audit log as it is now.",
    }
)
"""Each kind in one sentence."""


@dataclass(frozen=True, slots=True)
class Own:
    """The newest event of a silo's log: how many there are, and the hash that all of them are in."""

    size: int
    chain: bytes

    def __str__(self) -> str:
        return f"{self.size}:{self.chain.hex()}"


def record(silo_dir: Path, kind: SiloKind, by: str = "", **about: str) -> None:
    """Add an event; it is on the disk when this returns. Raises StorageError, AuditError for an end that is no event.

    Of the lines before only the last is read: `check` reads all.
    """
    with _alone(silo_dir):
        newest = _newest(silo_dir)
        event = event_of(newest.size + 1, Record(kind, by, about), time.time()).bytes
        append_line(silo_dir / FILE_NAME, line_of_entry(AuditEntry(event, linked(newest.chain, event))))


def newest(silo_dir: Path) -> Own:
    """The newest event. Raises AuditError for an end that is none."""
    with _alone(silo_dir):
        return _newest(silo_dir)


def check(silo_dir: Path) -> tuple[AuditEvent, ...]:
    """Every event, oldest first. Raises AuditError naming the first that does not follow from those before."""
    checker, events = Checker(), []
    for number, entry in enumerate(entries(silo_dir), 1):
        checker.take(entry)
        try:
            events.append(read_event(entry.event))
        except MessageError as error:
            raise _damaged(silo_dir, f"line {number}", error.message) from error
    return tuple(events)


def entries(silo_dir: Path) -> Iterator[AuditEntry]:
    """Every line, as it is kept. Raises AuditError for what is no line."""
    for number, line in enumerate(whole_lines(silo_dir / FILE_NAME), 1):
        try:
            yield entry_of_line(line)
        except MessageError as error:
            raise _damaged(silo_dir, f"line {number}", error.message) from error


def _newest(silo_dir: Path) -> Own:
    path = silo_dir / FILE_NAME
    end = path.stat().st_size if path.exists() else 0
    lines = whole_lines(path, max(0, end - 2 * MAX_LINE_BYTES))  # the last one is whole in it, and what a kill left
    if not lines:
        return Own(0, Checker().chain)
    try:
        last = entry_of_line(lines[-1])
        return Own(read_event(last.event).seq, last.hash)
    except MessageError as error:
        raise _damaged(silo_dir, "the last line", error.message) from error


def _damaged(silo_dir: Path, where: str, why: str) -> AuditError:
    path = silo_dir / FILE_NAME
    return AuditError(f"{path}, {where}: {why}", hint=f"septum silo audit verify --dir {silo_dir}")


def _alone(silo_dir: Path) -> AbstractContextManager[None]:
    """The agent and a steward's command must not build on the same event."""
    return locked(silo_dir / LOCK_NAME, "the audit log")
