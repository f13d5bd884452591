"""What should a steward know of her data before any training? Counts, and what looks like a mistake.

Suspicions are rules of thumb with their numbers beside them; none of them changes a value.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from septum.sdk.contract import Kind
from septum.sdk.data import Float64
from septum.sdk.data_report import ColumnReport, DataReport, Finding, Suspicion
from septum.sdk.harmonise import MISSING, PRESENT, Harmonised, MadeColumn
from septum.sdk.mapping import ColumnPlan, OnViolation
from septum.sdk.units import SUBSTANCES, units_beside

MAX_CLASSES = 20  # more distinct values, and the target is a measurement
ENOUGH = 8  # values that a rule of thumb needs
MAX_TRIED = 2_000  # values, spread over all of them
CROWDED = 0.05  # of the contract's maximum
FAR_OUT = 3.0  # interquartile ranges from the nearest quartile (Tukey 1977, "far out")
# What forms and exports write when nothing is known.
STAND_INS = (0.0, -1.0, -9.0, -99.0, -999.0, -9999.0, 9.0, 99.0, 999.0, 9999.0, 99999.0, 8.0, 88.0, 888.0, 8888.0)


def examine(harmonised: Harmonised, on_violation: OnViolation, target: str) -> DataReport:
    """The report of all rows that were read."""
    rows = len(harmonised)
    dropped = int(harmonised.violated().sum()) if on_violation is OnViolation.DROP else 0
    columns = tuple(_column(plan, harmonised.columns[plan.name], plan.name == target) for plan in harmonised.plans)
    return DataReport(
        rows=rows,
        kept=rows - dropped,
        duplicates=_duplicates(harmonised),
        target=target,
        classes=_classes(harmonised, target),
        columns=columns,
    )


def _column(plan: ColumnPlan, made: MadeColumn, is_target: bool) -> ColumnReport:
    allowed = made.values[made.states == PRESENT]
    is_code = plan.column.kind is Kind.CODE
    spread = np.quantile(allowed, [0.0, 0.5, 1.0]) if len(allowed) and not is_code else None
    return ColumnReport(
        name=plan.name,
        present=len(allowed),
        missing=int((made.states == MISSING).sum()),
        made=plan.words(),
        violations={what.value: count for what, count in made.violations().items()},
        examples={what.value: cells for what, cells in made.examples.items()},
        counts=_by_code(plan, allowed) if is_code else {},
        low=None if spread is None else float(spread[0]),
        middle=None if spread is None else float(spread[1]),
        high=None if spread is None else float(spread[2]),
        findings=tuple(_findings(plan, made, allowed, is_target)),
    )


def _by_code(plan: ColumnPlan, allowed: Float64) -> dict[str, int]:
    return {f"{code:g}": int((allowed == code).sum()) for code in plan.column.codes}


def _classes(harmonised: Harmonised, target: str) -> dict[str, int]:
    plan = next(plan for plan in harmonised.plans if plan.name == target)
    made = harmonised.columns[target]
    allowed = made.values[made.states == PRESENT]
    if plan.column.kind is Kind.CODE:
        return _by_code(plan, allowed)
    values, counts = np.unique(allowed, return_counts=True)
    if len(values) > MAX_CLASSES:
        return {}
    return {f"{value:g}": int(count) for value, count in zip(values, counts, strict=True)}


def _duplicates(harmonised: Harmonised) -> int:
    """Rows that repeat an earlier one in every column."""
    table = np.column_stack([column.values for column in harmonised.columns.values()])  # (rows, columns)
    as_bytes = np.ascontiguousarray(table).view(np.dtype((np.void, table.dtype.itemsize * table.shape[1])))
    return len(table) - len(np.unique(as_bytes))


def _findings(plan: ColumnPlan, made: MadeColumn, allowed: Float64, is_target: bool) -> Iterator[Finding]:
    rows = len(made.values)
    if not len(allowed) and not made.violations():
        yield Finding(Suspicion.EMPTY, rows, f"no value in any of {rows} rows")
        return
    missing = int((made.states == MISSING).sum())
    if missing * 2 > rows:
        yield Finding(Suspicion.SPARSE, missing, f"missing in {missing} of {rows} rows")
    if plan.column.kind is Kind.CODE:
        never = [code for code, count in _by_code(plan, allowed).items() if not count]
        if never and len(allowed):
            yield Finding(Suspicion.UNUSED_CODES, rows, f"{', '.join(never)} never occur; is that so in the source?")
    else:
        yield from _wrong_unit(plan, made)
        yield from _stand_in(plan, made)
    if len(allowed) > 1 and not np.ptp(allowed):
        what = Suspicion.ONE_CLASS if is_target else Suspicion.CONSTANT
        yield Finding(what, len(allowed), f"each of {len(allowed)} values is {allowed[0]:g}")


def _wrong_unit(plan: ColumnPlan, made: MadeColumn) -> Iterator[Finding]:
    """Numbers outside the contract's bounds that a known conversion brings inside; or all crowded at their low end."""
    outside = made.numbers[(made.states > MISSING) & ~np.isnan(made.numbers)]
    unit = plan.unit or plan.column.unit
    if len(outside):
        most, names = _fitting_units(plan, outside, -np.inf if plan.column.minimum is None else plan.column.minimum)
        if most * 2 > 1:
            yield Finding(
                Suspicion.UNIT,
                round(most * len(outside)),
                f"{most:.0%} of {len(outside)} values outside the contract's bounds would fit if they were in "
                f"{names} rather than {unit}",
            )
        return
    numbers = made.numbers[(made.states == PRESENT) & ~np.isin(made.numbers, STAND_INS)]
    floor = CROWDED * (plan.column.maximum or 0.0)
    if len(numbers) < ENOUGH or not 0 < float(np.quantile(numbers, 0.95)) < floor or numbers.min() < 0:
        return
    most, names = _fitting_units(plan, numbers, floor)
    if most > 0.9:
        yield Finding(
            Suspicion.UNIT,
            len(numbers),
            f"nearly all values are below a twentieth of what the contract allows; are they in {names} rather than "
            f"{unit}?",
        )


def _fitting_units(plan: ColumnPlan, numbers: Float64, low: float) -> tuple[float, str]:
    """The largest part of the numbers that another unit brings between `low` and the maximum, and by which units."""
    high = np.inf if plan.column.maximum is None else plan.column.maximum
    tried = numbers[:: -(-len(numbers) // MAX_TRIED)]
    fits: list[tuple[float, str]] = []
    substances = [plan.substance] if plan.substance else SUBSTANCES
    for unit, substance, conversion in units_beside(plan.column.unit, substances):
        converted = np.array([conversion.convert(float(value)) for value in tried])
        inside = float(((converted >= low) & (converted <= high)).mean())
        fits.append((inside, f'"{unit}"' + (f" of {substance}" if substance and not plan.substance else "")))
    most = max((part for part, _ in fits), default=0.0)
    return most, " or ".join([name for part, name in fits if part == most][:3])


def _stand_in(plan: ColumnPlan, made: MadeColumn) -> Iterator[Finding]:
    """A number such as 0 or 999 that lies far beyond all others, or is the only one."""
    numbers = made.numbers[~np.isnan(made.numbers)]
    for mark in STAND_INS:
        converted = plan.conversion.convert(mark)
        here = numbers == (converted if plan.decimals is None else round(converted, plan.decimals))
        count, others = int(here.sum()), numbers[~here]
        if not count:
            continue
        alone = not len(others) and count >= ENOUGH
        if alone or (len(others) >= ENOUGH and _far_out(float(numbers[here][0]), others)):
            far = "there is no other value" if alone else f"others lie from {others.min():g} to {others.max():g}"
            yield Finding(
                Suspicion.HIDDEN_MISSING,
                count,
                f'{mark:g} in {count} of {len(numbers)} values, {far}; if nothing was measured: missing = ["{mark:g}"]',
            )


def _far_out(value: float, others: Float64) -> bool:
    """Whether it lies beyond all others, by more than FAR_OUT interquartile ranges from their nearest quartile."""
    first, third = np.quantile(others, [0.25, 0.75])
    reach = FAR_OUT * (third - first)
    beyond = value < min(others.min(), first - reach) or value > max(others.max(), third + reach)
    return bool(beyond and reach > 0)
