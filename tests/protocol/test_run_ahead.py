"""Keys and shares that silos exchange ahead for the attempt that follows: with them it begins with its work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.protocol.driving import (
    CLEVELAND,
    FOUR,
    HUNGARY,
    ROSTER,
    SWITZERLAND,
    Play,
    answer_of,
    key_of,
    masked_plan_of,
)

from septum.protocol.closing import ENOUGH_S
from septum.protocol.messages import Keys, MakeKeys, Stage, Train
from septum.protocol.run_state import Step
from septum.secagg.messages import Advert
from septum.secagg.primitives import SIGNATURE_BYTES

LONG_BEACH = "long-beach"
HOME = (CLEVELAND, HUNGARY, SWITZERLAND)  # of the four those who stay when long-beach is away


def says_ahead(run: Play, *silos: str) -> None:
    """These silos answer the step at hand, and what they are asked ahead."""
    run.answer(*silos, ahead=True)


def up_to(step: Step) -> Play:
    """Round 1 at this step; all has been exchanged ahead so far."""
    run = Play(masked_plan_of()).open(Stage.TRAIN, 1).on_to(Step.WORK)
    while run.run.exchange.step is not step:
        says_ahead(run, *FOUR)
    return run


def told(run: Play) -> dict[str, type]:
    return {silo: type(asked) for silo, asked in run.asked().items()}


def test_with_keys_and_shares_of_all_the_next_round_begins_with_its_work():
    run = up_to(Step.UNMASK)
    says_ahead(run, *FOUR)
    run.combine()
    assert (run.run.round, told(run)) == (2, dict.fromkeys(FOUR, Train))
    assert run.asked()[CLEVELAND].sealed == {other: f"{other} for {CLEVELAND}".encode() for other in FOUR[1:]}


@pytest.mark.parametrize("step", [Step.AGREE, Step.UNMASK])
@pytest.mark.parametrize("way", ["fail", "stay silent"])
def test_a_silo_that_was_killed_before_it_answered_makes_new_keys_for_the_next_round_and_is_in_it(step, way):
    """Its keys were in its memory alone. With those exchanged ahead it would be asked to train, in vain."""
    run = up_to(step)
    says_ahead(run, *HOME)
    if way == "fail":
        run.fail(LONG_BEACH, "this silo has no keys: its agent was started again")
    else:
        run.after(ENOUGH_S)
    says_ahead(run, *run.run.awaited)
    assert tuple(run.combines[-1].contributions) == FOUR
    run.combine()
    assert (run.run.round, told(run)) == (2, dict.fromkeys(FOUR, MakeKeys))
    run.finish_stage()
    assert tuple(run.combines[-1].contributions) == FOUR


def test_a_silo_that_leaves_is_not_in_what_was_exchanged_ahead():
    run = up_to(Step.UNMASK)
    says_ahead(run, *FOUR)
    run.leave(LONG_BEACH)
    run.combine()
    assert (run.run.round, told(run)) == (2, dict.fromkeys(HOME, MakeKeys))


def test_what_is_said_ahead_of_another_attempt_is_dropped():
    run = up_to(Step.WORK)
    key = key_of(CLEVELAND, Stage.TRAIN, 7, 7)
    keys = Keys(Stage.TRAIN, 2, 7, ROSTER, Advert(key, key, bytes(SIGNATURE_BYTES)))
    run.says(CLEVELAND, replace(answer_of(run.run, CLEVELAND), ahead=keys))
    assert run.run.ahead is None
    assert CLEVELAND in run.run.reports
