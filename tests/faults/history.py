"""Is what happened to some runs what septum promises, whatever was killed meanwhile? A pure check of journals and logs.

The promises are those of docs/decisions 0002 and 0003:

* each round is aggregated once, from reports that were accepted in the attempt that was closed, each of them;
* an answer is never ahead of the disk: what a silo is told follows from what was committed before;
* an acknowledged report is not lost: one that was answered, with anything but Wait, is in the journal, or the attempt
  was over for this silo by then (it had missed a deadline, had failed or left, or the run had ended);
* the chain of models is unbroken: rounds without a gap, each model whole, made from the one before by these reports;
* no two owners: commits of an owner end where the next one's begin, and each run's versions go up one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.messages import Blob, Outcome, Stage
from septum.protocol.plan import Plan
from septum.protocol.views import JournalView

SAME_CLOCK_S = 0.005  # the journal's time is taken before its commit; a silo's log has milliseconds
Place = tuple[Stage, int, int]  # stage, round, attempt


@dataclass(frozen=True, slots=True)
class Word:
    """A line of a silo's log: it was told to do work, or its report was answered, by `answer`. `at`: Unix time."""

    at: float
    silo: str
    run: str
    place: Place
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """One run's part of a commit. `version` is the one that it follows; `done`: it returned. `at`: monotonic clock."""

    at: float
    epoch: int
    run: str
    version: int
    done: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """An opening of the data directory. `at`: monotonic clock."""

    at: float
    epoch: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the coordinator tells it at the end. `undisturbed`: where it must end if every silo always reports."""

    id: str
    plan: Plan
    journal: Sequence[JournalView]
    undisturbed: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """All that is known.

    is_whole  (run's id, model): whether the model's file is there, with its bytes
    follows   (run, model, next, round, silos): whether these silos' reports make the next model out of this one
    """

    runs: Sequence[RunRecord]
    words: Sequence[Word] = ()
    commits: Sequence[Commit] = ()
    owners: Sequence[Owner] = ()
    is_whole: Callable[[str, Blob], bool] = field(default=lambda *_: True)
    follows: Callable[[RunRecord, Blob, Blob, int, Sequence[str]], bool] = field(default=lambda *_: True)


def violations(history: History) -> list[str]:
    """What was promised and not kept, in words."""
    found: list[str] = []
    for run in history.runs:
        said = [*_journal(run), *_chain(run, history), *_words(run, [w for w in history.words if w.run == run.id])]
        found += [f"{run.id} ({run.plan.name}): {what}" for what in said]
    return [*found, *_owners(history)]


# --- one run's journal ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Attempt:
    place: Place
    cohort: frozenset[str]
    reported: set[str] = field(default_factory=set)
    closed: bool = False


@dataclass(slots=True)
class _Course:
    """How a run stands after the facts so far. `newest`: the round of its newest model, -1 before there is one."""

    plan: Plan
    attempt: _Attempt | None = None
    tried: dict[tuple[Stage, int], int] = field(default_factory=dict)
    newest: int = -1
    ended: bool = False


def _journal(run: RunRecord) -> Iterator[str]:
    """Whether each fact may follow those before it."""
    course = _Course(run.plan)
    if [entry.seq for entry in run.journal] != list(range(1, len(run.journal) + 1)):
        yield "the journal has gaps"
    for entry in run.journal:
        if course.ended and not isinstance(entry.fact, facts.RunResumed):
            yield f"{entry.fact} after the end"
        yield from _next(course, entry.fact)
    if not course.ended:
        yield "it has not ended"


def _next(course: _Course, fact: Fact) -> Iterator[str]:
    match fact:
        case facts.StageOpened():
            yield from _opened(course, fact)
        case facts.SiloReported() | facts.SiloFailed() | facts.StageClosed() | facts.AttemptFailed():
            attempt = course.attempt
            if attempt is None or _place(fact) != attempt.place or attempt.closed:
                yield f"{fact} outside its attempt"
            else:
                yield from _in_attempt(course.plan, attempt, fact)
        case facts.PayloadsLost() | facts.CombineRefused() if course.attempt is not None:
            course.attempt.closed = False
            if isinstance(fact, facts.PayloadsLost):
                course.attempt.reported -= set(fact.silos)
        case facts.ModelMade() | facts.ModelLost():
            yield from _model(course, fact)
        case facts.RunEnded():
            course.ended, course.attempt = True, None
            if fact.outcome is Outcome.FINISHED and course.newest != course.plan.rounds:
                yield f"finished with the model of round {course.newest} of {course.plan.rounds}"
        case facts.RunResumed():
            course.ended = False
        case _:
            pass


def _opened(course: _Course, fact: facts.StageOpened) -> Iterator[str]:
    place, newest = _place(fact), course.newest
    if course.attempt is not None and not course.attempt.closed:
        yield f"{place} was opened, and {course.attempt.place} not closed"
    wanted = (Stage.PREPARE, 0) if newest < 0 else (Stage.TRAIN, newest + 1)
    if place[:2] not in (wanted, (Stage.EVALUATE, newest)):
        yield f"{place} was opened when the newest model was that of round {newest}"
    if place[2] <= course.tried.get(place[:2], 0):
        yield f"{place} was opened twice"
    course.tried[place[:2]] = place[2]
    course.attempt = _Attempt(place, frozenset(fact.cohort))


def _model(course: _Course, fact: facts.ModelMade | facts.ModelLost) -> Iterator[str]:
    attempt, newest = course.attempt, course.newest
    course.attempt = None
    if isinstance(fact, facts.ModelLost):
        if fact.round != newest:
            yield f"the model of round {fact.round} was lost when the newest was that of round {newest}"
        course.newest = newest - 1
        return
    if fact.round != newest + 1:
        yield f"round {fact.round} made a model after round {newest}"
    if attempt is None or not attempt.closed or attempt.place[1] != fact.round:
        yield f"round {fact.round} was aggregated without an attempt that was closed for it"
    course.newest = fact.round


def _in_attempt(plan: Plan, attempt: _Attempt, fact: Fact) -> Iterator[str]:
    match fact:
        case facts.SiloReported(silo=silo):
            if silo not in attempt.cohort or silo in attempt.reported:
                yield f"{silo} reported {attempt.place} and was not awaited"
            attempt.reported.add(silo)
        case facts.StageClosed() | facts.AttemptFailed():
            if set(fact.reported) != attempt.reported:
                lost = sorted(attempt.reported ^ set(fact.reported))
                yield f"{type(fact).__name__} {attempt.place}: {lost} reported and do not count, or the other way round"
            if set(fact.reported) & set(fact.missing) or {*fact.reported, *fact.missing} != attempt.cohort:
                yield f"{type(fact).__name__} {attempt.place}: reported and missing are not the cohort"
            enough = 1 if fact.stage is Stage.EVALUATE else plan.quorum
            if isinstance(fact, facts.StageClosed) and len(fact.reported) < enough:
                yield f"{attempt.place} was closed with {len(fact.reported)} reports, {enough} are needed"
            attempt.closed = True
        case _:
            pass


def _place(fact: Fact) -> Place:
    return fact.stage, fact.round, fact.attempt  # type: ignore[union-attr]


# --- models --------------------------------------------------------------------------------------------------------


def _chain(run: RunRecord, history: History) -> Iterator[str]:
    models: dict[int, Blob] = {}
    reported: tuple[str, ...] = ()
    complete = True
    for entry in run.journal:
        match entry.fact:
            case facts.StageClosed() as closed:
                reported = closed.reported
                complete = complete and not closed.missing
            case facts.ModelMade(round_, model):
                if not history.is_whole(run.id, model):
                    yield f"the model of round {round_} is not there as it was made"
                elif round_ - 1 in models and not history.follows(run, models[round_ - 1], model, round_, reported):
                    yield f"the model of round {round_} is not what {', '.join(reported)} made of the one before"
                models[round_] = model
            case facts.ModelLost(round_):
                models.pop(round_, None)
            case _:
                pass
    finished = any(isinstance(entry.fact, facts.RunEnded) for entry in run.journal[-1:])
    if finished and complete and run.undisturbed and run.plan.rounds in models:
        digest = models[run.plan.rounds].digest
        if digest != run.undisturbed:
            yield f"it ended at {digest}, an undisturbed run at {run.undisturbed}"


# --- what silos were told ------------------------------------------------------------------------------------------


def _words(run: RunRecord, words: Iterable[Word]) -> Iterator[str]:
    opened = _first_times(run, lambda fact: [_place(fact)] if isinstance(fact, facts.StageOpened) else [])
    done = _first_times(run, _settles)
    for word in words:
        at = opened.get(word.place)
        if at is None or at > word.at + SAME_CLOCK_S:
            yield f"{word.silo} was told {word.place} before that was committed"
        if word.answer in ("", "wait"):
            continue
        settled = [done[key] for key in ((word.silo, word.place), ("", word.place), ("", None)) if key in done]
        if not any(at <= word.at + SAME_CLOCK_S for at in settled):
            yield f"the report of {word.silo} for {word.place} was acknowledged ({word.answer}), and is lost"


def _settles(fact: Fact) -> list[tuple[str, Place | None]]:
    """What a fact settles: one silo's part in an attempt, a whole attempt, or everything."""
    match fact:
        case facts.SiloReported() | facts.SiloFailed():
            return [(fact.silo, _place(fact))]
        case facts.StageClosed() | facts.AttemptFailed():
            return [("", _place(fact))]
        case facts.RunEnded():
            return [("", None)]
    return []


def _first_times(run: RunRecord, keys: Callable[[Fact], Sequence[object]]) -> Mapping[object, float]:
    found: dict[object, float] = {}
    for entry in run.journal:
        for key in keys(entry.fact):
            found.setdefault(key, entry.at)
    return found


# --- owners --------------------------------------------------------------------------------------------------------


def _owners(history: History) -> Iterator[str]:
    owners = sorted(history.owners, key=lambda owner: owner.at)
    if [owner.epoch for owner in owners] != sorted({owner.epoch for owner in owners}):
        yield f"epochs do not go up: {[owner.epoch for owner in owners]}"
    for owner, following in pairwise(owners):
        late = [one for one in history.commits if one.epoch == owner.epoch and one.at > following.at]
        if late:
            yield f"the owner of epoch {owner.epoch} committed after that of epoch {following.epoch} had begun"
    for run in sorted({commit.run for commit in history.commits}):
        yield from _versions(run, sorted((c for c in history.commits if c.run == run), key=lambda c: c.at))


def _versions(run: str, commits: Sequence[Commit]) -> Iterator[str]:
    """Each version once. One that was begun and not seen to end may have been made by an owner that died."""
    begun = {commit.version for commit in commits}
    newest = 0
    for commit in commits:
        if not commit.done:
            continue
        if commit.version <= newest:
            yield f"{run}: version {commit.version} was committed twice"
        elif set(range(newest + 1, commit.version)) - begun and newest:
            yield f"{run}: version {commit.version} follows {newest}, and nobody made what lies between"
        newest = max(newest, commit.version)
