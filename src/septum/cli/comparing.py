"""How do runs look side by side, and what did one measure round by round?"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.views import metrics_text, roc_auc_text
from septum.errors import ConfigError, ConflictError
from septum.protocol.codec import dumps, to_json
from septum.protocol.comparing import Course, best_round, course_of, differences
from septum.protocol.facts import Metrics
from septum.protocol.plan import Metric

if TYPE_CHECKING:
    from septum.cli.command import Invocation
    from septum.client import Client
    from septum.protocol.plan import Plan

COLUMNS = ("round", "rows", "roc_auc", "roc_auc_bound", "accuracy", "log_loss")


def plan(run: str, found: Plan) -> Answer:
    """What a run was settled to do."""
    rows = tuple((name, _text(values[0])) for name, values in differences((found,), equal=True).items())
    return Answer({"run": run, "digest": found.digest, "plan": to_json(found)}, (found.digest, Table(_SETTINGS, rows)))


_SETTINGS = ("SETTING", "VALUE")


def compare(call: Invocation, runs: Sequence[str]) -> Answer:
    """Runs side by side."""
    if len(set(runs)) < 2:
        raise ConfigError("which runs? two of them at least, each named once", hint="septum run list")
    named = list(dict.fromkeys(runs))
    with call.client() as client:
        plans = [client.plan(run) for run in named]
        courses = [_course(client, run) for run in named]
    names = [plan.name for plan in plans]
    titles = names if len(set(names)) == len(names) and all(names) else named
    differing = differences(plans)
    settings = tuple((name, *(_text(value) for value in values)) for name, values in differing.items())
    data: dict[str, Json] = {
        "runs": named,
        "differences": {name: list(values) for name, values in differing.items()},
        "metrics": {run: rows_of(course.metrics) for run, course in zip(named, courses, strict=True)},
        "best": {run: _best(course) for run, course in zip(named, courses, strict=True)},
    }
    return Answer(
        data,
        (
            Table(("SETTING", *titles), settings, "no setting differs: they are runs of one plan"),
            Table(("ROC-AUC OF ROUND", *titles), _aligned(courses), "nothing was measured"),
            "\n".join(_best_line(title, course) for title, course in zip(titles, courses, strict=True)),
        ),
    )


def metrics(call: Invocation, run: str) -> Answer:
    """What was measured of each model of a run."""
    with call.client() as client:
        course = _course(client, run)
    rows = tuple(
        (str(k), str(found.rows), roc_auc_text(found), f"{found.accuracy:.4f}", f"{found.log_loss:.4f}")
        for k, found in sorted(course.metrics.items())
    )
    data: Json = {"run": run, "metrics": rows_of(course.metrics), "best": _best(course)}
    return Answer(data, (Table(("ROUND", "ROWS", "ROC-AUC", "ACCURACY", "LOG LOSS"), rows, _NOTHING),))


_NOTHING = "nothing was measured yet: septum run watch RUN; runs with differential privacy measure nothing"


def export(call: Invocation, run: str, out: Path, *, force: bool) -> Answer:
    """Write what was measured of each model, as CSV or JSON by the file's ending."""
    if out.suffix not in (".csv", ".json"):
        hint = f"septum metric export {run} -o {run}.csv"
        raise ConfigError(f"{out} ends neither with .csv nor with .json", hint=hint)
    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", hint="give another file with -o, or --force")
    with call.client() as client:
        rows = rows_of(_course(client, run).metrics)
    if out.suffix == ".json":
        out.write_bytes(dumps({"run": run, "metrics": [dict(row) for row in rows]}) + b"\n")
    else:
        out.write_text(_csv(rows))
    return Answer({"path": str(out), "rows": len(rows)}, (f"{out}: the metrics of {len(rows)} models",))


def rows_of(measured: Mapping[int, Metrics]) -> list[dict[str, bool | int | float | str | None]]:
    """One object for each round, in order."""
    return [
        {
            "round": k,
            "rows": found.rows,
            "roc_auc": found.roc_auc,
            "roc_auc_bound": found.roc_auc_bound,
            "accuracy": found.accuracy,
            "log_loss": found.log_loss,
        }
        for k, found in sorted(measured.items())
    ]


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _course(client: Client, run: str) -> Course:
    return course_of(entry.fact for entry in client.whole_journal(run))


def _aligned(courses: Sequence[Course]) -> tuple[tuple[str, ...], ...]:
    rounds = sorted({k for course in courses for k in course.metrics})
    return tuple((str(k), *(roc_auc_text(course.metrics.get(k)) for course in courses)) for k in rounds)


def _best(course: Course) -> Json:
    best = best_round(course.metrics, Metric.ROC_AUC)
    if best is None:
        return None
    return {"round": best, "metrics": to_json(course.metrics[best]), "model": course.models.get(best)}


def _best_line(run: str, course: Course) -> str:
    best = best_round(course.metrics, Metric.ROC_AUC)
    if best is None:
        return f"{run}: nothing was measured"
    return f"{run}: best in round {best}, {metrics_text(course.metrics[best])}"


def _text(value: Json) -> str:
    """A setting for a table; a dash where it is unset."""
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return one_line(", ".join(_text(one) for one in value)) or "none"
    return one_line(str(value))
