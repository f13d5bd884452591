"""Which attacks on a masked mean succeed under which bounds? Neither more nor fewer than is written down here."""

import pytest
from tests.attacks.federation import SILOS
from tests.attacks.poisoning import NO_ATTACK
from tests.attacks.under_masks import ATTACKERS, MAX_WEIGHT, NAMES, TERMS, holds, masked_play, shift

pytestmark = pytest.mark.attacks

WIDE, NARROW, CLIPPED = TERMS
ALL = set(TERMS)
LARGEST = "as large as `max_update` lets through"
FAILS = {
    1: {
        "label flip": set(),
        "label flip, stating 100 times the rows": set(),  # its agent gives up
        "sign flip": {WIDE},
        "label flip, update scaled by n / k": {WIDE},
        "huge (-1e30)": set(),
        "NaN": set(),
        LARGEST: {WIDE, NARROW},
    },
    2: {
        "label flip": {WIDE, NARROW},
        "label flip, stating 100 times the rows": set(),
        "sign flip": {WIDE},
        "label flip, update scaled by n / k": {WIDE},
        "huge (-1e30)": {CLIPPED},  # made shorter before the agent looks, so it takes part
        "NaN": set(),
        LARGEST: {WIDE, NARROW},
    },
    3: dict.fromkeys(NAMES, ALL),  # three that give up leave too few
}


@pytest.mark.parametrize("attack", NAMES)
@pytest.mark.parametrize("attackers", ATTACKERS)
def test_an_attack_succeeds_under_exactly_these_bounds(attackers, attack):
    assert {terms for terms in TERMS if not holds(terms, attack, attackers)} == FAILS[attackers][attack]


@pytest.mark.parametrize("terms", TERMS)
def test_without_attackers_nobody_gives_up_and_the_model_learns(terms):
    assert masked_play(terms, NO_ATTACK, 0).refused == []
    assert masked_play(terms, NO_ATTACK, 0).accuracy > 0.8


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ("NaN", "the update has a NaN or an infinity"),
        ("huge (-1e30)", "21 of 21 coordinates of the update are beyond the clip"),
        ("label flip, stating 100 times the rows", f"the plan's cap is {MAX_WEIGHT}"),
    ],
)
def test_the_silos_own_agent_gives_up_and_says_why_and_the_round_goes_on(attack, why):
    found = masked_play(WIDE, attack, 2)
    assert {line.split(":")[0] for line in found.refused} == {"silo-7", "silo-8"}
    assert all(why in line for line in found.refused)
    assert found.accuracy >= masked_play(WIDE, NO_ATTACK, 0).accuracy - 0.01
    assert masked_play(WIDE, attack, 3).why_none == "6 of 9 silos are left, 7 have to be"


def test_one_silo_moves_a_coordinate_by_its_share_of_the_clip_and_by_other_code_by_half_the_ring():
    """100 of 900 rows, times the clip of 1; and (2^31 - 1) words where floor((2^31 - 1) / 9) are 1,000 rows times 1."""
    assert shift().agent == pytest.approx(1 / SILOS, rel=1e-6)
    assert shift().own_code == pytest.approx(SILOS * MAX_WEIGHT / (SILOS * 100), rel=1e-6)
