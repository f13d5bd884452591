"""How did the demo go? One table, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import quantiles
from typing import TYPE_CHECKING

from septum.cli.output import Answer, Json, Table
from septum.cli.views import metrics_text
from septum.errors import RunFailedError
from septum.privacy.ledger import up
from septum.protocol import facts
from septum.protocol.codec import to_json
from septum.protocol.facts import Metrics, ModelMeasured
from septum.protocol.messages import Stage
from septum.protocol.views import JournalView

if TYPE_CHECKING:
    from septum.cli.demo import Finished
    from septum.protocol.plan import Plan


# Means of four centres' accuracies; the epsilon recounted for the 1,500 steps that ran, where 15 epochs were accounted.
FLAMBY = """FLamby's accuracy with DP: .700 (said to be epsilon 5), .702 (said 1, recounted 1.47 to 4.50),
        .629 (said 0.1); without .712. Here, over all test rows: {own}"""


def answer(finished: Finished, plan: Plan, compared: Mapping[str, ModelMeasured], *, wall_s: float) -> Answer:
    """The figures for programs, and the table for people. `compared`: `federated`, `alone` and `pooled`, or none.

    What the coordinator measured is over all hospitals; hospital by hospital it knows nothing in a masked run.
    """
    federated = _last_measured(finished.journal) if plan.privacy is None else compared["federated"]
    by_site = compared.get("federated", federated)
    baselines = {name: measured for name, measured in compared.items() if name != "federated"}
    overhead = {name: round(value, 2) for name, value in percentiles(round_overheads_ms(finished.journal)).items()}
    rounds_s = _rounds_s(finished.journal)
    data: dict[str, Json] = {
        "rounds": finished.run.finished_rounds,
        "seed": plan.seed,
        "wall_s": round(wall_s, 3),
        "rounds_s": round(rounds_s, 3),
        "accuracy_all": federated.metrics.accuracy,
        "roc_auc_all": federated.metrics.roc_auc,
        "roc_auc_bound": federated.metrics.roc_auc_bound,
        "log_loss_all": federated.metrics.log_loss,
        "n_test": federated.metrics.rows,
        "sites": [_site(silo, by_site, baselines) for silo in sorted(by_site.silos)],
        **{f"{prefix}_roc_auc": measured.metrics.roc_auc for prefix, measured in _named(baselines)},
        **{f"{prefix}_accuracy": measured.metrics.accuracy for prefix, measured in _named(baselines)},
        "model_path": str(finished.model_path.resolve()),
        "model_digest": finished.run.model,
        "plan_digest": finished.run.plan_digest,
        "round_overhead_ms": overhead if plan.privacy is None else None,  # silos do not tell how long they worked
        "separate_users": finished.separate_users,
        "privacy": _privacy(finished, plan),
        "run": finished.run.id,
        "tracked": {name: list(experiments) for name, experiments in finished.tracked.items()},
        "kept": None if finished.folder is None else str(finished.folder.resolve()),
    }
    summary = f"time    {finished.run.finished_rounds} rounds in {rounds_s:.2f} s, {wall_s:.1f} s with everything"
    if plan.privacy is None:
        summary += (
            f";\n        a round took {overhead['p50']:.1f} ms more than its slowest hospital's own work "
            f"(p90 {overhead['p90']:.1f} ms)"
        )
    ways = {"federated": ModelMeasured(federated.round, federated.metrics, by_site.silos), **baselines}
    shown = (_table(ways), *_explained(finished, plan, baselines), *_private(finished, plan, federated.metrics))
    return Answer(data, (*shown, summary))


def _privacy(finished: Finished, plan: Plan) -> dict[str, Json]:
    """What the run promised and cost: of each silo its own exact cost, which in a federation stays in the silo."""
    masked: dict[str, Json] = {"secure_aggregation": plan.masking is not None}
    if plan.privacy is None:
        return masked
    return {
        **masked,
        "mode": plan.privacy.mode.value,
        "strength": plan.privacy.strength.value,
        "target_epsilon": plan.privacy.target_epsilon,
        "epsilon": {silo: cost.epsilon for silo, cost in sorted(finished.costs.items())},
        "delta": {silo: cost.delta for silo, cost in sorted(finished.costs.items())},
        "measured_by": "demo",
        "told": to_json(_told(finished)),
    }


def _private(finished: Finished, plan: Plan, federated: Metrics) -> tuple[str | Table, ...]:
    """The cost hospital by hospital, and what others reached; nothing for a run without differential privacy."""
    if plan.privacy is None:
        return ()
    rows = tuple(
        (silo, up(cost.epsilon), f"{cost.delta:.1e}", str(cost.steps), f"{cost.noise_multiplier:.2f}")
        for silo, cost in sorted(finished.costs.items())
    )
    told = _told(finished)
    costs = Table(("HOSPITAL", "EPSILON", "DELTA", "STEPS", "NOISE"), rows, "no hospital settled its cost")
    return (
        costs,
        f"privacy {plan.privacy.strength.value}, one row of a hospital's train rows added or removed; the model was\n"
        f"        measured here, by the demo: no hospital lets out {'an exact' if told else 'a'} metric of such a run",
        *([] if told is None else [f"told    by the hospitals, with noise: {metrics_text(told)}"]),
        FLAMBY.format(own=f"{federated.accuracy:.3f}"),
    )


def _told(finished: Finished) -> Metrics | None:
    """What the hospitals told of the last model, in a run with differential privacy: counts with noise, if any."""
    found = [entry.fact.metrics for entry in finished.journal if isinstance(entry.fact, ModelMeasured)]
    return found[-1] if found else None


def _named(baselines: Mapping[str, ModelMeasured]) -> list[tuple[str, ModelMeasured]]:
    """What the baselines are called in the figures."""
    return [("local" if name == "alone" else name, measured) for name, measured in baselines.items()]


def _site(silo: str, federated: ModelMeasured, baselines: Mapping[str, ModelMeasured]) -> dict[str, Json]:
    own = federated.silos[silo]
    site: dict[str, Json] = {"name": silo, "n_test": own.rows, "accuracy": own.accuracy, "roc_auc": own.roc_auc}
    for prefix, measured in _named(baselines):
        site[f"{prefix}_accuracy"] = measured.silos[silo].accuracy
        site[f"{prefix}_roc_auc"] = measured.silos[silo].roc_auc
    return site


def _table(ways: Mapping[str, ModelMeasured]) -> Table:
    """One row a hospital and one for all; for each way of training its ROC-AUC and accuracy. Fits 80 columns."""
    columns = ("HOSPITAL", "TEST ROWS", *(way.upper() for way in ways))
    silos = sorted(ways["federated"].silos)
    rows = [_row(silo, [measured.silos[silo] for measured in ways.values()]) for silo in silos]
    return Table(columns, (*rows, _row("all rows", [measured.metrics for measured in ways.values()])))


def _row(name: str, ways: Sequence[Metrics]) -> tuple[str, ...]:
    return (name, str(ways[0].rows), *(f"{_number(way.roc_auc)} ({way.accuracy:.3f})" for way in ways))


def _explained(finished: Finished, plan: Plan, baselines: Mapping[str, ModelMeasured]) -> tuple[str, ...]:
    seen = "each hospital's own update" if plan.masking is None else "sums over the hospitals, no hospital's own"
    lines = [f"model   {finished.model_path}", f"digest  {finished.run.model}", f"seen    by the coordinator: {seen}"]
    for name, experiments in finished.tracked.items():
        lines.append(f"tracked in {name}: {', '.join(experiments)}")
    if finished.folder is not None:
        lines.append(f"kept    {finished.folder}/ (each process's folder and log)")
    legend = "ROC-AUC (accuracy) on the test rows."
    if baselines:
        legend += (
            " ALONE: each hospital's own model on its own rows.\n"
            "POOLED: all records in one place, the bound that a federation tries to reach."
        )
    return legend, "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _last_measured(journal: Sequence[JournalView]) -> ModelMeasured:
    found = [entry.fact for entry in journal if isinstance(entry.fact, ModelMeasured)]
    if not found:
        raise RunFailedError("the run ended without a measured model", hint="septum demo --keep keeps the logs")
    return found[-1]


def _rounds_s(journal: Sequence[JournalView]) -> float:
    """From the first round's opening to the end of the run, seconds."""
    opened = [at for at, _ in _openings(journal)]
    return journal[-1].at - opened[0] if opened else 0.0


def _openings(journal: Sequence[JournalView]) -> list[tuple[float, facts.StageOpened]]:
    return [
        (entry.at, entry.fact)
        for entry in journal
        if isinstance(entry.fact, facts.StageOpened) and entry.fact.stage is not Stage.PREPARE
    ]


def round_overheads_ms(journal: Sequence[JournalView]) -> list[float]:
    """For each training round: from its opening to the next, minus the slowest silo's own work. Milliseconds."""
    openings = _openings(journal)
    work: dict[int, float] = {}
    for entry in journal:
        fact = entry.fact
        if isinstance(fact, facts.SiloReported) and fact.stage is Stage.TRAIN:
            own = sum(took for step, took in fact.durations_s.items() if step not in ("receive", "protect", "send"))
            work[fact.round] = max(work.get(fact.round, 0.0), own)
    return [
        1000 * (following - at - work[fact.round])
        for (at, fact), (following, _) in pairwise(openings)
        if fact.round in work
    ]


def percentiles(values: Sequence[float]) -> Mapping[str, float]:
    """The median and the ninth decile.

    >>> percentiles([1.0, 2.0, 3.0])
    {'p50': 2.0, 'p90': 3.0}
    """
    if len(values) < 2:
        return dict.fromkeys(("p50", "p90"), values[0] if values else 0.0)
    deciles = quantiles(values, n=10, method="inclusive")
    return {"p50": deciles[4], "p90": min(max(values), quantiles(values, n=10)[8])}
