"""How do silos, and what they say of themselves, look to people?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from septum.cli.output import Answer, Table, one_line
from septum.cli.views import when
from septum.protocol.codec import to_json
from septum.protocol.description import SiloDescription
from septum.protocol.resources import Capacity
from septum.protocol.views import SiloDetail, SiloStatus, SiloView


def silos(found: Sequence[SiloView]) -> Answer:
    """Silos."""
    rows = tuple(
        (
            view.name,
            view.status.value,
            view.organisation,
            view.septum or "-",
            labels_text(view.labels),
            when(view.enrolled_at) or "never",
            when(view.seen_at) or "never",
        )
        for view in found
    )
    titles = ("SILO", "STATUS", "ORGANISATION", "VERSION", "LABELS", "ENROLLED", "SEEN")
    return Answer({"silos": [to_json(view) for view in found]}, (Table(titles, rows, NONE),))


NONE = "no silos yet: septum silo invite NAME"


def silo(detail: SiloDetail) -> Answer:
    """One silo."""
    view, said = detail.silo, detail.description
    reason = (
        f": {one_line(detail.standing.reason)}" if view.status is SiloStatus.PAUSED and detail.standing.reason else ""
    )
    lines = [
        f"silo          {view.name}",
        f"status        {view.status.value}{reason}",
        f"organisation  {view.organisation}",
        f"enrolled      {when(view.enrolled_at) or 'never'}",
        f"seen          {when(view.seen_at) or 'never'}",
        f"fingerprint   {view.fingerprint or 'none, it has not enrolled'}",
    ]
    if detail.standing.budget_low:
        lines.append(f"budget        of privacy nearly spent: {', '.join(map(one_line, detail.standing.budget_low))}")
    if said is None:
        lines.append("says          nothing of itself yet: it has not been started, or its septum is an older one")
        return Answer(to_json(detail), ("\n".join(lines),))
    lines += _machine(said)
    lines.append(f"as it said    {when(detail.described_at)}; none of it is proven")
    rows = tuple((one.name, one.rows or "not told", ", ".join(one.columns) or "not told") for one in said.datasets)
    table = Table(("DATASET", "ROWS", "COLUMNS"), rows, "it offers no dataset by name")
    return Answer(to_json(detail), ("\n".join(lines), table))


def _machine(said: SiloDescription) -> tuple[str, ...]:
    memory = f"{said.memory_mb / 1000:.1f} GB" if said.memory_mb else "not known"
    return (
        f"septum        {said.septum}, Python {said.python}",
        f"system        {said.system}",
        f"processor     {f'{said.processor}, ' if said.processor else ''}{said.cores} cores; memory {memory}",
        f"GPUs          {', '.join(said.gpus) or 'none that it knows of'}",
        *((f"gives         {_capacity(said.capacity)}",) if said.capacity is not None else ()),
        f"labels        {labels_text(said.labels)}",
    )


def _capacity(gives: Capacity) -> str:
    """What a silo gives to all runs together.

    >>> _capacity(Capacity(runs=4, cpus=8.0, gpus=0))
    '4 runs at one time; in all 8 processors, 0 GPUs'
    """
    named = {"processors": gives.cpus, "MB of memory": gives.memory_mb, "GPUs": gives.gpus}
    told = ", ".join(f"{value:.10g} {name}" for name, value in named.items() if value is not None)
    return f"{gives.runs} runs at one time{told and '; in all '}{told}"


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels in one line; a dash where there are none.

    >>> labels_text({"region": "north", "gpu": "yes"})
    'gpu=yes region=north'
    """
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "-"
