"""Does the audit log of every coordinator that a test has run still hold, and have the silos seen no other one?

`tests/e2e` and `tests/faults` ask this of each database that a module leaves behind, those in backups included. It is
read as it lies there, by SQL alone, and checked as anybody can check an export: each event, hash, signed head and
countersignature, under the key of the data directory. The newest head that each silo of the federation has seen, which
it keeps for itself, has to lie in that history.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.folders import files_in

from septum.adapters.identity.audit_key import FILE, ensure_audit_key
from septum.adapters.identity.roster_keys import verify
from septum.adapters.store.open import DATABASE_NAME
from septum.cli.federation import COORDINATOR
from septum.errors import AuditError
from septum.protocol import audit_file
from septum.protocol.audit import AuditEntry, Checker, Countersignature, SignedHead, check_signature
from septum.protocol.codec import from_json, loads
from septum.silo.witness import SEEN_NAME, seen_in

Ask = Callable[[str], Iterable[Sequence[Any]]]
_left_out: dict[Path, str] = {}


@dataclass(frozen=True, slots=True)
class Log:
    """What a database holds of its audit log."""

    entries: Sequence[AuditEntry]
    heads: Sequence[SignedHead]
    countersignatures: Sequence[Countersignature]


def leave_out(folder: Path, why: str) -> None:
    """What lies in this folder is not asked about: the test has changed it on purpose."""
    assert why
    _left_out[folder.resolve()] = why


def databases_in(folder: Path) -> Iterator[Path]:
    """Every data directory below a folder that has a database, but those that are left out."""
    for path in files_in(folder.resolve()):
        if path.name == DATABASE_NAME and not any(path.is_relative_to(one) for one in _left_out):
            yield path.parent


@pytest.fixture(scope="module", autouse=True)
def audit_logs_hold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After a module, and all of its fixtures: of each folder that it has made."""
    folder = tmp_path_factory.getbasetemp()
    before = set(folder.iterdir())
    yield
    for one in sorted(set(folder.iterdir()) - before):
        if not one.is_symlink():
            check_all(one)


def check_all(folder: Path) -> int:
    """Check every log below a folder; how many there are. Raises AssertionError with the folder of one that fails."""
    count = 0
    for data_dir in databases_in(folder):
        log = log_in(data_dir / DATABASE_NAME)
        if log is None:
            continue
        try:
            check(log, key_in(data_dir), heads_seen_beside(data_dir))
        except AuditError as error:
            raise AssertionError(f"the audit log in {data_dir}: {error.message}") from error
        count += 1
    return count


def check(log: Log, key: str, seen: Mapping[str, SignedHead]) -> None:
    """Whether it holds, under this key, and what silos have seen lies in it. Raises AuditError."""
    lines = audit_file.write("test", log.entries, log.heads, log.countersignatures)
    found = audit_file.check(lines, verify, key if log.heads else "")
    assert found.events == len(log.entries)
    for silo, signed in seen.items():
        check_signature(signed, verify, key)
        if signed.head.size > len(log.entries):
            raise AuditError(f"{silo} has seen {signed.head.size} events, and there are {len(log.entries)}")
        checker = Checker()
        for entry in log.entries[: signed.head.size]:
            checker.take(entry)
        checker.check_head(signed.head)


def log_in(database: Path) -> Log | None:
    """What a SQLite file holds; None where it has no audit log: it is older than that."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        return read(connection.execute) if "audit_heads" in tables else None


def read(ask: Ask) -> Log:
    """What a database holds, asked by SQL."""
    return Log(
        [
            AuditEntry(event.encode(), bytes(hash_))
            for event, hash_ in ask("SELECT event, hash FROM audit ORDER BY seq")
        ],
        [
            from_json(SignedHead, loads(text.encode()))
            for (text,) in ask("SELECT content FROM audit_heads ORDER BY size")
        ],
        [
            from_json(Countersignature, loads(text.encode()))
            for (text,) in ask("SELECT content FROM audit_witnesses ORDER BY size, silo")
        ],
    )


def key_in(data_dir: Path) -> str:
    """Under which its heads have to be signed; empty where a copy of a database lies without it."""
    return ensure_audit_key(data_dir).text if (data_dir / FILE).exists() else ""


def heads_seen_beside(data_dir: Path) -> dict[str, SignedHead]:
    """By silo, the newest head that it has seen. Empty beside anything but the coordinator of a `Federation`."""
    if data_dir.name != COORDINATOR:
        return {}
    found = {
        path.parent.parent.name: seen_in(path.parent).head for path in data_dir.parent.glob(f"*/state/{SEEN_NAME}")
    }
    return {silo: head for silo, head in found.items() if head is not None}
