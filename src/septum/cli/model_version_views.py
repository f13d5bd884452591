"""How do registered models and deployments look, for people and for programs?"""

from __future__ import annotations

from collections.abc import Sequence

from septum.cli.output import Answer, Table, one_line
from septum.cli.views import roc_auc_text, when
from septum.protocol.codec import to_json
from septum.protocol.registered import Act, DeploymentView, ModelStage, ModelVersionView


def versions(found: Sequence[ModelVersionView]) -> Answer:
    """Versions."""
    rows = tuple(
        (
            view.version.name,
            str(view.version.version),
            view.stage.value,
            f"{view.version.run} round {view.version.round}",
            roc_auc_text(view.version.metrics),
            ", ".join(view.used_by) or "no silo",
        )
        for view in found
    )
    table = Table(
        ("MODEL", "VERSION", "STAGE", "MADE BY", "ROC-AUC", "USED BY"),
        rows,
        "none that you may see: septum model register RUN --name NAME",
    )
    return Answer({"versions": [to_json(view) for view in found]}, (table,))


def version(view: ModelVersionView) -> Answer:
    """One version."""
    one = view.version
    lines = [
        f"model       {one.label}: {view.stage.value}",
        f"digest      {one.model.digest}",
        f"made by     run {one.run}, round {one.round}; app {one.plan.app.name} {one.plan.app.version}",
        f"registered  {act(one.registered)}",
        *([f"approved    {act(one.approved)}"] if one.approved else []),
        *([f"retired     {act(one.retired)}"] if one.retired else []),
        f"used by     {', '.join(view.used_by) or 'no silo'}",
    ]
    following = {
        ModelStage.CANDIDATE: f"next: septum model approve {one.label}",
        ModelStage.APPROVED: f"next: septum model deploy {one.label} --group GROUP",
    }.get(view.stage)
    data = Table(("SILO", "DATASET"), tuple((silo, one.datasets.get(silo, "not said")) for silo in one.plan.silos))
    return Answer(to_json(view), ("\n".join(lines), data, *([following] if following else [])))


def deployments(found: Sequence[DeploymentView]) -> Answer:
    """Deployments: a line for each silo that has said something or is to use it."""
    rows = []
    for view in found:
        one, said = view.deployment, {state.silo: state for state in view.states}
        for silo in sorted({*said, *view.used_by}) or [""]:
            state = said.get(silo)
            current = silo in view.used_by
            told = "nothing yet" if state is None else state.told.state.value
            rows.append(
                (
                    str(one.id),
                    f"{one.name} {one.version}",
                    silo or f"group {one.group}, which has no silo" if one.group else silo,
                    told if current else f"replaced; was {told}",
                    one_line(state.told.reason) if state else "",
                )
            )
    table = Table(
        ("DEPLOYMENT", "MODEL", "SILO", "STATE", "REASON"),
        tuple(rows),
        "none that you may see: septum model deploy NAME VERSION --group GROUP",
    )
    return Answer({"deployments": [to_json(view) for view in found]}, (table,))


def deployment(view: DeploymentView) -> Answer:
    """One deployment."""
    one = view.deployment
    lines = [
        f"deployment  {one.id}: {one.name} {one.version}, {act(one.made)}",
        f"used by     {', '.join(view.used_by) or 'no silo'}",
        f"next: septum model deployments {one.name}",
    ]
    return Answer(to_json(view), ("\n".join(lines),))


def act(done: Act) -> str:
    """Who did it, and when."""
    return f"by {done.by}, {when(done.at)}"
