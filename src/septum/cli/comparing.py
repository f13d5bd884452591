"""How do runs look side by side, and what did one measure round by round?"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.views import metrics_text, roc_auc_text
from septum.errors import ConfigError, ConflictError, did_you_mean
from septum.protocol.codec import dumps, to_json
from septum.protocol.comparing import Course, best_round, course_of, curves, differences
from septum.protocol.facts import Metrics
from septum.protocol.plan import Metric

if TYPE_CHECKING:
    from septum.cli.command import Invocation
    from septum.client import Client
    from septum.protocol.plan import Plan

COLUMNS = ("round", "silo", "rows", "roc_auc", "roc_auc_bound", "accuracy", "log_loss")


def plan(run: str, found: Plan) -> Answer:
    """What a run was settled to do."""
    rows = tuple((name, _text(values[0])) for name, values in differences((found,), equal=True).items())
    return Answer({"run": run, "digest": found.digest, "plan": to_json(found)}, (found.digest, Table(_SETTINGS, rows)))


_SETTINGS = ("SETTING", "VALUE")


def compare(call: Invocation, runs: Sequence[str], metric: str) -> Answer:
    """Runs side by side; `metric` is shown round by round. Raises ConfigError for one that there is not."""
    known = [one.value for one in Metric]
    if metric not in known:
        raise ConfigError(f"--metric {metric}: {did_you_mean(metric, known)}")
    by = Metric(metric)
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
        "curves": {one.value: _curves(courses, one) for one in Metric},
        "best": {run: _best(course) for run, course in zip(named, courses, strict=True)},
    }
    return Answer(
        data,
        (
            Table(("SETTING", *titles), settings, "no setting differs: they are runs of one plan"),
            Table((f"{_TITLES[by]} OF ROUND", *titles), _aligned(courses, by), "nothing was measured"),
            "\n".join(_best_line(title, course) for title, course in zip(titles, courses, strict=True)),
        ),
    )


_TITLES = {Metric.ROC_AUC: "ROC-AUC", Metric.ACCURACY: "ACCURACY", Metric.LOG_LOSS: "LOG LOSS"}


def metrics(call: Invocation, run: str, *, by_silo: bool = False) -> Answer:
    """What was measured of each model of a run; `by_silo`: people are shown each silo's own figures, too."""
    with call.client() as client:
        course = _course(client, run)
        if by_silo and not course.silos and client.run(run).masked:
            raise ConfigError(
                f"run {run} is masked: no silo's own figures have left it",
                hint=f"septum metric list {run} has the sums",
            )
    data: Json = {
        "run": run,
        "metrics": rows_of(course.metrics),
        "silos": [dict(row) for row in silo_rows_of(course)],
        "best": _best(course),
    }
    rows = [(k, "", found) for k, found in course.metrics.items()]
    rows += [(k, silo, found) for k, each in course.silos.items() for silo, found in each.items() if by_silo]
    shown = tuple(
        (
            str(k),
            *((silo,) if by_silo else ()),
            str(found.rows),
            roc_auc_text(found),
            f"{found.accuracy:.4f}",
            f"{found.log_loss:.4f}",
        )
        for k, silo, found in sorted(rows, key=lambda row: row[:2])
    )
    columns = ("ROUND", *(("SILO",) if by_silo else ()), "ROWS", "ROC-AUC", "ACCURACY", "LOG LOSS")
    return Answer(data, (Table(columns, shown, _NOTHING),))


_NOTHING = "nothing was measured yet: septum run watch RUN; runs with differential privacy measure nothing"


def export(call: Invocation, run: str, out: Path, *, force: bool) -> Answer:
    """Write what was measured of each model, as CSV or JSON by the file's ending."""
    if out.suffix not in (".csv", ".json"):
        hint = f"septum metric export {run} -o {run}.csv"
        raise ConfigError(f"{out} ends neither with .csv nor with .json", hint=hint)
    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", hint="give another file with -o, or --force")
    with call.client() as client:
        course = _course(client, run)
    rows, each = rows_of(course.metrics), silo_rows_of(course)
    if out.suffix == ".json":
        content = {"run": run, "metrics": [dict(row) for row in rows], "silos": [dict(row) for row in each]}
        out.write_bytes(dumps(to_json(content)) + b"\n")
    else:
        out.write_text(_csv([*({**row, "silo": ""} for row in rows), *each]))
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


def silo_rows_of(course: Course) -> list[dict[str, bool | int | float | str | None]]:
    """One object for each round and silo, in order; none in a masked run."""
    return [
        {"silo": silo, **row}
        for k, each in sorted(course.silos.items())
        for silo, found in sorted(each.items())
        for row in rows_of({k: found})
    ]


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _course(client: Client, run: str) -> Course:
    return course_of(entry.fact for entry in client.whole_journal(run))


def _aligned(courses: Sequence[Course], by: Metric) -> tuple[tuple[str, ...], ...]:
    def text(course: Course, k: int) -> str:
        found = course.metrics.get(k)
        if by is Metric.ROC_AUC:  # which has a bound, and may be undefined
            return roc_auc_text(found)
        return "-" if found is None else f"{getattr(found, by.value):.4f}"

    return tuple((str(k), *(text(course, k) for course in courses)) for k in curves(courses, by))


def _curves(courses: Sequence[Course], by: Metric) -> list[Json]:
    """As columns of a table: a round, and the value in each run, in the order in which the runs were named."""
    return [{"round": k, "values": list(values)} for k, values in curves(courses, by).items()]


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
