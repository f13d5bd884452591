"""At least how much DP-SGD shows of a record, by the attack of tests/privacy/canary.py, in the table."""

from __future__ import annotations

from tests.attacks.rows import Row, Verdict
from tests.privacy.canary import MUTATIONS, accounted, shown

TEST = "test_canaries"


def rows() -> list[Row]:
    return [_row(missing) for missing in ("", *MUTATIONS)]


def _row(missing: str) -> Row:
    least = shown(missing)
    without = f" of a step whose {missing.removeprefix('no ')} was taken out of the source" if missing else ""
    held = f"all records but one, and all noisy gradients{without}"
    figure = f"epsilon is {least:.2f} at least, accounted are {accounted():.2f}"
    verdict = Verdict.SUCCEEDS if least > accounted() else Verdict.FAILS
    return Row("a canary in DP-SGD", held, verdict, figure, TEST)
