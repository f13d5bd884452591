"""How do the command line's options become a query, and how is it put to the silos?"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from septum.cli import stats_views, watching
from septum.cli.submitting import app_named, enrolled, folder_named, send
from septum.errors import ConfigError, NotFoundError, RunFailedError, did_you_mean
from septum.protocol.facts import StatisticsMade
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.query import MIN_CELL, NOISY_BINS, Noise, Pair, Query, QueryColumn
from septum.protocol.views import RunStatus
from septum.sdk.contract import Column, Kind
from septum.silo.query_rules import of_contract

if TYPE_CHECKING:
    from septum.cli.command import Invocation
    from septum.cli.output import Answer, Output
    from septum.client import Client

QUARTILES = (0.25, 0.5, 0.75)
MAX_WEIGHT = 2**24


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say, as they were written. `min_cell`: people; None where it is not said."""

    columns: str = ""
    quantiles: tuple[str, ...] = ()
    histograms: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    min_cell: int | None = None
    noise: Noise | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Who is asked, and how long is waited for them."""

    silos: tuple[str, ...] = ()
    quorum: int = 0
    gather_s: float = 60.0
    deadline_s: float = 600.0
    project: str = ""


def ask(call: Invocation, named: str, asked: Asked, terms: Terms) -> Answer:
    """Ask the silos, wait for the answer and show it. Raises RunFailedError when there is none, with the reasons."""
    here = folder_named(named)
    with call.client() as client:
        app = here or app_named(client, named)
        ref = AppRef(app.name, app.version, app.digest)
        plan = plan_of(ref, query_of(app.columns, asked), terms.silos or enrolled(client, terms.project), terms)
        run = send(client, plan, uuid.uuid4().hex, terms.project).id
        call.output.note(f"run {run} asks {len(plan.silos)} silos")
        return followed(call.output, client, run)


def followed(output: Output, client: Client, run: str) -> Answer:
    """The answer of a run, once it has ended. Raises RunFailedError."""
    view = watching.wait(output, client, run)
    if view.status is not RunStatus.FINISHED:
        problems = [f"{silo.name}: {silo.problem}" for silo in view.silos if silo.problem]
        raise RunFailedError(
            f"run {run} {view.status.value} without an answer: {'; '.join([view.reason or 'no reason', *problems])}",
            hint=f"septum run show {run}; a rule of a silo's policy is for its steward to change",
        )
    return answer_of(client, run)


def answer_of(client: Client, run: str) -> Answer:
    """What a run was asked and answered. Raises NotFoundError."""
    after = 0
    while entries := client.journal(run, after=after):
        for entry in entries:
            if isinstance(entry.fact, StatisticsMade):
                return stats_views.statistics(run, entry.fact.query, entry.fact.answer)
        after = entries[-1].seq
    view = client.run(run)
    if view.asks:
        raise NotFoundError(f"run {run} has no answer: it is {view.status.value}", hint=f"septum run show {run}")
    raise NotFoundError(f"run {run} does not ask for statistics: it trains {view.app.name}", hint="septum stats run")


def plan_of(app: AppRef, query: Query, silos: Sequence[str], terms: Terms) -> Plan:
    """The plan that asks these silos."""
    return Plan(
        name=f"statistics of {app.name}",
        app=app,
        hyper={},
        silos=tuple(sorted(set(silos))),
        rounds=1,
        quorum=terms.quorum,
        gather_s=terms.gather_s,
        deadline_s=terms.deadline_s,
        masking=Masking(max_weight=MAX_WEIGHT),
        query=query,
    )


# --- the query -----------------------------------------------------------------------------------------------------


def query_of(contract: Mapping[str, Column], asked: Asked) -> Query:
    """The query that the options ask for, with what it needs of the contract. Raises ConfigError naming the option."""
    found: dict[str, QueryColumn] = {}

    def column(name: str, option: str) -> QueryColumn:
        if name not in contract:
            raise ConfigError(f"{option}: the app has no column {name!r}; {did_you_mean(name, contract)}")
        return found.setdefault(name, of_contract(name, contract[name]))

    for name in _names(asked.columns):
        numbers = contract[name].kind is not Kind.CODE if name in contract else False
        found[name] = replace(column(name, "--columns"), moments=numbers)
    for text in asked.quantiles:
        name, at = _split(text)
        given = tuple(sorted(_numbers(at, f"--quantiles {text}"))) if at else QUARTILES
        found[name] = replace(column(name, "--quantiles"), quantiles=given)
    for option, texts, cuts in (("--histogram", asked.histograms, _bins), ("--cut", asked.cuts, _cuts)):
        for text in texts:
            name, how = _split(text)
            found[name] = _grouped(column(name, option), how, f"{option} {text}", cuts)
    tables = tuple(_pair(text) for text in asked.tables)
    for pair in tables:
        column(pair.rows, "--table")
        column(pair.columns, "--table")
    if not found:
        raise ConfigError("nothing is asked", hint="--columns age,sex, say; septum app show APP lists the columns")
    columns = (found[name] for name in sorted(found))
    if asked.noise is None:
        return Query(tuple(columns), tables, MIN_CELL if asked.min_cell is None else asked.min_cell)
    coarse = tuple(replace(column, finest=NOISY_BINS) for column in columns)
    return Query(coarse, tables, 1 if asked.min_cell is None else asked.min_cell, asked.noise)


def noise_of(epsilon: float | None, delta: float) -> Noise | None:
    """The noise that `--epsilon` and `--delta` ask for; None without the former. Raises ConfigError."""
    if epsilon is None:
        if delta != Noise(1.0).delta:
            raise ConfigError("--delta belongs to --epsilon, which is not there")
        return None
    return Noise(epsilon, delta)


_Cuts = Callable[[QueryColumn, str, str], tuple[float, ...]]


def _grouped(column: QueryColumn, how: str, where: str, cuts: _Cuts) -> QueryColumn:
    if column.cuts:
        raise ConfigError(f"{where}: {column.name} has groups already; one answer counts a column in one way")
    return replace(column, cuts=cuts(column, how, where))


def _bins(column: QueryColumn, how: str, where: str) -> tuple[float, ...]:
    """So many groups of equal width over the contract's range, the ones of whole numbers at whole numbers."""
    if column.codes:
        raise ConfigError(f"{where}: {column.name} has codes, and is counted by them", hint=f"--columns {column.name}")
    if not how.isdecimal() or not 2 <= int(how) <= 256:
        raise ConfigError(f"{where}: how many groups?", hint=f"--histogram {column.name}:20")
    if column.minimum is None or column.maximum is None:
        raise ConfigError(
            f"{where}: the app's data contract gives {column.name} no min and max",
            hint=f"--cut {column.name}:10/20/30 says where groups end",
        )
    width = (column.maximum - column.minimum) / int(how)
    edges = [column.minimum + width * place for place in range(1, int(how))]
    cuts = [float(round(edge)) for edge in edges] if column.whole else edges
    if any(after <= before for before, after in pairwise(cuts)):
        raise ConfigError(f"{where}: so many groups would have no whole number in some", hint="ask for fewer")
    return tuple(cuts)


def _cuts(column: QueryColumn, how: str, where: str) -> tuple[float, ...]:
    if not how:
        raise ConfigError(f"{where}: where do groups end?", hint=f"--cut {column.name}:40/60")
    return tuple(sorted(_numbers(how, where)))


def _pair(text: str) -> Pair:
    names = _names(text)
    if len(names) != 2:
        raise ConfigError(f"--table {text}: two columns are needed", hint="--table sex,num")
    return Pair(*names)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _split(text: str) -> tuple[str, str]:
    name, _, how = text.partition(":")
    return name.strip(), how.strip()


def _numbers(text: str, where: str) -> list[float]:
    try:
        return [float(part) for part in text.split("/")]
    except ValueError:
        raise ConfigError(f"{where}: {text!r} are no numbers", hint="write them as 0.1/0.5/0.9") from None
