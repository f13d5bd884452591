"""Laws of the silo machine over thousands of histories: lost answers, restarts, new attempts, dying workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.messages import End, Evaluate, Instruction, Outcome, Prepare, Report, Stage, Train, Wait, blob_of
from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import (
    Consented,
    Do,
    Event,
    Finish,
    Instructed,
    Reconnected,
    Send,
    SiloRun,
    Worked,
    WorkFailed,
    step,
)

pytestmark = pytest.mark.laws

ROUNDS = 4
PLAN = Plan("p", AppRef("a", "1", "sha256:0"), {}, ("north", "south"), rounds=ROUNDS)
MODELS = [blob_of(f"model {n}".encode()) for n in range(ROUNDS + 1)]

# What befalls the silo at each turn. The coordinator's stage goes on by `next`, its attempt by `attempt`.
turns = st.lists(st.sampled_from(["same", "next", "attempt", "wait", "broken", "restart"]), max_size=40)
# With a coordinator that now and then is restored from a backup.
restored = st.lists(st.sampled_from(["same", "next", "next", "attempt", "broken", "restart", "back 1", "back 3"]))
outcomes = st.lists(st.sampled_from(["done", "done", "done", "raised", "died"]), min_size=60, max_size=60)


class History:
    """Plays turns against the machine as its driver would, and keeps count."""

    def __init__(self, outcomes: list[str], twice: bool = False, keeps_state: bool = True) -> None:
        self.keeps_state = keeps_state
        self.begun: list[Do] = []
        self.said: object = None
        self.asked: Instruction | None = None
        self.state = SiloRun("r1", "north", PLAN)
        self.outcomes = iter(outcomes)
        self.twice = twice
        self.done: Counter[tuple[Stage, int, bool]] = Counter()
        self.reports: list[tuple[Stage, int, int]] = []
        self.carried: list[int] = [0]
        self.ended = False
        self.feed(Consented())

    def feed(self, event: Event | None) -> None:
        """Step, and do what is asked, until something is said to the coordinator."""
        while event is not None:
            before = self.state
            self.state, effects = step(self.state, event)
            if self.twice and isinstance(event, Instructed) and self.state.working:
                again = step(self.state, event)  # delivered twice, while it is being done
                assert again == (self.state, ())
            if self.state.carried != before.carried:
                self.carried.append(self.state.carried)
            lasting = [effect for effect in effects if isinstance(effect, Do | Send | Finish)]
            assert len(lasting) == (0 if before.phase is self.state.phase and self.ended else 1)
            event = self._perform(lasting[0])

    def _perform(self, effect: object) -> Event | None:
        if isinstance(effect, Finish):
            self.ended = True
        if isinstance(effect, Send):
            self.said = effect.message
        if isinstance(effect, Send) and isinstance(effect.message, Report):
            message = effect.message
            self.reports.append((message.stage, message.round, message.attempt))
        if not isinstance(effect, Do):
            return None
        job = effect.job
        self.begun.append(effect)
        match next(self.outcomes):
            case "done":
                self.done[job.stage, job.round, job.initial] += 1
                has_state = self.keeps_state and job.stage is Stage.TRAIN
                return Worked(job, blob_of(job.name.encode()), 1, {}, has_state=has_state)
            case "raised":
                return WorkFailed(job, "raised")
            case _:
                return WorkFailed(job, "died", worker_gone=True)


def play(
    turns: list[str],
    outcomes: list[str],
    on_turn: Callable[[History], None],
    twice: bool = False,
    keeps_state: bool = True,
) -> History:
    history = History(outcomes, twice, keeps_state)
    place, attempt = 0, 1
    for turn in turns:
        match turn:
            case "next" if place <= ROUNDS:
                place, attempt = place + 1, 1
            case "attempt":
                attempt += 1
            case "back 1" | "back 3":
                place, attempt = max(0, place - int(turn[-1])), 1
                history.feed(Reconnected())
            case "broken":
                history.feed(Reconnected())
            case "restart":
                history.state = from_json(SiloRun, loads(dumps(to_json(history.state))))
                history.feed(Consented())
            case _:
                pass
        history.asked = Wait() if turn == "wait" else instruction(place, attempt)
        history.feed(Instructed(history.asked))
        on_turn(history)
    history.feed(Instructed(End(Outcome.FINISHED)))
    return history


def instruction(place: int, attempt: int) -> Instruction:
    if place == 0:
        return Prepare(attempt, initial=False)
    if place > ROUNDS:
        return Evaluate(ROUNDS, attempt, MODELS[ROUNDS])
    return Train(place, attempt, MODELS[place - 1])


@given(turns, outcomes)
def test_no_work_is_done_twice_however_often_it_is_asked_for(turns: list[str], outcomes: list[str]) -> None:
    history = play(turns, outcomes, lambda _: None)
    assert all(count == 1 for count in history.done.values())


@given(turns, outcomes)
def test_delivering_each_instruction_twice_changes_nothing(turns: list[str], outcomes: list[str]) -> None:
    once, twice = (play(turns, outcomes, lambda _: None, twice=flag) for flag in (False, True))
    assert once.state == twice.state
    assert once.reports == twice.reports


@given(turns, outcomes)
def test_the_apps_state_is_carried_on_once_a_round_and_in_order(turns: list[str], outcomes: list[str]) -> None:
    history = play(turns, outcomes, lambda _: None)
    assert history.carried == sorted(set(history.carried))
    trained = {round_ for stage, round_, _ in history.done if stage is Stage.TRAIN}
    assert set(history.carried) <= trained | {0}


@given(turns, outcomes)
def test_no_state_is_carried_on_before_a_later_round_is_asked_for(turns: list[str], outcomes: list[str]) -> None:
    def check(history: History) -> None:
        job = history.state.job
        if job is not None and job.stage is not Stage.EVALUATE:
            assert history.state.carried < max(1, job.round)

    play(turns, outcomes, check)


@given(turns, outcomes)
def test_a_report_bears_the_attempt_that_asked_for_it(turns: list[str], outcomes: list[str]) -> None:
    def check(history: History) -> None:
        held, job = history.state.held, history.state.job
        if held is not None and history.reports:
            assert job is not None
            assert history.reports[-1] == (job.stage, job.round, job.attempt) or not held.job.is_same_work(job)

    play(turns, outcomes, check)


@given(turns, outcomes)
def test_a_stored_state_reads_back_as_it_was(turns: list[str], outcomes: list[str]) -> None:
    def check(history: History) -> None:
        assert from_json(SiloRun, loads(dumps(to_json(history.state)))) == history.state

    play(turns, outcomes, check)


DONE = ["done"] * 400


@given(restored)
def test_a_silo_ahead_of_a_restored_coordinator_reports_what_is_asked_if_its_app_keeps_no_state(
    turns: list[str],
) -> None:
    def check(history: History) -> None:
        said, asked = history.said, history.asked
        assert isinstance(said, Report)
        assert isinstance(asked, Prepare | Train | Evaluate)
        round_ = 0 if isinstance(asked, Prepare) else asked.round
        stage = Stage(type(asked).__name__.lower())
        assert (said.stage, said.round, said.attempt) == (stage, round_, asked.attempt)

    play(turns, DONE, check, keeps_state=False)


@given(restored)
def test_no_training_starts_from_the_state_of_its_own_round_or_of_a_later_one(turns: list[str]) -> None:
    history = play(turns, DONE, lambda _: None)
    for begun in history.begun:
        if begun.job.stage is Stage.TRAIN:
            assert begun.state == (f"train-{begun.job.round - 1}" if begun.job.round > 1 else "")
