"""Which commands are there about the coordinator's audit log?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("audit", "The coordinator's audit log: read it, check that nobody changed it, keep it elsewhere.")

Key = Annotated[
    str,
    typer.Option(
        "--key", metavar="KEY", help="The key under which its heads have to be signed, or a file with it: ed25519:..."
    ),
]


@command(app, "list", remote=True)
def list_(
    call: Invocation,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many of the newest at most.")] = 20,
    before: Annotated[int, typer.Option("--before", min=0, help="Only those before this number.")] = 0,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="As in run.ended, or all of run.")] = "",
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Done by this person, operator or silo:NAME.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Only about this run.")] = "",
    silo: Annotated[str, typer.Option("--silo", metavar="SILO", help="Only about this silo.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="UTC, as in 2026-01-31 or with THH:MM.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Before this time.")] = "",
) -> Answer:
    """List what was recorded: who came in, changed, read and was refused something, and what was learnt from silos."""
    from septum.cli import audit_views  # protocol: blake3, which `--help` does not load
    from septum.protocol.audit import AuditFilter

    with call.client() as client:
        found = client.audit.page(AuditFilter(kind, by, run, silo, since, until), limit=limit, after=before)
    return audit_views.listed(found, "nothing yet, or nothing like that")


@command(app, "verify", remote=True)
def verify(
    call: Invocation,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export; without it the coordinator is asked for all.")
    ] = None,
    key: Key = "",
) -> Answer:
    """Check each event, hash, signed head and countersignature here, trusting no server; name the first bad event."""
    from septum.adapters.identity.roster_keys import key_of  # cryptography
    from septum.cli import audit_views

    known = key_of(key) if key else ""
    if file is not None:
        return audit_views.verified(audit_views.lines_of(file), known, str(file))
    with call.client() as client:
        return audit_views.verified(audit_views.exported(client.audit), known, "the coordinator's audit log")


@command(app, "export", remote=True)
def export(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; it must not be there yet.")],
) -> Answer:
    """Write all of it to a file of JSON lines, with heads and countersignatures, for others to check without septum."""
    from septum.cli import audit_views

    with call.client() as client:
        return audit_views.kept(audit_views.exported(client.audit), file)
