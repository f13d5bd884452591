"""Is the page of the attacks what the suite finds today?"""

import re
from pathlib import Path

import pytest
from tests.attacks.table import page

pytestmark = pytest.mark.attacks

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"
NUMBER = re.compile(r"\b0\.\d\d\b")


def test_the_page_is_what_make_attacktable_would_write():
    """Verdicts and words to the letter; accuracies within 0.01, for processors round differently."""
    written, found = PAGE.read_text(encoding="utf-8"), page()
    assert NUMBER.sub("x", written) == NUMBER.sub("x", found)
    for there, here in zip(NUMBER.findall(written), NUMBER.findall(found), strict=True):
        assert abs(float(there) - float(here)) <= 0.0101
