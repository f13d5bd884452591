"""Each suite of the Makefile looks where its tests are: none is left out because it stands elsewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
SUITES = ("e2e", "faults", "attacks", "console")


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_marked_for_a_suite_stands_where_the_suite_looks(suite):
    (command,) = re.findall(rf"(?i:pytest)\)? [^\n]*-m {suite}\b[^\n]*", MAKEFILE)
    looks = [ROOT / word for word in command.split() if word.startswith("tests/")]
    assert looks
    marked = [path for path in (ROOT / "tests").rglob("*.py") if re.search(rf"\bmark\.{suite}\b", path.read_text())]
    outside = [path for path in marked if not any(path.is_relative_to(place) for place in looks)]
    assert [path for path in outside if path != Path(__file__)] == []


def test_every_test_is_in_a_suite():
    """Unit and slow are each other's rest, and what they leave out is in a suite of its own."""
    unit, slow = (re.findall(rf"^{suite}:.*\n\t.*-m \"(.*)\"", MAKEFILE, re.MULTILINE)[0] for suite in ("unit", "slow"))
    left_out = {f"not {suite}" for suite in SUITES}
    parts = set(unit.split(" and "))
    assert parts - left_out == {f"not {mark}" for mark in re.findall(r"\((.*)\)", slow)[0].split(" or ")}
    assert set(slow.split(" and ")[1:]) == left_out
