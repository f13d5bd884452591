"""How do audit logs look to people, and how do they become files and are checked?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from septum.adapters.identity.roster_keys import verify
from septum.cli.output import Answer, Json, Table, one_line
from septum.errors import ConfigError, ConflictError
from septum.protocol import audit_file
from septum.protocol.audit import AuditEntry, AuditEvent
from septum.protocol.codec import to_json

if TYPE_CHECKING:
    from septum.client.audit import AuditClient


def listed(events: Sequence[AuditEvent], empty: str) -> Answer:
    """Events, the newest at the bottom, as in a log. Times are UTC, as they are hashed."""
    shown = tuple(reversed(events))
    rows = tuple((str(one.seq), one.at[:19] + "Z", one.kind, about(one), one.by) for one in shown)
    table = Table(("NO", "AT", "WHAT", "ABOUT", "BY"), rows, empty)
    return Answer({"events": [to_json(one) for one in shown]}, (table,))


def about(event: AuditEvent) -> str:
    """What an event is about.

    >>> about(AuditEvent(1, "", "", "", {"run": "r-1", "round": "3"}))
    'round 3, run r-1'
    """
    return one_line(", ".join(f"{name} {text}" for name, text in sorted(event.about.items()) if text))


def exported(client: AuditClient, name: str = "coordinator") -> Iterator[bytes]:
    """The coordinator's log as the lines of a file: heads first, then all events that there are by then."""
    heads = list(client.heads())
    entries = (AuditEntry(line.event.encode(), bytes.fromhex(line.hash)) for line in client.lines())
    return audit_file.write(name, entries, heads, client.countersignatures())


def lines_of(file: Path) -> Iterator[bytes]:
    """The lines of a file. Raises ConfigError where it cannot be read."""
    try:
        with file.open("rb") as opened:
            yield from iter(lambda: opened.readline(audit_file.MAX_LINE_BYTES + 2), b"")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", hint="septum audit export FILE") from error


def verified(lines: Iterable[bytes], key: str, what: str) -> Answer:
    """That it holds, and what of it. Raises AuditError naming what does not."""
    found = audit_file.check(lines, verify, key)
    head = found.head
    data: dict[str, Json] = {
        "events": found.events,
        "heads": found.heads,
        "head": None if head is None else to_json(head),
        "countersigned": dict(found.silos.items()),
        "key": head.key if head else "",
    }
    shown = [f"{what} holds: {found.events} events, {found.heads} signed heads"]
    if head is not None:
        behind = found.events - head.head.size
        after = f"; {behind} events are newer than the newest head" if behind else ""
        shown.append(f"the newest head is of {head.head.size} events, root {head.head.root}{after}")
        by = "as it should be" if key else "compare it with what a silo knows: septum silo audit verify"
        shown.append(f"signed by {head.key}: {by}")
    shown += [f"countersigned by silo {silo} up to event {size}" for silo, size in found.silos.items()]
    return Answer(data, tuple(shown))


def kept(lines: Iterable[bytes], file: Path) -> Answer:
    """Write a file, whole or not at all. Raises ConflictError for one that is there."""
    if file.exists():
        raise ConflictError(f"{file} is there already", hint="give another file")
    part = file.with_name(f".{file.name}.part-{os.getpid()}")
    count = 0
    try:
        with part.open("wb") as opened:
            part.chmod(0o600)
            for line in lines:
                opened.write(line)
                count += 1
        part.rename(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}", hint=f"df -h {file.parent}") from error
    finally:
        part.unlink(missing_ok=True)
    return Answer({"file": str(file), "lines": count}, (f"{file}: {count} lines; next: septum audit verify {file}",))
