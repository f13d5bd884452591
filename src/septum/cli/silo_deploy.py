"""Which commands are there about the models that are deployed to a silo, and about what they predict there?"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table
from septum.cli.silo_dir import SiloDir
from septum.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from septum.silo.deployed import Words

app = noun("deploy", "The models that are deployed to this silo; its steward says which names it uses.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as `septum silo deploy list` shows it.")]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Which of the models in use, if there are several.")
]


def register(silo: typer.Typer) -> None:
    """Add the commands to `septum silo`."""
    silo.add_typer(app)
    command(silo, "predict")(predict)
    command(silo, "serve")(serve)


@command(app, "list")
def list_(call: Invocation, directory: SiloDir) -> Answer:
    """List what is deployed to this silo: how far it got, why not further, what is in use."""
    del call
    from septum.protocol.codec import to_json  # protocol: blake3, which `--help` does not load
    from septum.silo.deployed import DeployedModels

    models = DeployedModels(directory)
    names, words = models.state().names, models.words()
    rows = tuple(
        (
            name,
            str(found.newest.order.version),
            found.newest.state.value,
            found.newest.reason,
            found.newest.why,
            "none" if found.active is None else str(found.active.order.version),
        )
        for name, found in names.items()
    )
    table = Table(
        ("MODEL", "NEWEST", "STATE", "TOLD", "KNOWN HERE ALONE", "IN USE"), rows, "nothing is deployed to this silo"
    )
    told: dict[str, Json] = {name: to_json(found) for name, found in names.items()}
    data: Json = {"models": told, "accepted": list(words.accepted), "refused": list(words.refused)}
    return Answer(data, (table, _said(words)))


@command(app, "accept")
def accept(call: Invocation, name: Name, directory: SiloDir) -> Answer:
    """Use what is deployed under a name, once it passes the gate; one that failed before is tried again."""
    del call
    return _say(directory, name, accept=True)


@command(app, "refuse")
def refuse(call: Invocation, name: Name, directory: SiloDir) -> Answer:
    """Use nothing that is deployed under a name, and what is in use under it no longer."""
    del call
    return _say(directory, name, accept=False)


def predict(
    call: Invocation,
    source: Annotated[Path, typer.Argument(metavar="IN", help="The rows: a CSV file with a header, or .parquet.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: CSV, or .parquet.")],
    directory: SiloDir,
    model: Model = "",
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="A column to stand beside the predictions; may be repeated. Else all that the app does not read.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> Answer:
    """Predict for the rows of a file with the model in use. They are mapped and checked as this silo's own data are."""
    del call
    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", hint="give another file, or --force")
    if out.absolute() == source.absolute():
        raise ConfigError(f"{out} is the file with the rows")
    from septum.silo.score_input import read_rows  # numpy
    from septum.silo.score_output import about_json, write_predictions
    from septum.silo.scorer import probabilities, scoring_in

    now = time.time()
    with scoring_in(directory.absolute()).open(model) as scorer:
        rows = read_rows(source, scorer.app.dataset, scorer.app.columns, tuple(ids or ()))
        values = probabilities(scorer.logits(rows.table))
        about = write_predictions(out, rows.ids, values, scorer.held, now)
        data: dict[str, Json] = {**about_json(scorer.held, len(rows), now), "path": str(out), "about": str(about)}
        line = f"{out}: {len(rows)} rows by {scorer.held.order.label}, {scorer.held.order.model.digest}"
    return Answer(data, (line,))


def serve(
    call: Invocation,
    directory: SiloDir,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes any.")] = 8600,
    host: Annotated[str, typer.Option("--host", help="The loopback address to listen on.")] = "127.0.0.1",
    model: Model = "",
) -> Answer:
    """Answer requests for predictions on loopback until SIGTERM or Ctrl-C; they show the token in predict.token."""
    from septum.adapters.ending import told_to_end
    from septum.silo.scorer import scoring_in  # numpy
    from septum.silo.serving import TOKEN_NAME, Desk, PredictionServer, check_loopback, token_in

    check_loopback(host)
    scoring = scoring_in(directory.absolute())
    held = scoring.active(model)
    server = PredictionServer(Desk(scoring, model), token_in(directory), host, port)
    told = told_to_end()
    thread = threading.Thread(target=server.serve, name="predictions")
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    data: Json = {"url": f"http://{shown}:{server.port}", "model": held.order.name, "port": server.port}
    call.output.item({"serving": data}, f"http://{shown}:{server.port} answers with {held.order.label}")
    call.output.note(f"the token is in {directory / TOKEN_NAME}")
    told.get()
    server.stop()
    thread.join()
    return Answer(data, ("it answers no more",))


def _say(directory: Path, name: str, *, accept: bool) -> Answer:
    from septum.silo.deployed import DeployedModels  # protocol: blake3, which `--help` does not load

    words = DeployedModels(directory).say(name, accept=accept)
    data: Json = {"accepted": list(words.accepted), "refused": list(words.refused)}
    return Answer(data, (_said(words), f"next: septum silo deploy list --dir {directory}"))


def _said(words: Words) -> str:
    return f"accepted: {', '.join(words.accepted) or 'none'}; refused: {', '.join(words.refused) or 'none'}"
