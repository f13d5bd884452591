"""Which commands are there about models?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli import model_versions
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json
from septum.errors import ConfigError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from septum.client import Client
    from septum.protocol.views import ModelView

app = noun("model", "List the models that runs made, download them, and deploy them to silos.")
model_versions.register_on(app)


@command(app, "list", remote=True)
def list_(
    call: Invocation,
    run: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Every model of this run; else the newest model of each run.")
    ] = "",
    silos: Annotated[
        bool, typer.Option("--silos", help="With --run: the silos' own models, where the run keeps them.")
    ] = False,
    silo: Annotated[str, typer.Option("--silo", metavar="SILO", help="With --run: those of this silo alone.")] = "",
) -> Answer:
    """List models."""
    if (silos or silo) and not run:
        raise ConfigError("--silos and --silo are about one run", hint="septum model list --run RUN --silos")
    from septum.cli import silo_models, views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        if silos or silo:
            return silo_models.listed(client, run, silo)
        return views.models(client.models(run))


@command(app, "download", remote=True)
def download(
    call: Invocation,
    digest: Annotated[
        str, typer.Argument(metavar="[DIGEST]", help="The model's digest, as `septum model list` shows it.")
    ] = "",
    run: Annotated[
        str, typer.Option("--run", metavar="RUN", help="A model of this run; its newest one, if no digest is given.")
    ] = "",
    round_: Annotated[int | None, typer.Option("--round", min=0, help="With --run: the model of this round.")] = None,
    best: Annotated[
        bool, typer.Option("--best", help="With --run: its best model, by the ROC-AUC of that very model.")
    ] = False,
    silo: Annotated[
        str,
        typer.Option(
            "--silo", metavar="SILO", help="With --run: this silo's own model, the newest if no --round is given."
        ),
    ] = "",
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("model.safetensors"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> Answer:
    """Download a model as a safetensors file. Its digest is checked before the file appears."""
    if silo and (digest or best or not run):
        raise ConfigError(
            "--silo needs --run RUN, and neither a digest nor --best",
            hint="septum model download --run RUN --silo SILO --round N",
        )
    if digest and (round_ is not None or best):
        raise ConfigError("a digest and --round or --best", hint="septum model download --run RUN --round N")
    if not digest and not run:
        raise ConfigError(
            "which model? neither DIGEST nor --run was given",
            hint="septum model list, then septum model download DIGEST or --run RUN",
        )
    if round_ is not None and not run:
        raise ConfigError(f"--round {round_} needs --run RUN", hint="septum model download --run RUN --round N")
    if best and (round_ is not None or not run):
        raise ConfigError("--best needs --run RUN, and no --round", hint="septum model download --run RUN --best")
    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", hint="give another file with -o, or --force")
    if silo:
        from septum.cli import silo_models  # protocol: blake3, which `--help` does not load

        with call.client() as client:
            return silo_models.downloaded(client, run, silo, round_, out)
    with call.client() as client:
        wanted = digest or _model_of(client, run, round_, best=best).digest
        size_bytes = client.download(wanted, out, run=run)
    data: Json = {"path": str(out), "digest": wanted, "size_bytes": size_bytes}
    return Answer(data, (f"{out}: {size_bytes} bytes, {wanted}",))


@command(app, "export", remote=True)
def export(
    call: Invocation,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that made the model.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; it is not there yet.")],
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="safetensors, onnx or mlflow.")],
    round_: Annotated[
        int | None, typer.Option("--round", min=0, help="The model of this round; else the newest.")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="The best model, by the ROC-AUC of that very model.")] = False,
    app_path: Annotated[
        Path | None,
        typer.Option(
            "--app", metavar="PATH", help="The run's app, a folder or a package: onnx and mlflow run its code."
        ),
    ] = None,
) -> Answer:
    """Write a model for other programs: safetensors, an ONNX graph that was compared with the app, an MLflow model."""
    if best and round_ is not None:
        raise ConfigError("--best and --round: which model is meant?", hint="give one of them")
    from septum.cli import exporting  # numpy

    with call.client() as client:
        wanted = _model_of(client, run, round_, best=best).round
        return exporting.export(client, run, wanted, format_, directory, app_path)


@command(app, "card", remote=True)
def card(
    call: Invocation,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that made the model.")],
    round_: Annotated[
        int | None, typer.Option("--round", min=0, help="The model of this round; else the newest.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it to this file, too.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> Answer:
    """Write a model's card: what made it, from whose records, how it does, what is promised."""
    from septum.cli import cards  # protocol: blake3, which `--help` does not load

    return cards.card(call, run, round_, out, force=force)


@command(app, "prune", remote=True)
def prune(
    call: Invocation,
    newest: Annotated[int, typer.Option("--newest", min=2, help="How many of each run's newest models stay.")] = 2,
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Only of runs that ended so long ago.")
    ] = 30.0,
    really: Annotated[
        bool, typer.Option("--yes", "--really", help="Remove them. Without it this only says what would go.")
    ] = False,
) -> Answer:
    """Make room: say which models of ended runs could go, and remove them with --yes. The best of each run stay."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return views.pruned(client.prune(newest=newest, older_than_days=older_than, really=really))


def _model_of(client: Client, run: str, round_: int | None, *, best: bool) -> ModelView:
    found = client.models(run)
    if not found:
        raise NotFoundError(f"run {run} has made no model yet", hint=f"septum run watch {run}")
    if best:
        return _best_of(run, found)
    if round_ is None:
        return found[-1]
    for model in found:
        if model.round == round_:
            return model
    raise NotFoundError(
        f"run {run} has no model of round {round_}; there are {found[0].round} to {found[-1].round}",
        hint=f"septum model list --run {run}",
    )


def _best_of(run: str, found: Sequence[ModelView]) -> ModelView:
    from septum.protocol.comparing import best_round  # protocol: blake3, which `--help` does not load
    from septum.protocol.plan import Metric

    best = best_round({model.round: model.metrics for model in found if model.metrics}, Metric.ROC_AUC)
    if best is None:
        raise NotFoundError(f"no model of run {run} has a ROC-AUC", hint=f"septum model list --run {run}")
    return next(model for model in found if model.round == best)
