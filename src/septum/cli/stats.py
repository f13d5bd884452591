"""Which commands are there about statistics over silos?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli import options
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("stats", "Ask for statistics over silos, in masked sums, without any training.")

Columns = Annotated[
    str,
    typer.Option("--columns", metavar="A,B", help="Present and missing; mean and sd of numbers, counts of codes."),
]
Quantiles = Annotated[
    list[str] | None,
    typer.Option("--quantiles", metavar="COLUMN[:0.1/0.9]", help="Quantiles; the quartiles if no shares are given."),
]
Histogram = Annotated[
    list[str] | None,
    typer.Option("--histogram", metavar="COLUMN:N", help="Count in N groups of equal width over the contract's range."),
]
Cut = Annotated[
    list[str] | None,
    typer.Option("--cut", metavar="COLUMN:X/Y", help="Count in groups: up to X, above X to Y, above Y."),
]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="A,B", help="The groups of A by those of B, with chi-square; of a 2x2 the odds."),
]
MinCell = Annotated[
    int | None,
    typer.Option(
        "--min-cell",
        min=1,
        help="Hide counts of fewer people, 5 if left out; a silo's policy asks for a least. Not with --epsilon.",
    ),
]
Epsilon = Annotated[
    float | None,
    typer.Option(
        "--epsilon",
        metavar="EPSILON",
        help="Each silo adds noise, so that all that it tells costs its records this; paid from its ledger.",
    ),
]
Delta = Annotated[float, typer.Option("--delta", help="The delta at which --epsilon holds.")]


@command(app, "run", remote=True)
def run(
    call: Invocation,
    app_named: Annotated[
        str,
        typer.Argument(
            metavar="APP", help="Whose data contract it is: NAME or NAME==VERSION of a package; or a folder."
        ),
    ],
    columns: Columns = "",
    quantiles: Quantiles = None,
    histogram: Histogram = None,
    cut: Cut = None,
    table: Tables = None,
    min_cell: MinCell = None,
    epsilon: Epsilon = None,
    delta: Delta = 1e-5,
    project: options.Project = "",
    silos: Annotated[
        str,
        typer.Option("--silos", metavar="A,B", help="Silos by name; all enrolled, or the project's, if left out."),
    ] = "",
    quorum: Annotated[int, typer.Option("--quorum", min=0, help="Silos that it takes; 0 stands for all.")] = 0,
    gather: options.Gather = 60.0,
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="SECONDS", help="How long silos may take to count.")
    ] = 600.0,
) -> Answer:
    """Ask silos for statistics of an app's columns, and wait for the answer. No code of the app runs."""
    from septum.cli import asking  # the protocol, httpx

    asked = asking.Asked(
        columns,
        tuple(quantiles or ()),
        tuple(histogram or ()),
        tuple(cut or ()),
        tuple(table or ()),
        min_cell,
        asking.noise_of(epsilon, delta),
    )
    named = options.names(silos)
    return asking.ask(call, app_named, asked, asking.Terms(named, quorum, gather, deadline, project))


@command(app, "list", remote=True)
def list_(
    call: Invocation,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 20,
    after: Annotated[str, typer.Option("--after", metavar="RUN", help="Only what follows this run: older ones.")] = "",
    project: Annotated[str, typer.Option("--project", metavar="PROJECT", help="Only those of this project.")] = "",
    app_named: Annotated[
        str, typer.Option("--app", metavar="APP", help="Only about this app's columns: NAME, or NAME==VERSION.")
    ] = "",
) -> Answer:
    """List what was asked, as far as you may see it, newest first."""
    from septum.cli import stats_views  # the protocol

    with call.client() as client:
        found = client.runs(limit=limit, after=after, project=project, app=app_named, asks=True)
    return stats_views.questions(found)


@command(app, "show", remote=True)
def show(call: Invocation, run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run that asked.")]) -> Answer:
    """Show what a run was answered."""
    from septum.cli import asking  # the protocol

    with call.client() as client:
        return asking.answer_of(client, run_id)


@command(app, "simulate")
def simulate(
    call: Invocation,
    app_dir: Annotated[Path, typer.Argument(metavar="APP_DIR", help="The app's folder: of it septum.toml is read.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="NAME=PATH",
            help="A virtual silo and its file; may be repeated. If left out, each file in APP_DIR/data is a silo.",
        ),
    ] = None,
    columns: Columns = "",
    quantiles: Quantiles = None,
    histogram: Histogram = None,
    cut: Cut = None,
    table: Tables = None,
    min_cell: MinCell = None,
    epsilon: Epsilon = None,
    delta: Delta = 1e-5,
) -> Answer:
    """Answer as the silos would, from files on this machine: the same numbers, to the bit, but for noise."""
    del call
    from septum.cli import asking, asking_here  # numpy

    asked = asking.Asked(
        columns,
        tuple(quantiles or ()),
        tuple(histogram or ()),
        tuple(cut or ()),
        tuple(table or ()),
        min_cell,
        asking.noise_of(epsilon, delta),
    )
    return asking_here.simulate(app_dir, options.pairs(data or (), "--data"), asked)
