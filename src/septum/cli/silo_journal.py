"""Which commands are there about the sums that a silo signed? All work on its directory and talk to nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.silo_app import user_name
from septum.cli.silo_dir import SiloDir
from septum.errors import ConfigError

if TYPE_CHECKING:
    from septum.silo.journal import Entry, Query

app = noun("journal", "The masked sums that this silo signed, so that no two of them tell what one silo sent.")


@command(app, "list")
def list_(call: Invocation, directory: SiloDir) -> Answer:
    """List every sum that this silo signed, over whom and about what, and what a steward has forgiven since."""
    del call
    from septum.silo.journal import read  # protocol: blake3, which `--help` does not load

    entries = read(directory)
    counts = _counts(entries)
    rows = tuple(_row(entry, counted) for entry, counted in zip(entries, counts, strict=True))
    data: list[Json] = [_json(entry, counted) for entry, counted in zip(entries, counts, strict=True)]
    columns = ("AT", "WHAT", "RUN", "WHERE", "OVER", "ABOUT", "DIGEST", "REASON")
    table = Table(columns, tuple(reversed(rows)), "no masked sum was signed here yet")
    return Answer({"entries": data}, (table,))


@command(app, "forgive")
def forgive(
    call: Invocation,
    directory: SiloDir,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the journal.")],
    statistics: Annotated[
        str, typer.Option("--statistics", metavar="APP_DIGEST", help="Forget the sums over the statistics of this app.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL_DIGEST", help="Forget the sums over updates of this model.")
    ] = "",
    queries: Annotated[
        bool, typer.Option("--queries", help="Forget the sums of all statistics that were asked with `septum stats`.")
    ] = False,
) -> Answer:
    """Let a model, or statistics, be summed over other silos than before. It may tell what one silo sent."""
    del call
    from septum.adapters.clock import SystemClock  # the protocol, which `--help` does not load
    from septum.silo.journal import EVERYTHING, MODEL, QUERIES, STATISTICS
    from septum.silo.journal import forgive as forgive_sums

    named = {STATISTICS: statistics, MODEL: model, QUERIES: EVERYTHING if queries else ""}
    if sum(map(bool, named.values())) != 1:
        raise ConfigError(
            "name one of --statistics, --model and --queries, the one that is to be summed anew",
            hint=f"septum silo journal list --dir {directory}",
        )
    kind, digest = next((kind, digest) for kind, digest in named.items() if digest)
    by = user_name()
    found = forgive_sums(directory, kind, digest, by, reason, SystemClock().unix())
    sums = sum(found.values())
    data: dict[str, Json] = {
        "kind": kind,
        "digest": digest,
        "sums": sums,
        "by": by,
        "reason": reason.strip(),
        "apps": [query.app for query in found],
    }
    return Answer(
        data,
        (
            f"{'1 sum' if sums == 1 else f'{sums} sums'} about the {kind} {digest} "
            "count no longer in this silo, for good",
            "whoever has such a sum and gets another one over almost the same silos can tell what one silo sent, "
            "yours or another's: this silo no longer stands in the way",
            "the agent heeds it from the next sum on, without a restart; other silos have journals of their own",
        ),
    )


def _counts(entries: tuple[Entry, ...]) -> list[bool]:
    """Whether each entry is a sum that counts: nothing about the same was forgiven after it."""
    from septum.silo.journal import Forgiven, Release

    forgiven: set[Query] = set()
    counts = []
    for entry in reversed(entries):
        if isinstance(entry, Forgiven):
            forgiven.add(entry.query)
        counts.append(isinstance(entry, Release) and entry.query not in forgiven)
    return counts[::-1]


def _row(entry: Entry, counted: bool) -> tuple[str, ...]:
    from septum.cli.views import when  # protocol: blake3, which `--help` does not load
    from septum.silo.journal import Release

    about = (entry.query.kind, entry.query.name)
    if isinstance(entry, Release):
        where = f"{entry.stage} {entry.round} attempt {entry.attempt}"
        what = "signed" if counted else "signed, forgiven since"
        return (when(entry.at), what, entry.run, where, " ".join(entry.silos), *about, "")
    return (when(entry.at), f"forgiven by {one_line(entry.by)}", "", "", "", *about, one_line(entry.reason))


def _json(entry: Entry, counted: bool) -> Json:
    from septum.protocol.codec import to_tagged_json
    from septum.silo.journal import Release

    body = to_tagged_json(entry)
    assert isinstance(body, dict)
    return {**body, "counts": counted} if isinstance(entry, Release) else body
