"""May this be asked of the silo's data? The rules for statistics without training, from the silo's policy alone.

No code of an app runs for them, so what an app's approval says of its code does not count here: the steward names the
apps of whose columns statistics may be asked. What the query repeats of the contract is compared with the approved one.
"""

from __future__ import annotations

from collections.abc import Mapping

from septum.protocol.query import Code, Noise, Query, QueryColumn
from septum.protocol.silo import Denied
from septum.sdk.contract import Column, Kind
from septum.silo.policy import Policy

ASK_WITH_NOISE = "septum stats run --epsilon 1 asks for some that are paid from its ledger"


def of_query(policy: Policy, contract: Mapping[str, Column], app: str, query: Query) -> Denied | None:
    """The first rule that forbids a query about the columns of this app, as its key in silo.toml; None if none does."""
    if app not in policy.queries:
        return Denied("policy.queries", f"no statistics may be asked here about the columns of {app!r}")
    names = [column.name for column in query.columns]
    forbidden = [name for name in names if policy.columns is not None and name not in policy.columns]
    if forbidden:
        return Denied("policy.columns", f"{', '.join(forbidden)} may not be read here")
    if policy.releases is not None and "statistics" not in policy.releases:
        return Denied("policy.releases", "statistics may not leave here")
    return _of_privacy(policy, query.noise) or _of_small(policy, query) or _of_columns(contract, app, query)


def _of_privacy(policy: Policy, noise: Noise | None) -> Denied | None:
    """Whether a query may be without noise, or cost as much as it may."""
    if noise is None:
        if policy.require_noise:
            return Denied("policy.require_noise", f"statistics without noise may not leave here; {ASK_WITH_NOISE}")
        if policy.require_privacy:
            return Denied(
                "policy.require_privacy", f"these statistics are not differentially private; {ASK_WITH_NOISE}"
            )
        return None
    if noise.epsilon > policy.max_epsilon:
        return Denied(
            "policy.max_epsilon",
            f"this query costs epsilon {noise.epsilon:g}, at most {policy.max_epsilon:g} is allowed here",
        )
    if noise.delta > policy.max_delta:
        return Denied("policy.max_delta", f"a delta of {noise.delta:g}, at most {policy.max_delta:g} is allowed here")
    return None


def _of_small(policy: Policy, query: Query) -> Denied | None:
    """Whether small counts are hidden as this silo asks: by noise, or left out."""
    if query.noise is None and query.min_cell < policy.min_cell:
        return Denied(
            "policy.min_cell",
            f"counts of {query.min_cell} people would be told, this silo asks that none of fewer than "
            f"{policy.min_cell} be",
        )
    return None


def _of_columns(contract: Mapping[str, Column], app: str, query: Query) -> Denied | None:
    """Whether what the query repeats of the contract is what was approved."""
    for column in query.columns:
        if column.name not in contract:
            return Denied("query", f"{app} has no column {column.name!r}")
        if _of_contract(column) != of_contract(column.name, contract[column.name]):
            return Denied("query", f"the query has other bounds, unit or codes of {column.name!r} than the app")
    return None


def of_contract(name: str, column: Column) -> QueryColumn:
    """A column of a data contract, of which nothing is asked yet.

    >>> of_contract("age", Column(kind=Kind.INTEGER, unit="years", minimum=18, maximum=110)).bounds
    (18, 110)
    """
    if column.kind is Kind.CODE:
        return QueryColumn(name, codes=tuple(Code(value, column.codes[value]) for value in sorted(column.codes)))
    return QueryColumn(name, column.unit, column.kind is Kind.INTEGER, column.minimum, column.maximum)


def _of_contract(column: QueryColumn) -> QueryColumn:
    return QueryColumn(column.name, column.unit, column.whole, column.minimum, column.maximum, column.codes)
