"""What does the reference page of events say? It is made from the facts of a run's journal and the kinds of the feed.

python -m septum.cli.events > docs/reference/events.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from typing import get_args

from septum.protocol.audit import AUDIT_SAYS, AuditKind
from septum.protocol.codec import kind_of
from septum.protocol.facts import Fact
from septum.protocol.feed import RIGHT_TO_SEE, SAYS, Change, Kind, Noun
from septum.protocol.timeline import STEPS, Doing
from septum.silo.audit import SAYS as SILO_SAYS
from septum.silo.audit import SiloKind

_HEAD = """# Events

Made by `python -m septum.cli.events > docs/reference/events.md`; a test checks that it is up to date.

There are two lists that grow. A run's **journal** has what happened in that run, round by round; the federation's
**feed** has what changed in the federation: silos, people, apps, groups, projects, and the status of runs. The
coordinator keeps both, writes them in the transaction of what they tell, and shows them in two ways:

| list | page by page | as it grows (server-sent events) | command |
|---|---|---|---|
| journal | `GET /api/v1/runs/RUN/journal` | `GET /api/v1/runs/RUN/events` | `septum run watch RUN` |
| feed | `GET /api/v1/activity` | `GET /api/v1/events` | `septum log events --follow` |

A stream's `id` is the entry's number. Whoever comes back with `Last-Event-ID` gets what followed; a stream of a run
ends with the run, that of the feed never. New entries come at most twice a second. Who does not read them is cut
off. One person may watch `streams_per_person` streams at one time, and is answered 429 beyond.
"""
_FEED = """## The feed

Each entry has a number `seq`, a time `at` (Unix seconds) and a `change`. The numbers grow; those of entries that went
or that one may not see are missing. The newest `feed_entries` are kept, 100,000 unless `coordinator.toml` says
otherwise. One sees the changes of what one sees in its list, by the same right. Of tokens one is told that somebody has
made or revoked one, where one may see that person; of its title and rights nothing.
"""
_AUDIT = """## The audit log

`GET /api/v1/audit` and `septum audit list`, with the right `audit.read`. An event has a number `seq`, from 1 without
gaps, a time `at` (UTC), a `kind`, who did it (`by`: a person, `operator`, `silo:NAME`, or nobody) and what it is about.
Nothing is ever removed or changed ([how that is checked](../how-to/verify-the-audit-log.md)). It has all kinds of the
feed but those of silos that come and go, and these:
"""
_SILO = """A silo's own log, `septum silo audit list`, has these:
"""
_TIMELINE = """## The timeline

`GET /api/v1/runs/RUN/timeline` and `septum run timeline RUN` say where a run's time went. It is computed from the
journal: for each round and attempt what each silo and the coordinator did (`doing`), from when (Unix seconds, by the
coordinator's clock), for how long, and what went wrong. What a silo says of its steps is cut to the time between the
moment it was asked and the moment its report came in. A silo whose work is private by differential privacy says nothing
of its steps: how long they took tells something of its rows.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_facts(), "", _FEED, *_kinds(), "", *_fields(), "", *_audit(), _TIMELINE, *_steps(), ""])


def _facts() -> Iterator[str]:
    yield from (
        "## A run's journal",
        "",
        "Each entry has a number `seq`, from 1 without gaps, a time `at` (Unix seconds) and a `fact` of one of these",
        "kinds.",
        "",
        "| kind | what happened | fields |",
        "|---|---|---|",
    )
    for fact in get_args(Fact):
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(fact))
        yield f"| `{kind_of(fact)}` | {said_of(fact)} | {fields} |"


def said_of(fact: type) -> str:
    """What a fact's class says of it: its first paragraph, on one line."""
    return re.sub(r"\s+", " ", inspect.cleandoc(fact.__doc__ or "").split("\n\n")[0]).replace("|", "\\|")


def _kinds() -> Iterator[str]:
    yield from ("| kind | what happened | seen with the right |", "|---|---|---|")
    for kind in Kind:
        yield f"| `{kind.value}` | {SAYS[kind]} | `{RIGHT_TO_SEE[kind.noun].value}` |"


def _audit() -> Iterator[str]:
    yield _AUDIT
    yield from ("| kind | what happened |", "|---|---|")
    yield from (f"| `{kind.value}` | {AUDIT_SAYS[kind.value]} |" for kind in AuditKind)
    yield from ("", _SILO, "| kind | what happened |", "|---|---|")
    yield from (f"| `{kind.value}` | {SILO_SAYS[kind]} |" for kind in SiloKind)
    yield ""


def _fields() -> Iterator[str]:
    yield "A change has these fields, empty where they do not apply: "
    yield ", ".join(f"`{field.name}`" for field in dataclasses.fields(Change)) + "."
    nouns = ", ".join(f"`{noun.value}`" for noun in Noun)
    yield f"A filter `kind` takes a kind, or all kinds of a noun: {nouns}."


def _steps() -> Iterator[str]:
    yield from ("| doing | of what a silo reports |", "|---|---|")
    for doing in Doing:
        names = ", ".join(f"`{name}`" for name, step in STEPS.items() if step is doing)
        yield f"| `{doing.value}` | {names} |"


if __name__ == "__main__":
    sys.stdout.write(page())
