"""The contract of `ports.feed.FeedStore`, as tests. Subclass FeedContract and give it stores to try."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path

from septum.ports.feed import FeedStore
from septum.protocol.feed import SEES_ALL, Change, FeedEntry, FeedFilter, Kind, Noun, Sight
from septum.protocol.messages import Outcome

ALL = FeedFilter()
CHANGES = (
    Change(Kind.RUN_SUBMITTED, "ada", "r-1", app="heart==1.0.0", project="sepsis"),
    Change(Kind.RUN_ENDED, "", "r-1", project="sepsis", outcome=Outcome.FAILED, reason="no quorum"),
    Change(Kind.RUN_SUBMITTED, "operator", "r-2", app="lung==1.0.0"),
    Change(Kind.SILO_OFFLINE, silo="basel", organisation="st-marys"),
    Change(Kind.GROUP_JOINED, "ada", silo="basel", group="cardio"),
    Change(Kind.PERSON_ROLES, "ada", person="ben", organisation="st-marys", roles=("viewer",)),
    Change(Kind.APP_PUSHED, "ada", app="heart==1.0.0"),
    Change(Kind.PROJECT_CLOSED, "ada", project="sepsis"),
)
SIGHTS = (
    SEES_ALL,
    Sight({}),
    Sight({Noun.RUN: frozenset({"sepsis"}), Noun.APP: None}),
    Sight({Noun.RUN: frozenset({""}), Noun.GROUP: frozenset({"cardio"})}),
    Sight({Noun.SILO: frozenset({"basel", "bern"}), Noun.PERSON: frozenset()}),
    Sight({Noun.PERSON: frozenset({"st-marys"}), Noun.PROJECT: frozenset({"other"})}),
)
FILTERS = (
    ALL,
    FeedFilter(project="sepsis"),
    FeedFilter(run="r-2"),
    FeedFilter(silo="basel"),
    FeedFilter(kinds=frozenset({Kind.RUN_SUBMITTED, Kind.GROUP_JOINED})),
    FeedFilter(project="sepsis", kinds=frozenset({Kind.RUN_ENDED})),
)


def told(feed: FeedStore) -> list[Change]:
    """All that is in it, oldest first."""
    return [entry.change for entry in feed.after(0)]


class FeedContract:
    """Every feed store passes these."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[FeedStore]:
        """A feed that lives in `directory`."""

    def test_what_was_added_is_there_in_order_with_numbers_that_grow(self, tmp_path: Path) -> None:
        """Page by page, too."""
        with self.make(tmp_path) as feed:
            assert (feed.newest(), feed.after(0)) == (0, [])
            feed.add(CHANGES[:3], at=10.0)
            feed.add(CHANGES[3:], at=20.5)
            entries = feed.after(0)
            assert [entry.change for entry in entries] == list(CHANGES)
            assert [entry.at for entry in entries] == [10.0] * 3 + [20.5] * 5
            numbers = [entry.seq for entry in entries]
            assert numbers == sorted(set(numbers))
            assert feed.newest() == numbers[-1]
            assert feed.after(numbers[1], limit=2) == entries[2:4]

    def test_a_page_has_what_is_in_sight_and_wanted_newest_first(self, tmp_path: Path) -> None:
        """As `Sight.sees` and `FeedFilter.wants` have it."""
        with self.make(tmp_path) as feed:
            feed.add(CHANGES, at=1.0)
            entries = list(reversed(feed.after(0)))
            for sight, wanted in product(SIGHTS, FILTERS):
                found = [one for one in entries if sight.sees(one.change) and wanted.wants(one.change)]
                assert list(feed.page(sight, wanted, limit=100)) == found
                paged: list[FeedEntry] = []
                while page := feed.page(sight, wanted, limit=2, before=paged[-1].seq if paged else 0):
                    paged += page
                assert paged == found

    def test_what_is_told_with_something_else_is_there_once(self, tmp_path: Path) -> None:
        """Here the something else is another entry."""
        with self.make(tmp_path) as feed:
            with feed.telling(CHANGES[:2], at=3.0):
                feed.add(CHANGES[2:3], at=3.0)
            feed.add(CHANGES[3:4], at=4.0)
            assert sorted(map(str, told(feed))) == sorted(map(str, CHANGES[:4]))

    def test_which_silos_were_told_to_be_online_is_the_newest_of_each(self, tmp_path: Path) -> None:
        """Whatever else was told of them."""
        with self.make(tmp_path) as feed:
            kinds = (Kind.SILO_ONLINE, Kind.SILO_OFFLINE, Kind.SILO_PAUSED)
            feed.add([Change(kind, silo="a") for kind in kinds], at=1.0)
            feed.add([Change(Kind.SILO_ONLINE, silo="b"), Change(Kind.SILO_ENROLLED, silo="c")], at=1.0)
            assert feed.silos_online() == {"a": False, "b": True}

    def test_the_oldest_go_when_there_are_too_many_and_no_number_comes_again(self, tmp_path: Path) -> None:
        """Also when all have gone."""
        with self.make(tmp_path) as feed:
            feed.add(CHANGES, at=1.0)
            newest = feed.newest()
            assert feed.trim(len(CHANGES)) == 0
            assert feed.trim(3) == len(CHANGES) - 3
            assert told(feed) == list(CHANGES[-3:])
            assert feed.trim(0) == 3
            feed.add(CHANGES[:1], at=2.0)
            assert [entry.seq for entry in feed.after(0)] == [newest + 1]
