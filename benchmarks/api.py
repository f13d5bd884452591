"""How long does the public API take to answer, when there is much to list?

    python -m benchmarks.api --runs 10000 --points 1000000 --json

A real coordinator process over TLS on SQLite, with so many ended runs, their journals with so many metric points (each
round of a run has four silos' and the mean's), some runs at work, silos, packages, projects and people. One client
asks for each list with its default page, again and again on one connection, in turn with the floor: `/health`, which
reads nothing. A time is the client's, from the request to the last byte of the answer.

The journals are real ones: one run is written through the store, and its rows are copied under other ids.
`commit_added_ms` is what the coordinator's commit of a round's end takes in this database more than in an empty one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path
from statistics import median, quantiles

from benchmarks.connections import Coordinator
from benchmarks.processes import resident_bytes
from benchmarks.report import Figures, machine, parser, rounded, say
from septum.adapters.store.open import DATABASE_NAME, Stores, open_store
from septum.adapters.tls import client_context
from septum.client import operator_access
from septum.coordinator.api.app import PREFIX
from septum.ports.apps import AppRecord
from septum.ports.groups import Group
from septum.ports.people import Organisation, Person
from septum.ports.projects import Project
from septum.ports.store import Transition
from septum.protocol.facts import (
    Fact,
    Metrics,
    ModelMade,
    ModelMeasured,
    RunEnded,
    SiloJoined,
    SiloReported,
    StageClosed,
    StageOpened,
)
from septum.protocol.messages import Blob, Outcome, Stage
from septum.protocol.plan import AppRef, Plan, digest_of
from septum.protocol.rights import Grant, Role
from septum.protocol.run import create
from septum.protocol.run_state import Note, Phase, Presence, Run
from septum.testing.crowd import enrol_crowd

SILOS = tuple(f"crowd-{number}" for number in range(4))
POINTS_A_ROUND = 4 * (len(SILOS) + 1)  # rows, accuracy, log loss and ROC-AUC of each silo and of all
AT_WORK = 50
OTHERS = 200  # silos, packages, people
FIRST_AT = 1.7e9
METRICS = Metrics(299, 0.8125, 0.4375, 0.875, 0.0009765625)
MB = 1e6
_VIEWER = (Grant(Role.VIEWER),)


def main() -> None:
    """Measure and print."""
    options = _options()
    base = Path(tempfile.mkdtemp(prefix="septum-benchmark-"))
    data_dir, rounds = base / "coordinator", max(1, options.points // (options.runs * POINTS_A_ROUND))
    enrol_crowd(data_dir, OTHERS)
    fill(data_dir, options.runs, rounds)
    began = time.monotonic()
    open_store(data_dir).close()
    views_s = time.monotonic() - began
    coordinator = Coordinator(base)
    coordinator.start()
    try:
        times = _ask_all(coordinator, options.repeats)
        rss_mb = rounded(resident_bytes(coordinator.process.pid) / MB)
    finally:
        coordinator.process.stop()
    added_ms = _added_ms(data_dir, base / "empty")
    shutil.rmtree(base)
    _say(options, rounds, times, {"views_s": views_s, "rss_mb": rss_mb, "added_ms": added_ms})


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--runs", type=int, default=10_000)
    made.add_argument("--points", type=int, default=1_000_000, help="metric points over all runs")
    made.add_argument("--repeats", type=int, default=200, help="how often each list is asked for")
    return made.parse_args()


# --- what there is to list -----------------------------------------------------------------------------------------


def fill(data_dir: Path, runs: int, rounds: int) -> None:
    """So many ended runs of so many rounds, some at work, and what else there is to list, in a store of its own."""
    with open_store(data_dir) as stores:
        _others(stores)
        plan = _plan(rounds)
        for number in range(AT_WORK):
            _store(stores, replace(create(f"r-work{number:04}", plan, 0.0)[0], paused=True, deadline=None), [])
        _store(stores, _ended(create("r-0000000", plan, 0.0)[0]), list(_facts(rounds)))
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as database, database:
        for number in range(1, runs):
            _copy(database, number)


def _others(stores: Stores) -> None:
    for number in range(50):
        name, silos = f"g-{number}", tuple(sorted(f"crowd-{number * 4 + one}" for one in range(4)))
        stores.people.add_organisation(Organisation(f"org-{number}", f"Organisation {number}", FIRST_AT))
        stores.groups.add(Group(name, silos, "", FIRST_AT))
        stores.projects.add(Project(f"project-{number}", name, "", (f"org-{number}",), FIRST_AT))
    for number in range(OTHERS):
        text, digest = str(number), f"sha256:{number:064x}"
        stores.apps.add(AppRecord(digest, f"app-{number % 20}", text, digest_of(text.encode()), 9, FIRST_AT, "[]"))
        person = Person(f"person-{number}", f"Person {number}", f"org-{number % 50}", FIRST_AT, grants=_VIEWER)
        stores.people.add(person, bytes(32), until=FIRST_AT)


def _plan(rounds: int) -> Plan:
    app = AppRef("app-1", "1", "sha256:" + "0" * 64)
    return Plan("heart-disease", app, {"rounds": rounds, "lr": 1e-3}, SILOS, rounds=rounds)


def _store(stores: Stores, run: Run, facts: Sequence[Fact]) -> None:
    first, effects = create(run.id, run.plan, 0.0)
    born = [effect.fact for effect in effects if isinstance(effect, Note)]
    stores.runs.create(first, born, at=FIRST_AT, project="project-1", submitter="person-1")
    stores.runs.commit([Transition(run, 1, facts=tuple(facts))], at=FIRST_AT + 60.0)


def _ended(run: Run) -> Run:
    return replace(
        run,
        phase=Phase.ENDED,
        outcome=Outcome.FINISHED,
        presence=dict.fromkeys(SILOS, Presence.ACTIVE),
        round=run.plan.rounds,
        finished=run.plan.rounds,
        model=_model(run.plan.rounds),
        measured=METRICS,
        deadline=None,
    )


def _model(round_: int) -> Blob:
    return Blob(digest_of(str(round_).encode()), 4_194_304)


def _facts(rounds: int) -> Iterator[Fact]:
    yield from (SiloJoined(silo) for silo in SILOS)
    yield ModelMade(0, _model(0))
    for number in range(1, rounds + 1):
        yield StageOpened(Stage.TRAIN, number, 1, SILOS)
        for silo in SILOS:
            yield SiloReported(silo, Stage.TRAIN, number, 1, {"train": 0.25, "evaluate": 0.125, "encode": 0.001})
        yield StageClosed(Stage.TRAIN, number, 1, SILOS, ())
        yield ModelMade(number, _model(number))
        yield ModelMeasured(number, METRICS, dict.fromkeys(SILOS, METRICS))
    yield RunEnded(Outcome.FINISHED, "")


_COPIES = (
    "INSERT INTO runs SELECT :id, version, :at, ended, facts, replace(state, 'r-0000000', :id) FROM runs "
    "WHERE id = 'r-0000000'",
    "INSERT INTO run_index (run_id, created_at, project, app, app_version, outcome, name, submitter) SELECT :id, :at, "
    ":project, app, app_version, outcome, name, :who FROM run_index WHERE run_id = 'r-0000000'",
    "INSERT INTO journal SELECT :id, seq, at, fact FROM journal WHERE run_id = 'r-0000000'",
    "INSERT INTO run_keys (run_id, salt, shredded_by, files) VALUES (:id, randomblob(32), '', false)",
)


def _copy(database: sqlite3.Connection, number: int) -> None:
    about = {"id": f"r-{number:07}", "at": FIRST_AT + number, "project": f"project-{number % 50}"}
    for statement in _COPIES:
        database.execute(statement, {**about, "who": f"person-{number % OTHERS}"})


# --- what is asked -------------------------------------------------------------------------------------------------


def lists_of(schema: Mapping[str, object]) -> list[str]:
    """The paths of all routes whose answer is a page.

    >>> page = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/RunPage"}}}}
    >>> lists_of({"paths": {"/runs": {"get": {"responses": {"200": page}}}, "/health": {"get": {"responses": {}}}}})
    ['/runs']
    """
    paths = schema["paths"]
    assert isinstance(paths, Mapping)
    found = ((path, methods["get"]["responses"].get("200", {})) for path, methods in paths.items() if "get" in methods)
    return [path for path, answered in found if 'Page"' in json.dumps(answered)]


def _ask_all(coordinator: Coordinator, repeats: int) -> dict[str, list[float]]:
    access = operator_access(coordinator.data_dir)
    connection = HTTPSConnection("127.0.0.1", coordinator.port, context=client_context(Path(access.ca_file)))
    headers = {"authorization": f"Bearer {access.token}"}

    def ask(path: str) -> bytes:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:500])
        return body

    paths = [path for path in lists_of(json.loads(ask(f"{PREFIX}/openapi.json"))) if not path.endswith("/tokens")]
    asked = {path.removeprefix(PREFIX): path.replace("{run_id}", "r-0000007") for path in paths}
    asked |= {more: PREFIX + more for more in _MORE}
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(repeats):
        for name, path in asked.items():
            began = time.perf_counter()
            ask(path)
            times[name].append(1000 * (time.perf_counter() - began))
    connection.close()
    return times


_MORE = (
    "/health",
    "/runs/r-0000007",
    "/runs?status=finished&app=app-1",
    "/runs?q=heart&submitter=person-7",
    "/runs?project=project-7",
    "/runs/r-0000007/journal?kind=model_measured",
    "/models?run=r-0000007",
)


def _added_ms(full: Path, empty: Path) -> float:
    """How much longer the commit of a round's end takes in a full database: the median of 500, taken in turn."""
    plan = _plan(10)
    run = replace(create("r-timed", plan, 0.0)[0], presence=dict.fromkeys(SILOS, Presence.ACTIVE), phase=Phase.TRAIN)
    facts = tuple(_facts(1))[len(SILOS) + 1 :]
    times: tuple[list[float], list[float]] = ([], [])
    with open_store(full) as one, open_store(empty) as other:
        for stores in (one, other):
            stores.runs.create(run, (), at=FIRST_AT)
        for number in range(1, 501):
            for stores, kept in zip((one, other), times, strict=True):
                began = time.perf_counter()
                stores.runs.commit([Transition(replace(run, round=number), number, facts=facts)], at=FIRST_AT)
                kept.append(1000 * (time.perf_counter() - began))
    return median(times[0]) - median(times[1])


def _say(
    options: argparse.Namespace, rounds: int, times: Mapping[str, list[float]], others: Mapping[str, float]
) -> None:
    cuts = {name: quantiles(values, n=100) for name, values in times.items()}
    p50 = {name: rounded(found[49]) for name, found in cuts.items()}
    p99 = {name: rounded(found[98]) for name, found in cuts.items()}
    figures: Figures = {
        "benchmark": "api",
        "machine": machine(),
        "runs": options.runs,
        "points": options.runs * rounds * POINTS_A_ROUND,
        "p50_ms": p50,
        "p99_ms": p99,
        "floor_ms": p50["/health"],
        "round_overhead_added_ms": rounded(others["added_ms"]),
        "first_opening_s": rounded(others["views_s"]),
        "coordinator_rss_mb": others["rss_mb"],
    }
    rows = [(name, f"{p50[name]:g} ms, 99 of 100 within {p99[name]:g} ms") for name in p50]
    rows.append(("a round's commit, more than in an empty database", f"{rounded(others['added_ms']):g} ms"))
    rows.append(("first opening, which makes the views", f"{rounded(others['views_s']):g} s"))
    say(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
