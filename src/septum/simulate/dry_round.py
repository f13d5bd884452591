"""Does an app do one round? `python -m septum.simulate.dry_round FD SETTINGS`, on rows made from its own contract.

Started by rehearsal.py, confined as a training process is. What it found goes as one JSON object through descriptor FD;
what the app prints goes elsewhere. Whoever reads it trusts no word of it: the app ran in this process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.adapters.launch.confine import confine
from septum.errors import SeptumError
from septum.ports.launcher import WorkerLimits
from septum.sdk.search_path import search_path

if TYPE_CHECKING:
    from septum.sdk.data import Parameters, Table
    from septum.sdk.harness import Prepared
    from septum.sdk.package import LoadedApp

SILO = "synthetic"


@dataclass(frozen=True, slots=True)
class Settings:
    """What to try. `paths`: folders of packages of the app's own; `preset`: empty for none.

    rows  0: the app is imported, and no round is done
    """

    folder: str
    paths: tuple[str, ...]
    preset: str
    rows: int
    memory_bytes: int | None
    file_bytes: int


def main(arguments: list[str]) -> None:
    """Try the app, tell what came out, and end."""
    descriptor = int(arguments[0])
    os.set_inheritable(descriptor, False)
    settings = Settings(**json.loads(arguments[1]))
    confine(WorkerLimits(memory_bytes=settings.memory_bytes, file_bytes=settings.file_bytes))
    sys.dont_write_bytecode = True
    sys.path[:] = search_path(sys.path, settings.paths)
    from septum.adapters.launch.tasks import worker_error  # numpy, perhaps the app's own: not before the limits

    try:
        told = _try(settings)
    except Exception as error:  # noqa: BLE001  whatever an app raises is told, with its traceback
        failed = worker_error(error)
        told = {"error": {"message": failed.message, "hint": failed.hint, "details": failed.details}}
    with os.fdopen(descriptor, "wb") as out:
        out.write(json.dumps(told, allow_nan=False).encode())


def _try(settings: Settings) -> dict[str, object]:
    from septum.sdk.package import load_app  # as above
    from septum.sdk.synthetic import synthetic_table

    loaded = load_app(Path(settings.folder))
    columns = loaded.manifest.columns
    about = {
        "name": loaded.app.name,
        "version": loaded.manifest.version,
        "digest": loaded.digest,
        "schema": loaded.app.schema(),
    }
    if not settings.rows:
        return {**about, "round": None, "notes": []}
    notes, found = _round(loaded, settings, synthetic_table(columns, rows=settings.rows, missing=0.0))
    with_gaps = synthetic_table(columns, rows=settings.rows)
    told = _complaint(lambda: _round(loaded, settings, with_gaps))
    return {**about, "round": found, "notes": [*notes, *([f"rows with missing values: {told}"] if told else [])]}


def _round(loaded: LoadedApp, settings: Settings, table: Table) -> tuple[list[str], dict[str, object]]:
    """One round of one silo: statistics, initial model, training, metrics. What to note, and what it was done with."""
    from septum.sdk import harness  # as above

    app, presets = loaded.app, loaded.manifest.presets
    hyper = app.resolve(presets[settings.preset] if settings.preset else {})
    seed = app.seed(hyper)
    prepared = harness.prepare(app, hyper, table)
    prepared = harness.with_statistics(app, prepared, harness.summands(app, prepared))
    model = harness.initial(app, hyper, prepared.shape, seed)
    shared, own = harness.initial_parts(app, hyper, prepared.shape, seed, loaded.manifest.private)
    task = harness.Task(1, seed, SILO, private=own)
    trained = harness.train(app, hyper, prepared, shared, task)
    after = {name: shared[name] + trained.update[name] for name in shared}
    harness.evaluate(app, prepared, {**after, **trained.private})
    notes = []
    if not _same(model, harness.initial(app, hyper, prepared.shape, seed)):
        notes.append("initial gave another model the second time: use the rng that it is given, and no other")
    again = harness.train(app, hyper, prepared, shared, task)
    if not _same({**trained.update, **trained.private}, {**again.update, **again.private}):
        notes.append("train gave another update the second time: use ctx.rng, so that lost work can be done again")
    if app.inputs_function is not None and (told := _other_inputs(loaded, hyper, prepared, table)):
        notes.append(told)
    return notes, {
        "train_rows": len(prepared.split.train),
        "test_rows": len(prepared.split.test),
        "features": list(prepared.shape.features),
        "tensors": {name: list(model[name].shape) for name in model},
    }


def _other_inputs(loaded: LoadedApp, hyper: object, prepared: Prepared, table: Table) -> str:
    """Whether `inputs` makes of rows without a target what `data` made of them; what to note if not."""
    from septum.sdk import harness  # as above
    from septum.sdk.data import Table as MadeTable

    columns = {name: column for name, column in table.columns.items() if name != loaded.manifest.target}
    new = MadeTable(columns, table.source)
    told = _complaint(lambda: harness.inputs(loaded.app, hyper, new))
    if told:
        return f"inputs fails for rows without a target: {told}"
    made = harness.inputs(loaded.app, hyper, new)
    known = {tuple(row) for row in zip(*(column.tolist() for column in made.values()), strict=True)}
    for part in (prepared.split.train, prepared.split.test):
        if any(tuple(row) not in known for row in part.x.tolist()):
            return "inputs makes other numbers of a row than data does: predictions would not be what was measured"
    return ""


def _same(one: Parameters, other: Parameters) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def _complaint(work: Callable[[], object]) -> str:
    try:
        work()
    except SeptumError as error:
        return error.message
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
