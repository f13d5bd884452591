"""Does the reference page name every strategy and setting, with the default and range that the code has?"""

import re
from pathlib import Path

import pytest

from septum.algorithms.strategy import strategy_names, strategy_settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "strategies.md"


def sections():
    """The page's text under each `## name` heading."""
    parts = re.split(r"^## `(\w+)`.*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_a_section_for_each_strategy_in_order_and_for_no_other():
    assert tuple(sections()) == strategy_names()


@pytest.mark.parametrize("name", strategy_names())
def test_the_page_lists_each_setting_with_its_default_and_range(name):
    listed = re.findall(r"^\| `(\w+)` \| ([^|]+?) \| ([^|]+?) \|", sections()[name], flags=re.MULTILINE)
    assert [(setting, float(default), allowed) for setting, default, allowed in listed] == [
        (setting.name, setting.default, setting.range) for setting in strategy_settings(name)
    ]
