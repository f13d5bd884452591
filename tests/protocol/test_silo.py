"""The silo machine, transition by transition. Its laws: test_silo_laws.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from septum.errors import ProtocolError
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.messages import (
    MAX_DETAILS_CHARS,
    MAX_REASON_CHARS,
    Await,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    Outcome,
    Prepare,
    Refuse,
    Report,
    Stage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import (
    Consented,
    Denied,
    Do,
    Effect,
    Event,
    Finish,
    Forget,
    Instructed,
    Job,
    Reconnected,
    Rejected,
    Send,
    SiloPhase,
    SiloRun,
    Worked,
    WorkFailed,
    kept_payloads,
    kept_states,
    step,
)

PLAN = Plan("p", AppRef("a", "1", "sha256:0"), {"lr": 0.1}, ("north", "south"), rounds=3)
MODELS = [blob_of(f"model {n}".encode()) for n in range(5)]
PAYLOAD = blob_of(b"payload")
NEW = SiloRun("r1", "north", PLAN)


def play(state: SiloRun, *events: Event) -> tuple[SiloRun, tuple[Effect, ...]]:
    """The state after all events, and the effects of the last one."""
    effects: tuple[Effect, ...] = ()
    for event in events:
        state, effects = step(state, event)
    return state, effects


def told(instruction: Instruction) -> Instructed:
    return Instructed(instruction)


def train(round_: int, attempt: int = 1) -> Instructed:
    return Instructed(Train(round_, attempt, MODELS[round_ - 1]))


def job(round_: int, attempt: int = 1) -> Job:
    return Job(Stage.TRAIN, round_, attempt, MODELS[round_ - 1].without_bytes())


def worked(round_: int, *, has_state: bool = True) -> Worked:
    return Worked(job(round_), PAYLOAD, 6, {"train": 1.0}, has_state)


JOINED, _ = play(NEW, Consented())
HOLDS_1, _ = play(JOINED, train(1), worked(1))


def report(round_: int, attempt: int = 1) -> Send:
    base = MODELS[round_ - 1].digest
    return Send(Report(Stage.TRAIN, round_, attempt, base, PAYLOAD, 6, {"train": 1.0}))


def test_a_silo_that_consents_joins_with_the_digest_of_its_plan() -> None:
    state, effects = step(NEW, Consented())
    assert effects == (Send(Join(PLAN.digest)),)
    assert state.phase is SiloPhase.ACTIVE


def test_a_silo_that_denies_refuses_until_the_run_ends_for_it() -> None:
    state, effects = step(NEW, Denied("policy.min_cohort", "too few"))
    assert effects == (Send(Refuse("policy.min_cohort", "too few")),)
    assert play(state, told(Wait()))[1] == effects
    assert play(state, Reconnected())[1] == effects
    state, effects = play(state, told(End(Outcome.STOPPED, "refused")))
    assert effects == (Finish(Outcome.STOPPED, "refused", keep=False),)


def test_work_is_done_with_the_bytes_of_the_model_and_reported() -> None:
    state, effects = play(JOINED, train(1))
    assert effects == (Do(job(1), MODELS[0], ""),)
    assert state.job is not None
    assert state.job.model == MODELS[0].without_bytes()
    assert play(state, worked(1))[1] == (report(1),)


def test_preparing_has_no_base() -> None:
    state, effects = play(JOINED, told(Prepare(1, initial=True)))
    prepare = Job(Stage.PREPARE, 0, 1, initial=True)
    assert effects == (Do(prepare, None, ""),)
    _, effects = step(state, Worked(prepare, PAYLOAD, 6))
    assert effects == (Send(Report(Stage.PREPARE, 0, 1, "", PAYLOAD, 6)),)


def test_the_same_work_in_a_new_attempt_offers_the_kept_report_again() -> None:
    assert play(HOLDS_1, train(1, attempt=2))[1] == (report(1, attempt=2),)


def test_preparing_again_as_the_maker_of_the_initial_model_is_other_work() -> None:
    state, _ = play(JOINED, told(Prepare(1, initial=False)), Worked(Job(Stage.PREPARE, 0, 1), PAYLOAD, 6))
    _, effects = play(state, told(Prepare(2, initial=True)))
    assert Do(Job(Stage.PREPARE, 0, 2, initial=True), None, "") in effects


def test_work_that_is_under_way_is_not_begun_again_and_reported_with_the_newest_attempt() -> None:
    state, effects = play(JOINED, train(1), train(1, attempt=2))
    assert effects == ()
    assert play(state, worked(1))[1] == (report(1, attempt=2),)


def test_a_later_round_carries_the_apps_state_on_and_forgets_the_update() -> None:
    state, effects = play(HOLDS_1, train(2))
    assert effects == (Forget(), Do(job(2), MODELS[1], "train-1"))
    assert state.carried == 1
    assert (kept_payloads(state), kept_states(state)) == (frozenset(), {"train-1"})
    state, _ = play(state, worked(2))
    assert (kept_payloads(state), kept_states(state)) == ({"train-2"}, {"train-1", "train-2"})


def test_an_app_that_keeps_no_state_any_more_starts_without_one() -> None:
    state, effects = play(HOLDS_1, train(2), worked(2, has_state=False), train(3))
    assert state.carried == 0
    assert effects[-1] == Do(job(3), MODELS[2], "")


def test_a_round_that_starts_again_from_another_model_starts_from_the_old_state() -> None:
    other = blob_of(b"another model")
    state, _ = play(HOLDS_1, train(2), worked(2))
    state, effects = play(state, told(Train(2, 2, other)))
    assert effects == (Forget(), Do(Job(Stage.TRAIN, 2, 2, other.without_bytes()), other, "train-1"))
    assert state.carried == 1


def test_evaluating_carries_on_the_last_rounds_state_and_uses_none() -> None:
    state, effects = play(HOLDS_1, told(Evaluate(1, 1, MODELS[1])))
    assert state.carried == 1
    assert effects[-1] == Do(Job(Stage.EVALUATE, 1, 1, MODELS[1].without_bytes()), MODELS[1], "")


@pytest.mark.parametrize("round_", [-1, PLAN.rounds + 1, 10**30])
def test_a_round_that_the_silo_did_not_agree_to_is_a_failure_and_nothing_is_done(round_: int) -> None:
    for work in (Train(round_, 1, MODELS[0]), Evaluate(round_, 1, MODELS[0])):
        after, effects = play(HOLDS_1, told(work))
        assert after == HOLDS_1
        (effect,) = effects
        assert isinstance(effect, Send)
        assert isinstance(effect.message, Failure)
        assert "is not in the plan, which has 3 rounds" in effect.message.reason


# A coordinator that was restored from a backup is behind its silos.


def test_an_earlier_round_is_trained_anew_where_the_app_keeps_no_state() -> None:
    state, _ = play(JOINED, train(1), worked(1, has_state=False), train(2), worked(2, has_state=False))
    state, effects = play(state, train(3), worked(3, has_state=False), train(2))
    assert effects == (Forget(), Do(job(2), MODELS[1], ""))
    assert (kept_payloads(state), kept_states(state)) == (frozenset(), frozenset())
    assert play(state, worked(2, has_state=False))[1] == (report(2),)


@pytest.mark.parametrize(
    ("asked", "begun"),
    [(train(1), Do(job(1), MODELS[0], "")), (told(Prepare(1, initial=False)), Do(Job(Stage.PREPARE, 0, 1), None, ""))],
)
def test_from_its_beginning_a_run_is_done_anew_whatever_state_the_app_has_made_since(
    asked: Instructed, begun: Do
) -> None:
    state, effects = play(HOLDS_1, train(2), worked(2), asked)
    assert effects == (Forget(), begun)
    assert (state.carried, kept_states(state)) == (0, frozenset())


def test_one_round_can_be_trained_anew_from_the_apps_state_of_then() -> None:
    state, _ = play(HOLDS_1, train(2), worked(2), train(3), worked(3))
    assert kept_states(state) == {"train-1", "train-2", "train-3"}
    state, effects = play(state, train(2))
    assert effects == (Forget(), Do(job(2), MODELS[1], "train-1"))
    assert kept_states(state) == {"train-1"}
    state, effects = play(state, worked(2), train(3))
    assert effects == (Forget(), Do(job(3), MODELS[2], "train-2"))


def test_an_earlier_round_whose_app_state_is_gone_is_a_failure_and_changes_nothing() -> None:
    state, _ = play(HOLDS_1, train(2), worked(2), train(3), worked(3), told(Evaluate(3, 1, MODELS[2])))
    after, effects = play(state, train(2))
    assert after == state
    (effect,) = effects
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Failure)
    assert "train-2 is asked for after evaluate-3" in effect.message.reason
    assert "submit anew" in effect.message.reason


def test_a_worker_that_died_is_tried_twice_then_reported() -> None:
    died = WorkFailed(job(1), "killed by SIGKILL", "", worker_gone=True)
    state, effects = play(JOINED, train(1), died)
    assert effects == (Do(job(1), MODELS[0].without_bytes(), ""),)
    state, effects = play(state, died)
    assert effects == (Send(Failure(Stage.TRAIN, 1, 1, "killed by SIGKILL")),)


def test_an_app_that_raised_is_reported_at_once_and_begun_again_in_a_new_attempt() -> None:
    failed = WorkFailed(job(1), "boom", "Traceback")
    state, effects = play(JOINED, train(1), failed)
    failure = Send(Failure(Stage.TRAIN, 1, 1, "boom", "Traceback"))
    assert effects == (failure,)
    assert play(state, train(1))[1] == (failure,)  # its first telling was lost
    assert play(state, train(1, attempt=2))[1] == (Do(job(1, attempt=2), MODELS[0], ""),)


def test_a_long_failure_is_cut_to_the_limits_of_its_message() -> None:
    details = "x" * MAX_DETAILS_CHARS + "the last line"
    _, effects = play(JOINED, train(1), WorkFailed(job(1), "r" * 10_000, details))
    (effect,) = effects
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Failure)
    assert len(effect.message.reason) == MAX_REASON_CHARS
    assert effect.message.details.endswith("the last line")


def test_a_refused_report_is_a_failure_and_the_work_is_done_anew_in_the_next_attempt() -> None:
    state, effects = play(HOLDS_1, Rejected("not finite"))
    assert effects == (
        Forget(),
        Send(Failure(Stage.TRAIN, 1, 1, "the coordinator refused the report: not finite")),
    )
    state, effects = play(state, train(1, attempt=2))
    assert effects == (Do(job(1, attempt=2), MODELS[0], ""),)


def test_anything_else_that_is_refused_leads_back_to_joining() -> None:
    assert play(JOINED, Rejected("what?"))[1] == (Send(Join(PLAN.digest)),)


def test_after_a_broken_line_it_joins_again_and_offers_what_it_holds() -> None:
    state, effects = play(HOLDS_1, Reconnected())
    assert effects == (Send(Join(PLAN.digest)),)
    assert play(state, train(1, attempt=3))[1] == (report(1, attempt=3),)


def test_an_agent_that_was_killed_at_work_begins_it_again() -> None:
    state, _ = play(JOINED, train(1))
    restored = from_json(SiloRun, loads(dumps(to_json(state))))
    assert play(restored, Consented(), train(1))[1] == (Do(job(1), MODELS[0], ""),)


def test_an_agent_that_was_killed_with_a_report_offers_it_again() -> None:
    restored = from_json(SiloRun, loads(dumps(to_json(HOLDS_1))))
    assert restored == HOLDS_1
    assert play(restored, Consented(), train(1))[1] == (report(1),)


def test_nothing_to_do_is_answered_with_await() -> None:
    assert play(JOINED, told(Wait()))[1] == (Send(Await()),)


def test_a_finished_run_is_forgotten() -> None:
    state, effects = play(HOLDS_1, told(End(Outcome.FINISHED)))
    assert effects == (Finish(Outcome.FINISHED, "", keep=False),)
    assert state.phase is SiloPhase.ENDED
    with pytest.raises(ProtocolError, match="has finished"):
        step(state, Consented())


@pytest.mark.parametrize(
    ("asked", "carried", "expected"),
    [(train(1, attempt=4), 0, report(1, attempt=4)), (train(2), 1, Do(job(2), MODELS[1], "train-1"))],
    ids=["round 1 was not closed", "round 1 was closed"],
)
def test_a_stopped_run_that_is_resumed_goes_on_from_what_was_kept(
    asked: Instructed, carried: int, expected: Effect
) -> None:
    state, effects = play(HOLDS_1, told(End(Outcome.STOPPED, "lunch")))
    assert effects == (Finish(Outcome.STOPPED, "lunch", keep=True),)
    state, effects = play(state, Consented(), asked)
    assert state.carried == carried
    assert effects[-1] == expected


def test_of_a_run_that_failed_here_what_the_app_said_is_kept() -> None:
    state, effects = play(JOINED, train(1), WorkFailed(job(1), "boom"), told(End(Outcome.FAILED, "too few silos")))
    assert effects == (Finish(Outcome.FAILED, "too few silos", keep=True),)
    assert isinstance(play(state, Consented(), train(1, attempt=4))[1][-1], Do)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (NEW, told(Wait())),
        (NEW, Reconnected()),
        (play(HOLDS_1, told(End(Outcome.STOPPED)))[0], train(1)),
        (play(HOLDS_1, told(End(Outcome.STOPPED)))[0], Reconnected()),
    ],
)
def test_an_event_that_the_state_does_not_allow_raises(state: SiloRun, event: Event) -> None:
    with pytest.raises(ProtocolError, match=r"silo 'north' .* run r1"):
        step(state, event)


def test_a_result_of_other_work_is_ignored() -> None:
    state, _ = play(HOLDS_1, train(2))
    assert play(state, worked(1)) == (state, ())
    assert play(state, WorkFailed(job(1), "late")) == (state, ())
    assert play(replace(state, working=False), worked(2))[1] == ()
