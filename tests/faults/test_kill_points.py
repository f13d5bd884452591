"""Fault 1: the coordinator is killed at every commit and every effect, and each run ends as if nothing had been.

One federation lives through all of it: its coordinator dies some hundred times. Each point is met before and after (a
blob also in the middle), in the story that reaches it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace

import pytest
from tests.faults.counting import UNCLOSED, until
from tests.faults.dying import Kill, When
from tests.faults.kill_points import COORDINATOR_POINTS, Story
from tests.faults.mortal import COMES_BY_S, Place, mortal_federation
from tests.faults.record_stories import (
    coming,
    deploying,
    enrolling,
    grouping,
    peopling,
    pruning,
    pushing,
    recording,
    shredding,
    telling,
)
from tests.faults.run_stories import (
    asking,
    failing,
    keeping,
    large,
    left,
    model_lost,
    overflowing,
    paused,
    payload_lost,
    plain,
    queued,
    refused,
    slow,
    stopped,
)

from septum.client import Client, operator_access
from septum.coordinator.areas import models_area, silo_models_area
from septum.coordinator.service import run_id_of
from septum.protocol.feed import FeedEntry, Kind, change_of, submitted
from septum.protocol.run_state import Run
from septum.protocol.views import JournalView, RunStatus

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

RESUMES_S = 10.0
WATCHED = ("StageOpened train", "ModelMeasured", "RunEnded")

STORIES: Mapping[Story, Callable[[Place, str], str | None]] = {
    Story.PLAIN: plain,
    Story.LARGE: large,
    Story.KEEPING: keeping,
    Story.SLOW: slow,
    Story.PAUSED: paused,
    Story.STOPPED: stopped,
    Story.LEFT: left,
    Story.FAILING: failing,
    Story.REFUSED: refused,
    Story.QUEUED: queued,
    Story.OVERFLOWING: overflowing,
    Story.PAYLOAD_LOST: payload_lost,
    Story.MODEL_LOST: model_lost,
    Story.ENROLLING: enrolling,
    Story.PUSHING: pushing,
    Story.ASKING: asking,
    Story.PEOPLING: peopling,
    Story.GROUPING: grouping,
    Story.COMING: coming,
    Story.DEPLOYING: deploying,
    Story.RECORDING: recording,
    Story.PRUNING: pruning,
    Story.SHREDDING: shredding,
    Story.TELLING: telling,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with mortal_federation(tmp_path_factory.mktemp("kills")) as place:
        yield place


@pytest.mark.parametrize("point", COORDINATOR_POINTS)
def test_a_coordinator_that_is_killed_there_goes_on_as_if_nothing_had_been(place, point):
    dies_and_goes_on(place, point)


def dies_and_goes_on(place: Place, point: str) -> None:
    """The story that gets there, in which the coordinator is killed."""
    begun = place.fate.now()
    run = STORIES[COORDINATOR_POINTS[point]](place, point)
    until(lambda: not place.fate.outstanding, "the story comes by", COMES_BY_S)  # some of it after the run's end
    if run is not None:
        assert_it_resumed_in_time(place, run, begun)
        until(lambda: not leftovers(place, run), f"what {run} needed no longer is removed: {leftovers(place, run)}")
        assert_the_feed_is_true(place, run)
    place.persist(place.assert_honest)


def assert_the_feed_is_true(place: Place, run: str) -> None:
    """It has what the journal says of the run's status, once and in that order."""
    stored = Run(run, place.persist(lambda: place.client.plan(run)))
    changes = [submitted(stored, "", "operator"), *(change_of(stored, "", fact) for fact in place.facts(run))]
    told = place.persist(lambda: place.client.feed.page(run=run, limit=1000))
    assert [replace(entry.change, by="") for entry in reversed(told)] == [
        replace(change, by="") for change in changes if change is not None
    ]


def test_who_watches_while_the_coordinator_is_killed_misses_nothing_and_hears_nothing_twice(place):
    name = "watched"
    run = run_id_of(name)
    place.fate.arm(*(Kill(f"commit: {point}", when, run) for point in WATCHED for when in (When.BEFORE, When.AFTER)))
    assert place.submit(name, place.counting.plan(name, 4, {})) == run
    seen: list[JournalView] = []
    changes: list[FeedEntry] = []

    def watch() -> None:
        with closing(Client(operator_access(place.federation.operator_dir))) as client:
            seen.extend(client.watch(run))

    def follow() -> None:
        with closing(Client(operator_access(place.federation.operator_dir))) as client:
            for entry in client.feed.watch(after=0, run=run):
                changes.append(entry)
                if entry.change.kind is Kind.RUN_ENDED:
                    return

    watching = [threading.Thread(target=one) for one in (watch, follow)]
    for one in watching:
        one.start()
    assert place.until_ended(run) is RunStatus.FINISHED
    for one in watching:
        one.join(60)
    assert place.fate.outstanding == []
    assert [entry.seq for entry in seen] == list(range(1, len(seen) + 1))
    assert [entry.fact for entry in seen] == place.facts(run)
    assert [entry.change.kind for entry in changes] == [Kind.RUN_SUBMITTED, Kind.RUN_STARTED, Kind.RUN_ENDED]


def leftovers(place: Place, run: str) -> list[str]:
    blobs = place.federation.operator_dir / "blobs"
    kinds = "*" if place.persist(lambda: place.client.run(run)).status is RunStatus.FINISHED else "spool*"
    found = [path.name for path in (*blobs.glob(f"{kinds}{run}*"), *blobs.glob(f".*/{kinds}{run}*"))]
    return [name for name in found if name not in (models_area(run), silo_models_area(run))]


def assert_it_resumed_in_time(place: Place, run: str, begun: float) -> None:
    """From each time that the coordinator took requests again to the next commit of the run, if there is one."""
    entries = place.fate.entries(begun)
    commits = [
        one.at for one in entries if one.point.startswith("commit: ") and one.when == "done" and run in one.about
    ]
    assert commits
    for entry in entries:
        later = [at for at in commits if at > entry.at]
        assert entry.point != "ready" or not later or later[0] - entry.at < RESUMES_S
