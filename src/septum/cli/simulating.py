"""How does `septum simulate` find its silos and tell what came out?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from septum.cli import comparison, views
from septum.cli.options import RunOptions
from septum.cli.output import Answer, Output, Table
from septum.cli.planning import described, load, make_plan
from septum.cli.progress import following
from septum.cli.silo_files import silo_files
from septum.errors import ConfigError, DataError
from septum.protocol.codec import to_json
from septum.protocol.facts import Fact, Metrics
from septum.protocol.plan import Plan, check_silo_name
from septum.sdk import harness
from septum.sdk.data import Table as Rows
from septum.sdk.package import DATA_FOLDER, LoadedApp
from septum.sdk.table import read_csv
from septum.simulate.run import SimulationResult, read_silos
from septum.simulate.run import simulate as run_simulation


def simulate(
    output: Output,
    folder: Path,
    files: Mapping[str, str],
    options: RunOptions,
    *,
    silo_count: int | None,
    out: Path | None,
    own: Path | None,
) -> Answer:
    """Simulate an app over the given files, or those in its data folder. Raises RunFailedError when the run fails."""
    loaded = load(folder)
    data = {check_silo_name(name): Path(path) for name, path in files.items()} or silo_files(folder / DATA_FOLDER)
    names = tuple(data) if silo_count is None else silo_names(silo_count)
    plan = make_plan(described(loaded), names, options)
    if own is not None and plan.private is None:
        raise ConfigError(
            f"--own {own}: no silo has a model of its own in this run",
            hint="name private parameters in septum.toml, or --personalise ROUNDS",
        )
    hyper = loaded.app.resolve(plan.hyper)
    silos = read_silos(loaded, hyper, data) if silo_count is None else _dealt(loaded, hyper, data, names)
    with following(output, plan.rounds, plan.silos, stream=False) as show:

        def on_fact(fact: Fact) -> None:
            show(fact)

        result = run_simulation(loaded, plan, silos, on_fact)
    noisy = result.metrics
    if plan.privacy is not None:  # no silo lets out an exact metric; here all rows are in this process anyway
        found = comparison.of_model(loaded, plan, silos, result.model)
        result = replace(result, metrics=found.metrics, silos=found.silos)
    if out is not None:
        _write(out, result.model)
    if own is not None:
        own.mkdir(parents=True, exist_ok=True)
        for name, model in result.own.items():
            _write(own / f"{name}.safetensors", model)
    return told(plan, result, out, None if plan.privacy is None else noisy)


def told(plan: Plan, result: SimulationResult, out: Path | None, noisy: Metrics | None = None) -> Answer:
    """What came out: metrics over all silos and silo by silo, and the model. `noisy`: what silos would have told."""
    rows = [(name, *_cells(metrics)) for name, metrics in sorted(result.silos.items())]
    if result.metrics is not None:
        rows.append(("all", *_cells(result.metrics)))
    model = f"model {result.model_digest}{f' in {out}' if out else ''}"
    table = Table(("SILO", "TEST ROWS", "ROC-AUC", "ACCURACY", "LOG LOSS"), tuple(rows), "nothing was measured")
    data = {
        "outcome": result.outcome.value,
        "reason": result.reason,
        "rounds": result.rounds,
        "metrics": to_json(result.metrics),
        "silos": to_json(result.silos),
        "model_digest": result.model_digest,
        "model_path": str(out) if out else None,
        "plan_digest": plan.digest,
    }
    if plan.privacy is not None:
        data |= {"privacy": to_json(plan.privacy), "told": to_json(noisy)}
        said = "no silo lets out a metric of such a run"
        if noisy is not None:
            said = f"silos would tell, with noise: {views.metrics_text(noisy)}"
        model += f"\nmeasured here, by the simulator: in a federation {said}"
    return Answer(data, (f"{result.rounds} rounds over {len(plan.silos)} silos", table, model))


def silo_names(count: int) -> tuple[str, ...]:
    """Names of virtual silos, in canonical order.

    >>> silo_names(2)
    ('silo-1', 'silo-2')
    """
    width = len(str(count))
    return tuple(f"silo-{number:0{width}d}" for number in range(1, count + 1))


def deal(tables: Sequence[Rows], count: int) -> list[Rows]:
    """All rows of the tables, dealt like cards: row i goes to silo i mod `count`. No row is in two silos.

    >>> [rows["x"].tolist() for rows in deal([Rows({"x": np.arange(3.0)})], 2)]
    [[0.0, 2.0], [1.0]]
    """
    first = tables[0]
    pooled = {name: np.concatenate([table[name] for table in tables]) for name in first.columns}
    total = sum(len(table) for table in tables)
    if total < count:
        raise DataError(f"{total} rows cannot be dealt out to {count} silos", hint=f"--silos {total} at most")
    return [
        Rows(
            {name: column[start::count] for name, column in pooled.items()},
            f"dealt rows, silo {start + 1}",
            first.target,
        )
        for start in range(count)
    ]


def _dealt(
    loaded: LoadedApp, hyper: object, data: Mapping[str, Path], names: Sequence[str]
) -> dict[str, harness.Prepared]:
    manifest = loaded.manifest
    tables = [
        read_csv(path, tuple(manifest.columns), manifest.missing, target=manifest.target)
        for _, path in sorted(data.items())
    ]
    dealt = deal(tables, len(names))
    return {name: harness.prepare(loaded.app, hyper, rows) for name, rows in zip(names, dealt, strict=True)}


def _cells(metrics: Metrics) -> tuple[str, ...]:
    return (
        str(metrics.rows),
        views.roc_auc_text(metrics),
        f"{metrics.accuracy:.4f}",
        f"{metrics.log_loss:.4f}",
    )


def _write(path: Path, model: bytes) -> None:
    try:
        path.write_bytes(model)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
