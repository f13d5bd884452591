"""What must every RunStore do? Subclass `RunStoreContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from septum.errors import ConflictError, NotFoundError
from septum.ports.store import JournalEntry, Listed, Pending, RunFilter, RunStore, StoredRun, Transition, listed_of
from septum.protocol.codec import Scalar, dumps, from_json, loads, to_json
from septum.protocol.facts import ModelMade, ModelMeasured, RunEnded, RunResumed, SiloJoined, SiloLeft
from septum.protocol.messages import Outcome
from septum.protocol.run_state import Phase
from septum.protocol.views import JournalView, ModelView, RunView
from septum.testing.contracts.samples import (
    COMBINE,
    DISCARD,
    FACTS,
    MODEL,
    asking_run,
    busy_run,
    ended_run,
    new_run,
)


class RunStoreContract(ABC):
    """The contract of `ports.store.RunStore`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[RunStore]:
        """A new, empty store. It may keep its files in `directory`; what it needs is closed on exit."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[RunStore]:
        """The store under test."""
        with self.make(tmp_path) as store:
            yield store

    def test_a_created_run_is_there_at_version_1(self, store: RunStore) -> None:
        """The whole state comes back."""
        created = store.create(busy_run("run-a"), (), at=12.5)
        assert created == StoredRun(busy_run("run-a"), 1, 12.5)
        assert store.get("run-a") == created

    def test_the_plan_keeps_its_digest(self, store: RunStore) -> None:
        """Silos compare it."""
        store.create(new_run("run-a"), (), at=1.0)
        assert store.get("run-a").run.plan.digest == new_run("run-a").plan.digest

    def test_an_id_that_is_taken_is_a_conflict_and_changes_nothing(self, store: RunStore) -> None:
        """The older run stays."""
        store.create(new_run("run-a"), FACTS[:1], at=1.0)
        with pytest.raises(ConflictError, match="run-a"):
            store.create(busy_run("run-a"), FACTS, at=2.0)
        assert store.get("run-a") == StoredRun(new_run("run-a"), 1, 1.0)
        assert len(store.journal("run-a")) == 1

    def test_a_commit_replaces_the_state_and_raises_the_version(self, store: RunStore) -> None:
        """The time of creation stays."""
        store.create(new_run("run-a"), (), at=1.0)
        store.commit([Transition(busy_run("run-a"), 1)], at=2.0)
        assert store.get("run-a") == StoredRun(busy_run("run-a"), 2, 1.0)

    def test_a_stale_version_is_a_conflict_that_names_both(self, store: RunStore) -> None:
        """Whoever lost the race must know."""
        store.create(new_run("run-a"), (), at=1.0)
        store.commit([Transition(new_run("run-a"), 1)], at=2.0)
        with pytest.raises(ConflictError, match=r"version 2.* version 1"):
            store.commit([Transition(busy_run("run-a"), 1)], at=3.0)

    def test_a_version_from_the_future_is_a_conflict(self, store: RunStore) -> None:
        """Versions do not skip."""
        store.create(new_run("run-a"), (), at=1.0)
        with pytest.raises(ConflictError):
            store.commit([Transition(busy_run("run-a"), 2)], at=3.0)

    def test_one_stale_transition_undoes_all_of_its_commit(self, store: RunStore) -> None:
        """Neither state, nor outbox, nor journal of the others moves."""
        store.create(new_run("run-a"), (), at=1.0)
        store.create(new_run("run-b"), (), at=1.0)
        (_, (pending,)) = self._outbox(store, "run-a")
        stale = Transition(busy_run("run-b"), 7)
        with pytest.raises(ConflictError):
            store.commit([Transition(busy_run("run-a"), 2, (COMBINE,), (pending.id,), FACTS), stale], at=2.0)
        assert store.get("run-a").version == 2
        assert store.get("run-a").run == new_run("run-a")
        assert list(store.journal("run-a")) == []
        assert {stored.run.id: outbox for stored, outbox in store.unfinished()}["run-a"] == (pending,)

    def _outbox(self, store: RunStore, run_id: str) -> tuple[int, tuple[Pending, ...]]:
        version = store.get(run_id).version
        (pending,) = store.commit([Transition(new_run(run_id), version, (DISCARD,))], at=1.0)
        return version + 1, pending

    def test_a_commit_to_an_unknown_run_is_not_found_and_changes_nothing(self, store: RunStore) -> None:
        """It is as atomic as a stale one."""
        store.create(new_run("run-a"), (), at=1.0)
        with pytest.raises(NotFoundError, match="run-x"):
            store.commit([Transition(busy_run("run-a"), 1), Transition(busy_run("run-x"), 1)], at=2.0)
        assert store.get("run-a").version == 1

    def test_a_commit_returns_the_new_outbox_entries_of_each_transition(self, store: RunStore) -> None:
        """In order, with ids that are unique in the store."""
        store.create(new_run("run-a"), (), at=1.0)
        store.create(new_run("run-b"), (), at=2.0)
        in_a = Transition(busy_run("run-a"), 1, (COMBINE, DISCARD))
        in_b = Transition(busy_run("run-b"), 1, (DISCARD,))
        a, b = store.commit([in_a, in_b], at=3.0)
        assert [pending.effect for pending in a] == [COMBINE, DISCARD]
        assert [pending.effect for pending in b] == [DISCARD]
        assert len({pending.id for pending in a + b}) == 3
        assert list(store.unfinished()) == [
            (StoredRun(busy_run("run-a"), 2, 1.0), a),
            (StoredRun(busy_run("run-b"), 2, 2.0), b),
        ]

    def test_performed_effects_leave_the_outbox_for_good(self, store: RunStore) -> None:
        """And their ids are not given to others, or a repeat would remove what is not done."""
        store.create(new_run("run-a"), (), at=1.0)
        ((first, second),) = store.commit([Transition(busy_run("run-a"), 1, (COMBINE, DISCARD))], at=2.0)
        store.commit([Transition(busy_run("run-a"), 2, (), (second.id, first.id))], at=3.0)
        assert store.unfinished()[0][1] == ()
        ((third,),) = store.commit([Transition(busy_run("run-a"), 3, (DISCARD,))], at=4.0)
        assert third.id not in (first.id, second.id)
        store.commit([Transition(busy_run("run-a"), 4, (), (first.id, second.id))], at=5.0)
        assert store.unfinished()[0][1] == (third,)

    def test_a_run_cannot_perform_the_effects_of_another(self, store: RunStore) -> None:
        """Ids that are not its own are ignored."""
        store.create(new_run("run-a"), (), at=1.0)
        store.create(new_run("run-b"), (), at=2.0)
        ((of_a,),) = store.commit([Transition(busy_run("run-a"), 1, (DISCARD,))], at=3.0)
        store.commit([Transition(busy_run("run-b"), 1, (), (of_a.id,))], at=4.0)
        assert store.unfinished()[0][1] == (of_a,)

    def test_unfinished_leaves_out_ended_runs_with_nothing_to_do(self, store: RunStore) -> None:
        """An ended run with an effect still to be performed stays, and so does any that has not ended."""
        for number, name in enumerate(("done", "busy", "to-clean")):
            store.create(busy_run(name), (), at=float(number))
        (_, (pending,)) = store.commit(
            [Transition(ended_run("done"), 1), Transition(ended_run("to-clean"), 1, (DISCARD,))], at=9.0
        )
        assert [(stored.run.id, outbox) for stored, outbox in store.unfinished()] == [
            ("busy", ()),
            ("to-clean", (pending,)),
        ]

    def test_a_resumed_run_is_unfinished_again(self, store: RunStore) -> None:
        """Ended is not for ever."""
        store.create(ended_run("run-a"), (), at=1.0)
        assert list(store.unfinished()) == []
        store.commit([Transition(new_run("run-a"), 1)], at=2.0)
        assert [stored.run.id for stored, _ in store.unfinished()] == ["run-a"]

    def test_runs_are_found_by_the_models_that_they_made(self, store: RunStore) -> None:
        """The newest first; a model may be made again, by the same run and by others."""
        again = replace(MODEL, digest="blake3:" + "9" * 64)
        made, other = ModelMade(1, MODEL), ModelMade(2, again)
        for number, name in enumerate(("run-b", "run-a", "run-c")):
            store.create(new_run(name), (), at=float(number))
        store.commit([Transition(new_run("run-b"), 1, (), (), (made, other, made))], at=4.0)
        assert list(store.runs_with_model(MODEL.digest)) == ["run-b"]
        store.commit([Transition(new_run("run-b"), 2, (), (), (made,))], at=5.0)
        store.commit([Transition(new_run("run-a"), 1, (), (), (made,))], at=6.0)
        with pytest.raises(ConflictError):
            store.commit([Transition(new_run("run-c"), 7, (), (), (made,))], at=7.0)
        assert list(store.runs_with_model(MODEL.digest)) == ["run-a", "run-b"]
        assert list(store.runs_with_model(again.digest)) == ["run-b"]
        assert list(store.runs_with_model("blake3:" + "8" * 64)) == []

    def test_the_journal_counts_from_1_without_gaps(self, store: RunStore) -> None:
        """Over creation and commits, for each run by itself, with the time of each commit."""
        store.create(new_run("run-a"), FACTS[:1], at=1.0)
        store.create(new_run("run-b"), FACTS[:2], at=2.0)
        store.commit([Transition(new_run("run-a"), 1, (), (), FACTS[1:]), Transition(new_run("run-b"), 1)], at=3.0)
        store.commit([Transition(new_run("run-b"), 2, (), (), FACTS[2:])], at=4.0)
        assert list(store.journal("run-a")) == [
            JournalEntry(1, 1.0, FACTS[0]),
            JournalEntry(2, 3.0, FACTS[1]),
            JournalEntry(3, 3.0, FACTS[2]),
        ]
        assert [(entry.seq, entry.at) for entry in store.journal("run-b")] == [(1, 2.0), (2, 2.0), (3, 4.0)]

    def test_the_journal_is_read_as_json_too_and_each_fact_may_have_its_own_time(self, store: RunStore) -> None:
        """As the views of the decoded entries would be written; without times, all are of the commit."""
        run = new_run("run-a")
        store.create(run, [SiloJoined("north")], at=1.5)
        facts = (SiloJoined("süd"), SiloJoined("west"))
        store.commit([Transition(run, 1, facts=facts, times=(2.0, 2.25))], at=3.0)
        store.commit([Transition(run, 2, facts=facts)], at=4.0)
        entries = store.journal("run-a")
        assert [entry.at for entry in entries] == [1.5, 2.0, 2.25, 4.0, 4.0]
        found = store.journal_json("run-a", after=1, limit=3)
        views = [JournalView(entry.seq, entry.at, entry.fact) for entry in entries[1:4]]
        assert list(found) == [(view.seq, dumps(to_json(view))) for view in views]

    def test_the_journal_is_read_on_from_an_entry(self, store: RunStore) -> None:
        """At most `limit` entries; none after the last."""
        store.create(new_run("run-a"), [SiloJoined(f"silo-{number}") for number in range(7)], at=1.0)
        assert [entry.seq for entry in store.journal("run-a", after=2, limit=3)] == [3, 4, 5]
        assert list(store.journal("run-a", after=7)) == []

    def test_an_unknown_run_is_not_found_and_close_ids_are_named(self, store: RunStore) -> None:
        """In every method that takes an id."""
        store.create(new_run("heart-17"), (), at=1.0)
        for ask in (store.get, store.journal, lambda run_id: store.page(limit=3, before=run_id)):
            with pytest.raises(NotFoundError, match="'heart-71'; close to it: heart-17"):
                ask("heart-71")

    def test_pages_are_newest_first_and_cover_every_run_once(self, store: RunStore) -> None:
        """Also where several were created in one moment: then by id."""
        for name, at in (("b", 1.0), ("a", 1.0), ("d", 2.0), ("c", 1.0), ("e", 0.5)):
            store.create(new_run(name), (), at=at)
        assert [stored.run.id for stored in store.page(limit=10)] == ["d", "c", "b", "a", "e"]
        first = store.page(limit=2)
        second = store.page(limit=2, before=first[-1].run.id)
        third = store.page(limit=2, before=second[-1].run.id)
        assert [stored.run.id for stored in (*first, *second, *third)] == ["d", "c", "b", "a", "e"]
        assert list(store.page(limit=2, before="e")) == []

    def test_a_run_is_in_its_project_for_ever(self, store: RunStore) -> None:
        """A run of none is in the empty one; commits change nothing."""
        created = store.create(new_run("run-a"), (), at=1.0, project="sepsis")
        store.create(new_run("run-b"), (), at=1.0)
        assert created == StoredRun(new_run("run-a"), 1, 1.0, "sepsis")
        store.commit([Transition(busy_run("run-a"), 1)], at=2.0)
        assert [store.project_of(run_id) for run_id in ("run-a", "run-b")] == ["sepsis", ""]
        assert store.get("run-a").project == "sepsis"
        assert [stored.project for stored, _ in store.unfinished()] == ["sepsis", ""]
        with pytest.raises(NotFoundError, match="'run-c'; close to it"):
            store.project_of("run-c")

    def test_pages_of_wanted_runs_cover_each_once(self, store: RunStore) -> None:
        """Whatever is wanted, and wherever a page begins: also after a run that is not wanted."""
        for number, name in enumerate("abcdefgh"):
            run = ended_run(name) if name in "bdfh" else new_run(name)
            store.create(run, (), at=float(number), project=("", "p", "q")[number % 3])

        def ids(wanted: RunFilter, *, limit: int = 9, before: str = "") -> str:
            return "".join(one.run.id for one in store.page(limit=limit, before=before, wanted=wanted))

        app = new_run("a").plan.app
        in_p = RunFilter(frozenset({"p"}))
        assert ids(in_p) == "heb"
        assert ids(RunFilter(frozenset({"p", ""}))) == "hgedba"
        assert ids(RunFilter(frozenset())) == ""
        assert ids(in_p, limit=2) == "he"
        assert ids(in_p, limit=2, before="e") == "b"
        assert ids(in_p, before="f") == "eb"
        finished = RunFilter(ended=frozenset({Outcome.FINISHED}))
        assert ids(finished) == "hfdb"
        assert ids(replace(finished, these=frozenset("ag"))) == "hgfdba"
        assert ids(RunFilter(ended=frozenset(), these=frozenset("g"))) == "g"
        assert ids(RunFilter(ended=frozenset())) == ""
        assert ids(RunFilter(frozenset({"p"}), ended=finished.ended)) == "hb"
        assert ids(RunFilter(app=app.name, version=app.version)) == "hgfedcba"
        assert ids(RunFilter(app=app.name, version="0")) == ids(RunFilter(app="another")) == ""

    def test_runs_are_found_by_name_submitter_time_and_text(self, store: RunStore) -> None:
        """Each by itself; a text is looked for as it stands, whatever it means to a database."""
        for number, (name, who) in enumerate((("a-1", "ada"), ("a-2", "grace"), ("50%_off", "ada"))):
            created = store.create(new_run(name), (), at=float(number), submitter=who)
            assert created.submitter == store.get(name).submitter == who

        def ids(wanted: RunFilter) -> list[str]:
            return [one.run.id for one in store.page(limit=9, wanted=wanted)]

        assert ids(RunFilter(submitter="ada")) == ["50%_off", "a-1"]
        assert ids(RunFilter(since=1.0)) == ["50%_off", "a-2"]
        assert ids(RunFilter(text="ADA")) == ["50%_off", "a-1"]
        assert ids(RunFilter(text="%_")) == ["50%_off"]
        assert ids(RunFilter(text="'; --")) == []
        assert ids(RunFilter(text="a-")) == ["a-2", "a-1"]
        assert ids(RunFilter(name=new_run("x").plan.name, submitter="grace")) == ["a-2"]
        assert ids(RunFilter(name="heart")) == []

    def test_runs_that_ask_are_told_from_others_by_how_they_look_once_they_have_ended(self, store: RunStore) -> None:
        """Whatever their hyper-parameters and names are called. Of those at work the store knows nothing."""
        likely: dict[str, Scalar] = {"app": "}", "asks": True, "attempt": 1}
        trains = replace(new_run("c").plan, name='},"asks":true,"attempt":', hyper=likely)
        runs = (asking_run("a"), asking_run("b"), replace(new_run("c"), plan=trains))
        for number, run in enumerate(runs):
            over = run if run.id == "b" else replace(run, phase=Phase.ENDED, outcome=Outcome.FINISHED, deadline=None)
            store.create(over, (), at=float(number))

        def ids(wanted: RunFilter) -> str:
            return "".join(one.run.id for one in store.page(limit=9, wanted=wanted))

        assert ids(RunFilter(asking=frozenset())) == "a"
        assert ids(RunFilter(asking=frozenset("b"))) == "ba"
        assert ids(RunFilter(asking=frozenset("b"), ended=frozenset({Outcome.FINISHED}))) == "a"

    def test_lists_show_ended_runs_as_they_are_and_say_that_others_are_at_work(self, store: RunStore) -> None:
        """From the commit on with which they end, until they go on."""
        store.create(busy_run("run-a"), (), at=1.0, project="p", submitter="ada")
        store.create(ended_run("run-b"), (), at=2.0)
        shown: list[Listed] = []
        for version, run in enumerate((ended_run("run-a"), replace(ended_run("run-a"), model=MODEL)), start=1):
            store.commit([Transition(run, version)], at=3.0)
            ended, shown = listed_of(StoredRun(run, version + 1, 1.0, "p", "ada")), list(store.listed(limit=9))
            assert shown == [listed_of(store.get("run-b")), ended]
        assert from_json(RunView, loads(shown[1].view)).submitter == "ada"
        assert from_json(ModelView, loads(shown[1].model)).digest == MODEL.digest
        assert [one.run_id for one in store.listed(limit=1, before="run-b")] == ["run-a"]
        store.commit([Transition(busy_run("run-a"), 3)], at=4.0)
        assert store.listed(limit=9)[1] == Listed("run-a")

    def test_a_run_says_when_it_ended_last_and_nothing_while_it_goes_on(self, store: RunStore) -> None:
        """Also in lists, from the commit on with which it ends."""
        store.create(busy_run("run-a"), (), at=1.0)
        end = RunEnded(Outcome.FINISHED, "")
        seen: list[tuple[float | None, float | None]] = []
        for version, (run, facts, times) in enumerate(
            (
                (busy_run("run-a"), (SiloJoined("a"),), ()),
                (ended_run("run-a"), (end, SiloLeft("a", "it is over")), (3.5, 3.75)),
                (busy_run("run-a"), (RunResumed(),), ()),
                (ended_run("run-a"), (end,), ()),
            ),
            start=1,
        ):
            store.commit([Transition(run, version, facts=facts, times=times)], at=4.0 + version)
            (one,) = store.listed(limit=9)
            seen.append((store.get("run-a").ended_at, from_json(RunView, loads(one.view)).ended_at if one.view else 0))
        assert seen == [(None, 0), (3.5, 3.5), (None, 0), (8.0, 8.0)]

    def test_facts_of_some_kinds_are_read_alone(self, store: RunStore) -> None:
        """What is written in a fact does not make it one of another kind."""
        forged = SiloJoined('"kind":"model_measured"')
        store.create(new_run("run-a"), [*FACTS, forged, *FACTS], at=1.0)
        found = store.journal("run-a", kinds=(ModelMeasured,))
        assert [(entry.seq, entry.fact) for entry in found] == [(3, FACTS[2]), (7, FACTS[2])]
        both = store.journal("run-a", after=1, limit=3, kinds=(ModelMeasured, SiloJoined))
        assert [entry.seq for entry in both] == [3, 4, 5]
        assert list(store.journal("run-a", kinds=(RunResumed,))) == []

    def test_a_run_is_found_by_how_it_ended_from_then_on(self, store: RunStore) -> None:
        """Until it goes on."""
        ended = RunFilter(ended=frozenset({Outcome.FINISHED}))
        store.create(new_run("run-a"), (), at=1.0)
        found = []
        for version, run in enumerate((busy_run("run-a"), ended_run("run-a"), busy_run("run-a")), start=1):
            store.commit([Transition(run, version)], at=2.0)
            found.append(len(store.page(limit=9, wanted=ended)))
        assert found == [0, 1, 0]

    def test_of_many_threads_with_one_version_exactly_one_wins(self, store: RunStore) -> None:
        """And the version counts each success."""
        store.create(new_run("run-a"), (), at=1.0)

        def attempt(number: int) -> bool:
            fact = SiloJoined(f"silo-{number}")
            try:
                store.commit([Transition(replace(new_run("run-a"), round=number), 1, (), (), (fact,))], at=2.0)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, range(8)))
        assert sum(won) == 1
        assert store.get("run-a").run.round == won.index(True)
        assert [entry.fact for entry in store.journal("run-a")] == [SiloJoined(f"silo-{won.index(True)}")]

    def test_readers_see_whole_commits_only(self, store: RunStore) -> None:
        """A state never comes with the outbox of another version."""
        store.create(replace(new_run("run-a"), round=0), (), at=1.0)

        def write() -> None:
            done: tuple[int, ...] = ()
            for version in range(1, 101):
                effects = (DISCARD,) if version % 2 else ()
                run = replace(new_run("run-a"), round=version)
                (pending,) = store.commit([Transition(run, version, effects, done, (RunResumed(),))], at=2.0)
                done = tuple(entry.id for entry in pending)

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not writing.done():
                ((stored, outbox),) = store.unfinished()
                assert stored.version == stored.run.round + 1
                assert len(outbox) == stored.run.round % 2
            writing.result()
        assert len(store.journal("run-a")) == 100
