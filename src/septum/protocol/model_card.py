"""What should whoever gets a model know of it? Its card, after Mitchell et al. 2019, "Model Cards for Model Reporting".

Made from the run's plan and journal alone, so each word of it was recorded when it happened. What only people know
(what the model is for, who should not use it) is left to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from septum.errors import NotFoundError
from septum.protocol.codec import Json, to_json
from septum.protocol.comparing import Course
from septum.protocol.facts import Metrics
from septum.protocol.plan import Plan, Vote
from septum.protocol.privacy import Privacy, Strength

LAST = -1


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from.

    metrics   None where it was not measured
    reported  whose updates made it
    datasets  digests of silos' rows, of those that tell them
    """

    run: str
    round: int
    rounds: int
    model: str
    plan: Plan
    metrics: Metrics | None
    reported: tuple[str, ...]
    datasets: Mapping[str, str] = field(default_factory=dict)


def lineage_of(run: str, plan: Plan, course: Course, round_: int = LAST) -> Lineage:
    """Of the model of a round, or of the newest. Raises NotFoundError naming the rounds that have one."""
    if not course.models:
        raise NotFoundError(f"run {run} has made no model yet", hint=f"septum run watch {run}")
    wanted = max(course.models) if round_ == LAST else round_
    if wanted not in course.models:
        raise NotFoundError(
            f"run {run} has no model of round {wanted}; there are {min(course.models)} to {max(course.models)}",
            hint=f"septum model list --run {run}",
        )
    return Lineage(
        run=run,
        round=wanted,
        rounds=plan.rounds,
        model=course.models[wanted],
        plan=plan,
        metrics=course.metrics.get(wanted),
        reported=course.reported.get(wanted, ()),
        datasets=course.datasets,
    )


def lineage_json(found: Lineage) -> dict[str, Json]:
    """The same for programs."""
    plan = found.plan
    return {
        "model": found.model,
        "run": found.run,
        "round": found.round,
        "rounds": found.rounds,
        "plan_digest": plan.digest,
        "app": to_json(plan.app),
        "hyper": dict(plan.hyper),
        "silos": list(plan.silos),
        "reported": list(found.reported),
        "datasets": dict(found.datasets),
        "masked": plan.masking is not None,
        "keeps_silo_models": plan.keep_silo_models,
        "privacy": to_json(plan.privacy) if plan.privacy else None,
        "metrics": to_json(found.metrics) if found.metrics else None,
    }


def card(found: Lineage, names: Sequence[str] = ()) -> str:
    """The card, Markdown. `names`: under which the model was registered, and what became of it, one line each."""
    plan = found.plan
    parts = [
        f"# {plan.name}, round {found.round}",
        "## Model details",
        _list(
            {
                "model": f"`{found.model}`",
                "made by": f"run `{found.run}`, round {found.round} of {found.rounds}",
                "app": f"{plan.app.name} {plan.app.version}, `{plan.app.digest}`",
                "plan": f"`{plan.digest}`: `septum run plan {found.run}` shows all of it",
                "strategy": f"{plan.strategy.name}{_settings(plan.strategy.settings)}",
                "hyper-parameters": _settings(plan.hyper).strip() or "none",
            }
        ),
        "## Release",
        "\n".join(f"* {_escaped(name)}" for name in names) or "It was not registered: no silo is to use it.",
        "## Intended use",
        "To be written by whoever releases the model: what it is for, for whom, and what it is not for.",
        "## Training data",
        f"The records of {len(plan.silos)} silos, which stayed there: {', '.join(plan.silos)}. {_who(found)} Which "
        "records these were is in each silo's receipt of the run, with the digest of its data "
        "(`septum silo receipt list`). What the silos said of it, each hashed with a key of its own:",
        _list({silo: _said(found.datasets.get(silo, "")) for silo in plan.silos}),
        "## How it does",
        _measured(found),
        "## Privacy",
        _privacy(plan),
        "## Caveats",
        "A federation's test rows come from the same silos as its train rows. How the model does elsewhere, and for "
        "groups of people within these silos, was not measured here.",
    ]
    return "\n\n".join(parts) + "\n"


def _said(digest: str) -> str:
    return f"`{digest}`" if digest else "not said"


def _who(found: Lineage) -> str:
    missing = sorted(set(found.plan.silos) - set(found.reported))
    if not found.round:
        return "This is the initial model: no record has trained it yet."
    if not missing:
        return "All of them took part in this round."
    return f"In this round {', '.join(missing)} did not take part."


def _measured(found: Lineage) -> str:
    metrics = found.metrics
    if metrics is None:
        why = "the run did not get there"
        if found.plan.privacy:
            why = "a run with differential privacy tells no metrics, or those of its last model alone"
        return f"It was not measured: {why}."
    area = "undefined: the rows have one class only" if metrics.roc_auc is None else f"{metrics.roc_auc:.4f}"
    if metrics.roc_auc is not None and metrics.roc_auc_bound:
        area += f" (the exact value lies within {metrics.roc_auc_bound:.4f} of it)"
    rows = _list(
        {
            "test rows": f"{metrics.rows}, of all silos together",
            "ROC-AUC": area,
            "accuracy": f"{metrics.accuracy:.4f}",
            "log loss": f"{metrics.log_loss:.4f}",
        }
    )
    noisy = ""
    if metrics.noise is not None:
        noisy = (
            "\n\nNoise for privacy is in these figures: by itself it makes a standard error of "
            f"{metrics.noise.roc_auc:.4f} in the ROC-AUC and of {metrics.noise.accuracy:.4f} in the accuracy."
        )
    return f"Of this very model, on rows that it was not trained on:\n\n{rows}{noisy}"


def _privacy(plan: Plan) -> str:
    return _list(
        {
            "secure aggregation": "yes: the coordinator learnt sums over the silos, and no silo's own numbers"
            if plan.masking is not None
            else "no: the coordinator saw what each silo sent",
            "silos' own models": _of_silos(plan),
            "differential privacy": _promise(plan.privacy),
            **({"vote": _vote(plan.vote)} if plan.vote else {}),
        }
    )


def _of_silos(plan: Plan) -> str:
    if plan.keep_silo_models:
        return "the coordinator keeps those of each round, and each holds what was learnt from one silo's rows alone"
    return "none is at the coordinator"


def _promise(wanted: Privacy | None) -> str:
    if wanted is None:
        return "no: the model may reveal that a record took part in training"
    delta = "a tenth of 1 / rows of each silo" if wanted.delta is None else f"{wanted.delta:g}"
    said = f"{wanted.strength.value}, for each row of a silo epsilon {wanted.target_epsilon:g} at most, delta {delta}"
    if wanted.strength is Strength.ATTESTED:
        said += "; the app trained by itself, and that it did so is read from its code"
    return said + ". What each silo spent is in its own ledger"


def _vote(vote: Vote) -> str:
    return f"each silo measured the model first; {vote.accepts:.0%} had to accept it, by {vote.metric.value}"


def _settings(values: Mapping[str, object]) -> str:
    return "".join(f" {name}={value}" for name, value in sorted(values.items()))


def _list(items: Mapping[str, str]) -> str:
    return "\n".join(f"* {name}: {_escaped(text)}" for name, text in items.items())


def _escaped(text: str) -> str:
    """On one line: names and values come from others, and are not to open headings of their own."""
    return " ".join(text.split())
