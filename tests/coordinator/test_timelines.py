"""A page of a timeline is what the whole one has of these rounds, wherever the journal has to be cut for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.coordinator.support import plan_of

from septum.coordinator import timelines
from septum.coordinator.timelines import rounds_of
from septum.errors import NotFoundError
from septum.ports.store import Transition
from septum.protocol import facts
from septum.protocol.messages import Stage
from septum.protocol.run import create
from septum.protocol.timeline import timeline
from septum.protocol.views import JournalView
from septum.testing.fakes import MemoryRunStore


class Counting(MemoryRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def journal(self, run_id, *, after=0, limit=1000):
        found = super().journal(run_id, after=after, limit=limit)
        self.read += len(found)
        return found


def stored(rounds, back=()):
    """A run's journal: of each round an opening and some reports; in `back` the model is lost, and made once more."""
    store, (run, _) = Counting(), create("r-1", plan_of(rounds=5000), 0.0)
    store.create(run, [facts.RunCreated("heart", "d"), *(facts.SiloJoined(silo) for silo in "abc")], at=0.0)
    told: list[facts.Fact] = []
    for round_ in range(rounds + 1):
        stage = Stage.TRAIN if round_ else Stage.PREPARE
        for attempt in (1, 2) if round_ in back else (1,):
            told.append(facts.StageOpened(stage, round_, attempt, ("a", "b")))
            told += [facts.SiloReported(silo, stage, round_, attempt) for silo in "ab"]
            told.append(facts.StageClosed(stage, round_, attempt, ("a", "b"), ()))
            if attempt == 1 and round_ in back:
                told.append(facts.StageOpened(Stage.TRAIN, round_ + 1, 1, ("a", "b")))
                told.append(facts.ModelLost(round_, "gone"))
    times = tuple(float(at) for at in range(1, len(told) + 1))
    store.commit([Transition(run, 1, facts=tuple(told), times=times)], at=0.0)
    entries = store.journal("r-1", limit=10**6)
    store.read = 0
    return store, [JournalView(entry.seq, entry.at, entry.fact) for entry in entries]


def page(store, after_round, limit):
    return rounds_of(store, "r-1", after_round=after_round, limit=limit, now=1e6, masked=False)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 30),
    st.sets(st.integers(1, 29), max_size=4),
    st.integers(-1, 31),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_any_page_is_what_the_whole_timeline_has_of_these_rounds(rounds, back, after_round, limit, size):
    store, entries = stored(rounds, {one for one in back if one < rounds})
    before, timelines.PAGE = timelines.PAGE, size
    try:
        found = page(store, after_round, limit)
    finally:
        timelines.PAGE = before
    whole = timeline(entries, now=1e6, masked=False)
    assert found == tuple(line for line in whole if after_round < line.round <= after_round + limit)


def test_of_a_long_journal_little_is_read_for_a_page():
    store, entries = stored(4000)
    assert [line.round for line in page(store, 3000, 2)] == [3001, 3002]
    assert store.read < len(entries) / 3
    store.read = 0
    assert page(store, 5000, 2) == ()


def test_a_run_that_is_not_there_is_not_found():
    with pytest.raises(NotFoundError):
        page(MemoryRunStore(), -1, 5)
