"""Which commands are there about a silo's own audit log? All read the silo's directory and talk to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json
from septum.cli.silo_app import user_name
from septum.cli.silo_dir import SiloDir
from septum.errors import AuditError, ConfigError

if TYPE_CHECKING:
    from septum.silo.witness import Changed

app = noun("audit", "What was done in this silo and by whom, and whether the coordinator's audit log is what it was.")


@command(app, "list")
def list_(
    call: Invocation,
    directory: SiloDir,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest at most.")] = 50,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="As in data.opened, or all of data.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="ID", help="Only about the run of this id.")] = "",
) -> Answer:
    """List what was done here: packages approved, data given to runs, budget spent, what a steward forgave."""
    del call
    from septum.cli.audit_views import listed  # protocol: blake3, which `--help` does not load
    from septum.protocol.audit import AuditFilter
    from septum.silo.audit import check

    wanted = AuditFilter(kind=kind, run=run)
    found = [event for event in check(directory) if wanted.wants(event)][-limit:]
    return listed(found[::-1], "nothing yet, or nothing like that")


@command(app, "verify")
def verify(
    call: Invocation,
    directory: SiloDir,
    head: Annotated[
        str,
        typer.Option(
            "--head", metavar="NUMBER:HASH", help="The newest event that the coordinator was told, by its audit log."
        ),
    ] = "",
) -> Answer:
    """Check this silo's log, and say what it has seen of the coordinator's: a head and a key to compare."""
    del call
    from septum.protocol.codec import to_json
    from septum.silo.audit import check, entries, newest
    from septum.silo.witness import changed_in, head_text, seen_in

    events, own, seen, changed = check(directory), newest(directory), seen_in(directory), changed_in(directory)
    hashes = [entry.hash.hex() for entry in entries(directory)]
    for known in filter(None, (head, seen.told)):
        _find(hashes, known, directory)
    data: dict[str, Json] = {
        "events": len(events),
        "newest": str(own),
        "coordinator": None if seen.head is None else to_json(seen.head),
        "changed": None if changed is None else to_json(changed),
    }
    shown = [f"{len(events)} events hold; the newest is {own}"]
    if seen.head is not None:
        shown.append(f"of the coordinator's log this silo has seen {head_text(seen.head)}\nsigned by {seen.head.key}")
    return Answer(data, tuple(shown), None if changed is None else _said(changed, directory))


@command(app, "export")
def export(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; it must not be there yet.")],
    directory: SiloDir,
) -> Answer:
    """Write this silo's log to a file of JSON lines, which `septum audit verify FILE` checks."""
    del call
    from septum.cli.audit_views import kept
    from septum.protocol.audit_file import write
    from septum.silo.audit import entries
    from septum.silo.config import CONFIG_NAME, read_config

    name = read_config(directory / CONFIG_NAME).name
    return kept(write(name, entries(directory), (), ()), file)


@command(app, "accept")
def accept(
    call: Invocation,
    directory: SiloDir,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in this silo's log.")],
) -> Answer:
    """Go on with the coordinator's audit log as it is now, though it is not the one that this silo has seen."""
    del call
    from septum.silo.witness import accept as accept_history
    from septum.silo.witness import head_text

    head = accept_history(directory, user_name(), reason)
    seen = "nothing yet" if head is None else head_text(head)
    return Answer(
        {"seen": seen, "because": reason.strip(), "by": user_name()},
        (
            f"what this silo had seen, {seen}, counts no longer; evidence of another history stays in {directory}",
            "the agent takes part in new runs again, and compares from the next head on, without a restart",
        ),
    )


def _find(hashes: list[str], head: str, directory: Path) -> None:
    number, _, hash_ = head.partition(":")
    if not (number.isascii() and number.isdigit() and hash_):
        raise ConfigError(f"--head {head!r} is no NUMBER:HASH", hint="septum audit list --kind silo.audit_log")
    if int(number) > len(hashes) or (int(number) and hashes[int(number) - 1] != hash_):
        raise AuditError(
            f"event {head}, of which the coordinator was told, is not in the audit log of {directory}: it was cut or "
            "made anew since",
            hint="bring back the newest copy of the silo's directory, and ask who put this one here",
        )


def _said(changed: Changed, directory: Path) -> AuditError:
    return AuditError(
        f"the coordinator's audit log is not the one that this silo has seen: {changed.why}",
        hint=f"ask the coordinator's operator why; if it was put back to a backup: septum silo audit accept "
        f"--dir {directory} --reason WHY",
    )
