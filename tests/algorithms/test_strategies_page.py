"""Does the reference page name every strategy and setting, with the default and range that the code has?"""

import re
from pathlib import Path

import pytest

from septum.algorithms.strategy import strategy, strategy_names, strategy_settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "strategies.md"


def sections():
    """The page's text under each `## name` heading."""
    parts = re.split(r"^## `([\w-]+)`.*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_a_section_for_each_strategy_in_order_and_for_no_other():
    assert tuple(sections()) == strategy_names()


@pytest.mark.parametrize("name", strategy_names())
def test_the_page_lists_each_setting_with_its_default_and_range(name):
    listed = re.findall(r"^\| `(\w+)` \| ([^|]+?) \| ([^|]+?) \|", sections()[name], flags=re.MULTILINE)
    assert [(setting, float(default), allowed) for setting, default, allowed in listed] == [
        (setting.name, setting.default, setting.range) for setting in strategy_settings(name)
    ]


def test_the_page_tells_which_strategies_see_each_silos_update():
    rows = re.findall(
        r"^\| (`.*`) \| [^|]+ \| (yes|no)\b[^|]* \| (used|not used) \|", PAGE.read_text(), flags=re.MULTILINE
    )
    told = {
        name: (sees == "yes", rows == "used") for names, sees, rows in rows for name in re.findall(r"`([^`]+)`", names)
    }
    # A silo that says that it has many rows has no more weight, wherever one silo's update can be seen.
    assert told == {name: (strategy(name).sees_updates, not strategy(name).sees_updates) for name in strategy_names()}


@pytest.mark.parametrize("name", strategy_names())
def test_the_page_says_how_many_silos_are_needed(name):
    told = re.search(r"Needs\s+n >= (.+?) silos", sections()[name])
    assert (strategy(name).needs.silos > 1) == (told is not None)
    assert told is None or f"n >= {told[1]} = " in strategy(name).needs.why
