"""Does the history checker find what must not be? It accepts a good history, and rejects each planted violation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.faults.counting import APP, counting_in
from tests.faults.history import Commit, History, Owner, RunRecord, Word, violations

from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.messages import Blob, Outcome, Stage
from septum.protocol.views import JournalView
from septum.simulate.run import read_silos, simulate

OTHER = Blob(f"blake3:{'0' * 64}", 3)
FIRST = (Stage.TRAIN, 1, 1)
Change = Callable[[History], History]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A simulated run of three rounds as three silos and two owners would tell it."""
    counting = counting_in(tmp_path_factory.mktemp("history"))
    plan = counting.plan("good", 3, {"trail": ""}, quorum=2)
    said: list[Fact] = []
    rows = read_silos(APP, APP.app.resolve(plan.hyper), counting.records)
    digest = simulate(APP, plan, rows, said.append).model_digest
    journal = journal_of(said)
    words = [Word(e.at, s, "r", place_of(e.fact)) for e in journal if opens(e.fact) for s in plan.silos]
    words += [
        Word(e.at, e.fact.silo, "r", place_of(e.fact), "train")
        for e in journal
        if isinstance(e.fact, facts.SiloReported)
    ]
    commits = [Commit(float(n), 1 + n // 5, "r", n, done=n != 4) for n in range(1, 9)]
    owners = [Owner(0.0, 1), Owner(4.5, 2)]
    return History([RunRecord("r", plan, journal, digest)], words, commits, owners)


def journal_of(said: Sequence[Fact]) -> list[JournalView]:
    return [JournalView(number, 100.0 + number, fact) for number, fact in enumerate(said, start=1)]


def opens(fact: Fact) -> bool:
    return isinstance(fact, facts.StageOpened)


def place_of(fact: Fact) -> tuple[Stage, int, int]:
    return fact.stage, fact.round, fact.attempt


def test_a_good_history_is_accepted(good):
    assert violations(good) == []


def test_a_silo_that_missed_a_deadline_is_no_violation(good):
    def late(fact: Fact) -> Sequence[Fact]:
        match fact:
            case facts.SiloReported(silo="south") if place_of(fact) == FIRST:
                return [facts.SiloLeft("south", "no report within 2 s")]
            case facts.StageClosed() if place_of(fact) == FIRST:
                return [replace(fact, reported=("east", "north"), missing=("south",))]
        return [fact]

    history = rewritten(late)(good)
    assert [what for what in violations(history) if "south" in what and "lost" in what] != []  # answered before that
    words = [w for w in history.words if not (w.silo == "south" and w.place == FIRST and w.answer)]
    closed = next(e.at for e in history.runs[0].journal if isinstance(e.fact, facts.StageClosed) and at_first(e.fact))
    answered_late = Word(closed + 1, "south", "r", FIRST, "train")
    assert violations(replace(history, words=[*words, answered_late])) == []


def test_an_answer_that_says_wait_acknowledges_nothing(good):
    def unheard(fact: Fact) -> Sequence[Fact]:
        return [] if isinstance(fact, facts.RunEnded) else [fact]

    history = rewritten(unheard)(good)
    waiting = Word(999.0, "south", "r", (Stage.EVALUATE, 3, 1), "wait")
    assert violations(replace(history, words=[*history.words, waiting])) == ["r (good): it has not ended"]


# --- planted violations --------------------------------------------------------------------------------------------


def rewritten(change: Callable[[Fact], Sequence[Fact]]) -> Change:
    def apply(history: History) -> History:
        (run,) = history.runs
        said = [(entry.at, fact) for entry in run.journal for fact in change(entry.fact)]
        journal = [JournalView(number, at, fact) for number, (at, fact) in enumerate(said, start=1)]
        return replace(history, runs=[replace(run, journal=journal)])

    return apply


def at_first(fact: Fact) -> bool:
    return hasattr(fact, "attempt") and place_of(fact) == FIRST


def twice(fact: Fact) -> Sequence[Fact]:
    return [fact, fact] if isinstance(fact, facts.ModelMade) and fact.round == 2 else [fact]


def skipped(fact: Fact) -> Sequence[Fact]:
    return [] if isinstance(fact, facts.ModelMade) and fact.round == 2 else [fact]


def unclosed(fact: Fact) -> Sequence[Fact]:
    return [] if isinstance(fact, facts.StageClosed) and at_first(fact) else [fact]


def dropped(fact: Fact) -> Sequence[Fact]:
    if isinstance(fact, facts.StageClosed) and at_first(fact):
        return [replace(fact, reported=("east", "north"), missing=("south",))]
    return [fact]


def forged(fact: Fact) -> Sequence[Fact]:
    return [] if isinstance(fact, facts.SiloReported) and fact.silo == "south" and at_first(fact) else [fact]


def forgotten(fact: Fact) -> Sequence[Fact]:
    if isinstance(fact, facts.StageClosed) and at_first(fact):
        return [replace(fact, reported=("east", "north"))]
    return [] if isinstance(fact, facts.SiloReported) and fact.silo == "south" and at_first(fact) else [fact]


def too_few(fact: Fact) -> Sequence[Fact]:
    if isinstance(fact, facts.StageClosed) and at_first(fact):
        return [replace(fact, reported=("east",), missing=("north", "south"))]
    keep = not (isinstance(fact, facts.SiloReported) and fact.silo != "east" and at_first(fact))
    return [fact] if keep else []


def early(fact: Fact) -> Sequence[Fact]:
    return [facts.RunEnded(Outcome.FINISHED, ""), fact] if isinstance(fact, facts.StageOpened) else [fact]


def reopened(fact: Fact) -> Sequence[Fact]:
    return [fact, fact] if isinstance(fact, facts.StageOpened) else [fact]


def with_gap(history: History) -> History:
    (run,) = history.runs
    return replace(history, runs=[replace(run, journal=run.journal[:3] + run.journal[4:])])


def with_words(*words: Word) -> Change:
    return lambda history: replace(history, words=[*history.words, *words])


def with_commits(*commits: Commit) -> Change:
    return lambda history: replace(history, commits=[*history.commits, *commits])


def ended_elsewhere(history: History) -> History:
    return replace(history, runs=[replace(history.runs[0], undisturbed=OTHER.digest)])


VIOLATIONS: list[tuple[Change, str]] = [
    (rewritten(twice), "round 2 made a model after round 2"),
    (rewritten(skipped), "was opened when the newest model was that of round 1"),
    (rewritten(unclosed), "outside its attempt|without an attempt that was closed"),
    (rewritten(dropped), "south.*do not count"),
    (rewritten(forged), "south.*or the other way round"),
    (rewritten(forgotten), "reported and missing are not the cohort"),
    (rewritten(too_few), "was closed with 1 reports, 2 are needed"),
    (rewritten(early), "after the end"),
    (rewritten(reopened), "was opened twice"),
    (with_gap, "the journal has gaps"),
    (with_words(Word(100.0, "south", "r", FIRST)), "was told .* before that was committed"),
    (with_words(Word(999.0, "south", "r", (Stage.TRAIN, 9, 1))), "was told .* before that was committed"),
    (with_words(Word(100.0, "south", "r", FIRST, "train")), "acknowledged .train., and is lost"),
    (lambda history: replace(history, is_whole=lambda *_: False), "is not there as it was made"),
    (lambda history: replace(history, follows=lambda *_: False), "is not what east, north, south made"),
    (ended_elsewhere, "it ended at"),
    (lambda history: replace(history, owners=[Owner(0.0, 2), Owner(4.5, 1)]), "epochs do not go up"),
    (with_commits(Commit(5.5, 1, "r", 9, done=True)), "committed after that of epoch 2 had begun"),
    (with_commits(Commit(8.5, 2, "r", 8, done=True)), "version 8 was committed twice"),
    (with_commits(Commit(8.5, 2, "r", 11, done=True)), "nobody made what lies between"),
]


@pytest.mark.parametrize(("change", "what"), VIOLATIONS, ids=[what for _, what in VIOLATIONS])
def test_a_violation_is_found(good, change, what):
    found = "\n".join(violations(change(good)))

    assert re.search(what, found), found or "nothing was found"  # one violation may have several consequences
