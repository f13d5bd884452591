"""Is the page of the attacks what the suite finds today?"""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.attacks.table import HEAD, SECTIONS, page  # needs torch

pytestmark = pytest.mark.attacks

OF_GRIDS = {"test_poisoning", "test_under_masks", "test_table"}
OF_CHANCE = {
    "test_private_processes"
}  # drawn by the system: no two runs find the same figures; the page's head names it
PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"
NUMBER = re.compile(r"\b\d+\.\d\d\b")


def test_the_page_is_what_make_attacktable_would_write():
    """Verdicts and words to the letter; figures within 0.01, for processors round differently."""
    written, found = PAGE.read_text(encoding="utf-8"), page()
    assert NUMBER.sub("x", written) == NUMBER.sub("x", found)
    for there, here in zip(NUMBER.findall(written), NUMBER.findall(found), strict=True):
        assert abs(float(there) - float(here)) <= 0.0101


def test_every_row_names_a_test_module_that_is_there():
    named = {row.test for section in SECTIONS for made in section.rows for row in made()}
    assert named == {path.stem for path in Path(__file__).parent.glob("test_*.py")} - OF_GRIDS - OF_CHANCE
    assert all(f"{name}.py" in HEAD for name in OF_CHANCE)
