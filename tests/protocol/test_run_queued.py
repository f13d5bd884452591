"""What does a run do that waits in the queue? Nothing, until its silos have room; and nothing that happens is lost."""

from __future__ import annotations

import pytest
from tests.protocol.driving import CLEVELAND, HUNGARY, THREE, Play, answer_of, masked_plan_of, plan_of, result_of

from septum.errors import ProtocolError
from septum.protocol import facts
from septum.protocol.messages import End, Outcome, Prepare, Stage, Train
from septum.protocol.priority import Priority
from septum.protocol.queue import claim_of, takes_room, waiting_of
from septum.protocol.resources import Resources
from septum.protocol.run import create, instruction
from septum.protocol.run_state import Dequeue, Discard, OutOfSpace, Phase, Presence, Prioritise, Requeue, Resume


def queued(**plan) -> Play:
    play = Play()
    play.run, effects = create("run-1", plan_of(**plan), 0.0, priority=Priority.LOW, queued_at=1000.0)
    play.effects = [*effects]
    return play


def test_a_run_that_waits_has_no_deadline_and_asks_nobody_for_anything():
    play = queued()
    play.after(1_000_000)
    play.join(*THREE)

    assert (play.run.phase, play.run.outcome, play.run.deadline) == (Phase.QUEUED, None, None)
    assert set(play.run.presence.values()) == {Presence.INVITED}
    assert play.asked() == dict.fromkeys(THREE, End(Outcome.STOPPED, "the run waits in the queue"))
    assert not takes_room(play.run)


def test_it_gathers_its_silos_once_there_is_room_with_all_of_its_time():
    play = queued()
    play.after(5000)

    play.do(Dequeue())

    assert (play.run.phase, play.run.deadline) == (Phase.GATHER, 5060.0)
    assert takes_room(play.run)
    play.join(*THREE)
    assert {type(asked) for asked in play.asked().values()} == {Prepare}
    assert [type(fact) for fact in play.facts[:4]] == [
        facts.RunCreated,
        facts.RunQueued,
        facts.RunDequeued,
        facts.SiloJoined,
    ]


def test_leaving_the_queue_twice_is_once():
    play = queued()
    play.do(Dequeue())
    play.join(*THREE)
    before = play.run

    assert play.do(Dequeue()) == ()
    assert play.run == before


def test_a_paused_run_stays_in_the_queue_and_takes_no_place_there():
    play = queued()
    play.pause()
    play.do(Dequeue())
    assert (play.run.phase, waiting_of(play.run)) == (Phase.QUEUED, None)

    play.resume()

    assert waiting_of(play.run) is not None
    play.do(Dequeue())
    assert play.run.phase is Phase.GATHER


def test_its_priority_can_be_changed_while_it_waits_and_not_later():
    play = queued()
    play.do(Prioritise(Priority.HIGH))
    assert play.do(Prioritise(Priority.HIGH)) == ()

    assert play.run.priority is Priority.HIGH
    assert play.facts_of(facts.RunPrioritised) == [facts.RunPrioritised(Priority.HIGH)]
    play.do(Dequeue())
    with pytest.raises(ProtocolError, match="has begun"):
        play.do(Prioritise(Priority.LOW))
    play.stop()
    with pytest.raises(ProtocolError, match="has ended"):
        play.do(Prioritise(Priority.LOW))


def test_a_refusal_that_comes_meanwhile_counts():
    play = queued(quorum=3)
    play.refuse(CLEVELAND)
    assert claim_of(play.run).silos == tuple(silo for silo in THREE if silo != CLEVELAND)
    play.do(Dequeue())
    for silo in THREE[1:]:
        play.join(silo)

    assert play.run.outcome is Outcome.FAILED


def test_a_run_that_waits_can_be_stopped():
    play = queued()
    play.stop()

    assert (play.run.outcome, waiting_of(play.run)) == (Outcome.STOPPED, None)


def test_a_run_that_ended_is_resumed_into_the_queue_and_goes_on_from_its_last_round():
    play = Play().open(Stage.TRAIN, 2)
    model = play.run.model
    play.stop()

    play.do(Resume(queued_at=77.0))

    assert (play.run.phase, play.run.queued_at, play.run.finished) == (Phase.QUEUED, 77.0, 1)
    assert instruction(play.run, HUNGARY) == End(Outcome.STOPPED, "the run waits in the queue")
    play.do(Dequeue())
    play.join(*THREE)
    assert play.asked() == dict.fromkeys(THREE, Train(2, 2, model))


def requeued(play: Play) -> Play:
    play.do(Requeue(500.0, "nobody may drive it"))
    return play


@pytest.mark.parametrize("masked", [False, True])
def test_a_run_that_is_put_back_keeps_its_rounds_and_makes_the_open_one_again(masked):
    plan = masked_plan_of() if masked else plan_of()
    play = Play(plan).open(Stage.TRAIN, 2)
    model, late = play.run.model, play.run

    requeued(play)

    assert (play.run.phase, play.run.finished, play.run.queued_at) == (Phase.QUEUED, 1, 500.0)
    assert (play.run.deadline, play.run.awaited, play.run.exchange) == (None, (), None)
    assert play.facts[-1] == facts.RunQueued("nobody may drive it")
    assert play.discards[-1] == Discard(Stage.TRAIN, 2)
    assert play.asked() == dict.fromkeys(plan.silos, End(Outcome.STOPPED, "the run waits in the queue"))
    assert play.says(HUNGARY, answer_of(late, HUNGARY)) == ()  # it had not heard of it
    play.do(Dequeue())
    play.join(*plan.silos)
    assert (play.run.phase, play.run.round, play.run.attempt, play.run.model) == (
        Phase.TRAIN,
        2,
        late.attempt + 1,
        model,
    )
    while play.run.outcome is None:
        play.finish_stage()
    assert play.run.outcome is Outcome.FINISHED


def test_a_run_that_is_put_back_while_it_is_combined_is_not_combined():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    combined = result_of(play.combines[-1])

    requeued(play)

    assert not play.run.combining
    play.do(Dequeue())
    assert play.do(combined) == ()
    assert play.run.finished == 0


def test_a_pause_holds_in_the_queue_and_what_only_waited_for_space_does_not():
    play = Play().open(Stage.TRAIN, 1)
    play.pause()
    requeued(play)
    assert (play.run.paused, waiting_of(play.run)) == (True, None)
    play.resume()
    assert waiting_of(play.run) is not None

    play = Play().open(Stage.TRAIN, 1)
    play.do(OutOfSpace("no space left on device"))
    requeued(play)
    assert (play.run.paused, play.run.reason) == (False, "")


def test_what_has_ended_or_waits_is_not_put_back():
    for play in (queued(), Play().open(Stage.TRAIN, 1)):
        play.stop()
        before = play.run
        assert play.do(Requeue(500.0, "again")) == ()
        assert play.run == before


def test_what_it_takes_is_what_its_plan_says_in_each_silo():
    play = queued(resources=Resources(cpus=2))

    assert claim_of(play.run).needs == Resources(cpus=2)
    waits = waiting_of(play.run)
    assert waits is not None
    assert (waits.priority, waits.since, waits.claim.silos) == (Priority.LOW, 1000.0, THREE)
