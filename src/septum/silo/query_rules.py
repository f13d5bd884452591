"""May this be asked of the silo's data? The rules for statistics without training, from the silo's policy alone.

No code of an app runs for them, so what an app's approval says of its code does not count here: the steward names the
apps of whose columns statistics may be asked. What the query repeats of the contract is compared with the approved one.
"""

from __future__ import annotations

from collections.abc import Mapping

from septum.protocol.query import Code, Query, QueryColumn
from septum.protocol.silo import Denied
from septum.sdk.contract import Column, Kind
from septum.silo.policy import Policy


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
    if query.min_cell < policy.min_cell:
        return Denied(
            "policy.min_cell",
            f"counts of {query.min_cell} people would be told, this silo asks that none of fewer than "
            f"{policy.min_cell} be",
        )
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
