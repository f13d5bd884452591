"""How does it look where a run's time went?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from septum.cli.command import Invocation
from septum.cli.output import Answer, Json, Table, one_line
from septum.protocol.codec import to_json
from septum.protocol.timeline import AttemptLine, Doing, RoundLine, Span, seconds_by_silo, slowest
from septum.protocol.wording import where

COORDINATOR = "coordinator"
_SILOS_DO = (
    Doing.OTHER,
    Doing.RECEIVE,
    Doing.PREPARE,
    Doing.EVALUATE,
    Doing.TRAIN,
    Doing.PROTECT,
    Doing.SEND,
    Doing.WAIT,
)
_COORDINATOR_DOES = (Doing.WAIT, Doing.UNMASK, Doing.AGGREGATE, Doing.EVALUATE, Doing.PAUSE)
MOST_PROBLEMS = 20


def timeline(call: Invocation, run_id: str, round_: int | None) -> Answer:
    """The seconds of each silo and of the coordinator by what they did, and what went wrong."""
    with call.client() as client:
        if round_ is None:
            rounds = tuple(client.whole_timeline(run_id))
        else:
            rounds = client.timeline(run_id, after_round=round_ - 1, limit=1)
    by_silo, waited_for = seconds_by_silo(rounds), slowest(rounds)
    data: Json = {
        "run": run_id,
        "rounds": [to_json(line) for line in rounds],
        "seconds_by_silo": {
            silo: {doing.value: seconds for doing, seconds in took.items()} for silo, took in by_silo.items()
        },
        "slowest": waited_for,
    }
    empty = f"nothing was done yet: septum run show {run_id}"
    silos = _table("SILO", _SILOS_DO, by_silo, empty)
    spans = list(chain.from_iterable(attempt.coordinator for attempt in _attempts(rounds)))
    own = _table("", _COORDINATOR_DOES, {COORDINATOR: _seconds(spans)} if spans else {}, "")
    said = [*_slowest(waited_for), *_now(rounds), *_problems(rounds)]
    tables = (silos, own) if spans else (silos,)
    return Answer(data, (*tables, *(["\n".join(said)] if said else [])))


def _attempts(rounds: Sequence[RoundLine]) -> list[AttemptLine]:
    return [attempt for line in rounds for attempt in line.attempts]


def _seconds(spans: Sequence[Span]) -> dict[Doing, float]:
    return {doing: sum(span.duration_s for span in spans if span.doing is doing) for doing in Doing}


def _table(name: str, doing: Sequence[Doing], took: dict[str, dict[Doing, float]], empty: str) -> Table:
    """Seconds. What nobody did has no column."""
    done = [one for one in doing if any(seconds.get(one, 0.0) for seconds in took.values())]
    columns = (name, *(f"{one.value.upper()} S" for one in done))
    rows = tuple((who, *(f"{seconds.get(one, 0.0):.3f}" for one in done)) for who, seconds in sorted(took.items()))
    return Table(columns, rows, empty)


def _slowest(silo: str) -> list[str]:
    return [f"waited for longest: {silo}"] if silo else []


def _now(rounds: Sequence[RoundLine]) -> list[str]:
    return [
        f"{where(one.stage, one.round)} goes on since {one.duration_s:.1f} s"
        + (f", and waits for {', '.join(one.waits_for)}" if one.waits_for else "")
        for one in _attempts(rounds)
        if one.under_way
    ]


def _problems(rounds: Sequence[RoundLine]) -> list[str]:
    found = []
    for one in _attempts(rounds):
        place = f"{where(one.stage, one.round)}, attempt {one.attempt}"
        found += [f"{place}: {one.problem}"] if one.problem else []
        found += [f"{place}: {line.silo}: {line.problem}" for line in one.silos if line.problem]
        found += [f"{place}: {line.silo} was slow: {line.own_s:.1f} s" for line in one.silos if line.slow]
    more = [f"and {len(found) - MOST_PROBLEMS} more: --json"] if len(found) > MOST_PROBLEMS else []
    return [one_line(text) for text in found[:MOST_PROBLEMS]] + more
