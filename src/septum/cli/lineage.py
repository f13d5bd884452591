"""From what did a run make its models: which app, whose rows, on which machines, and what is promised of them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.cli import views
from septum.cli.output import Answer, Json, Table, one_line
from septum.protocol.codec import to_json
from septum.protocol.comparing import Course, course_of

if TYPE_CHECKING:
    from septum.cli.command import Invocation
    from septum.protocol.plan import Plan
    from septum.protocol.views import RunView


def show(call: Invocation, run: str) -> Answer:
    """A run as `run show` shows it, with its lineage."""
    with call.client() as client:
        view, plan = client.run(run), client.plan(run)
        course = course_of(entry.fact for entry in client.whole_journal(run))
    answer = views.run(view)
    data: Json = {**_object(answer.data), "lineage": _lineage(view, plan, course)}
    rows = tuple(
        (
            silo,
            str(_rounds(course, silo)),
            course.datasets.get(silo, "not said"),
            one_line(course.machines.get(silo, "")) or "not said",
        )
        for silo in plan.silos
    )
    table = Table(("SILO", "ROUNDS", "DATASET", "MACHINE"), rows)
    return Answer(data, (*answer.shown, table))


def _lineage(view: RunView, plan: Plan, course: Course) -> dict[str, Json]:
    return {
        "run": view.id,
        "plan_digest": plan.digest,
        "app": to_json(plan.app),
        "models": {str(k): digest for k, digest in sorted(course.models.items())},
        "silos": {
            silo: {
                "rounds": _rounds(course, silo),
                "dataset": course.datasets.get(silo),
                "machine": course.machines.get(silo),
                "refused": course.refused.get(silo),
            }
            for silo in plan.silos
        },
        "masked": view.masked,
        "keeps_silo_models": view.keeps_silo_models,
        "privacy": to_json(view.privacy) if view.privacy else None,
    }


def _rounds(course: Course, silo: str) -> int:
    """How many models of the run this silo's updates are in; the initial one is nobody's."""
    return sum(silo in silos for k, silos in course.reported.items() if k and k in course.models)


def _object(data: Json) -> dict[str, Json]:
    assert isinstance(data, dict)
    return data
