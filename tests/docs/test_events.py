"""Every fact and every change is on the page of events, and each says what happened."""

from pathlib import Path
from typing import get_args

from septum.cli.events import page, said_of
from septum.protocol.codec import kind_of
from septum.protocol.facts import Fact
from septum.protocol.feed import Kind

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"


def test_the_page_of_events_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python -m septum.cli.events > docs/reference/events.md"


def test_every_fact_and_every_kind_of_change_is_on_it():
    text = PAGE.read_text()
    for name in (*map(kind_of, get_args(Fact)), *(kind.value for kind in Kind)):
        assert f"| `{name}` | " in text


def test_every_fact_says_what_happened_in_a_sentence():
    for fact in get_args(Fact):
        assert said_of(fact).endswith("."), fact
        assert not said_of(fact).startswith(fact.__name__ + "("), fact  # what a dataclass without a docstring says
