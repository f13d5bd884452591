"""Which commands are there about models under a name: registered, approved, deployed, retired?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.output import Answer

if TYPE_CHECKING:
    from septum.protocol.plan import Metric

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, such as heart.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The number of the version.")]
_Stage = Annotated[list[str] | None, typer.Option(help="Only those that have come so far; may be repeated.")]
_OfName = Annotated[str, typer.Argument(metavar="[NAME]", help="Of this name; else of all.")]


def register_on(app: typer.Typer) -> None:
    """Make them commands of `septum model`."""

    @command(app, "register", remote=True)
    def register(
        call: Invocation,
        run: Annotated[str, typer.Argument(metavar="RUN", help="The run that made the model.")],
        name: Annotated[str, typer.Option("--name", metavar="NAME", help="Under which it is to be known.")],
        round_: Annotated[
            int | None, typer.Option("--round", min=0, help="The model of this round; else the newest.")
        ] = None,
        best: Annotated[
            str, typer.Option("--best", metavar="METRIC", help="The best by roc_auc, accuracy or log_loss of itself.")
        ] = "",
    ) -> Answer:
        """Register a run's model under a name, as a candidate, with all that is known of its making."""
        from septum.cli import model_version_views as views  # protocol: blake3, which `--help` does not load

        with call.client() as client:
            return views.version(client.registered.register(run, name, round_=round_, best=_metric(best)))

    @command(app, "approve", remote=True)
    def approve(call: Invocation, name: Name, version: Number) -> Answer:
        """Approve a version, so that it can be deployed. Somebody else registered it."""
        from septum.cli import model_version_views as views

        with call.client() as client:
            return views.version(client.registered.approve(name, version))

    @command(app, "deploy", remote=True)
    def deploy(
        call: Invocation,
        name: Name,
        version: Number,
        group: Annotated[str, typer.Option("--group", metavar="GROUP", help="To the silos of this group.")] = "",
        silos: Annotated[
            list[str] | None, typer.Option("--silo", metavar="SILO", help="To this silo; may be repeated.")
        ] = None,
    ) -> Answer:
        """Let silos use a version under its name, in place of another; an older version again is a rollback."""
        from septum.cli import model_version_views as views

        with call.client() as client:
            return views.deployment(client.registered.deploy(name, version, group=group, silos=silos or ()))

    @command(app, "retire", remote=True)
    def retire(call: Invocation, name: Name, version: Number) -> Answer:
        """Retire a version for good: no silo uses it any more, and its file may be pruned."""
        from septum.cli import model_version_views as views

        with call.client() as client:
            return views.version(client.registered.retire(name, version))

    @command(app, "versions", remote=True)
    def versions(call: Invocation, name: _OfName = "", stage: _Stage = None) -> Answer:
        """List the registered versions: how far each has come, what made it, who uses it."""
        from septum.cli import model_version_views as views
        from septum.cli.views import chosen
        from septum.protocol.registered import ModelStage

        stages = chosen(ModelStage, "--stage", stage or ())
        with call.client() as client:
            return views.versions(client.registered.versions(name, stages))

    @command(app, "deployments", remote=True)
    def deployments(call: Invocation, name: _OfName = "") -> Answer:
        """List the deployments, newest first, and how far each silo has got with them."""
        from septum.cli import model_version_views as views

        with call.client() as client:
            return views.deployments(client.registered.deployments(name))


def _metric(text: str) -> Metric | None:
    from septum.cli.views import chosen
    from septum.protocol.plan import Metric  # as above

    return chosen(Metric, "--best", [text])[0] if text else None
