"""Which attacks on the model succeed against which rule? Neither more nor fewer than is written down here."""

import pytest
from tests.attacks.federation import NAMES, SILOS
from tests.attacks.poisoning import ATTACKS, NO_ATTACK, RULES
from tests.attacks.results import ATTACKERS, holds, played, undisturbed

from septum.algorithms.strategy import strategy_names

pytestmark = pytest.mark.attacks

ALL = set(RULES)
# Under two attackers, whom every robust rule is set to bear, the mean alone fails. Norm clipping lets every silo lead
# the model by a norm, in every round: three that do so lead it too far.
FAILS = {
    2: {
        "label flip": {"fedavg"},
        "label flip, stating 100 times the rows": {"fedavg"},
        "sign flip": {"fedavg"},
        "label flip, update scaled by n / k": {"fedavg"},
        "huge (-1e30)": {"fedavg"},
        "NaN": set(),
    },
    # Trimmed mean and multi-Krum are set to bear two: a third that sends anything at all is let in.
    3: {
        "label flip": {"fedavg", "norm-clipping"},
        "label flip, stating 100 times the rows": {"fedavg", "norm-clipping"},
        "sign flip": {"fedavg", "trimmed-mean", "multi-krum"},
        "label flip, update scaled by n / k": {"fedavg", "norm-clipping", "trimmed-mean", "multi-krum"},
        "huge (-1e30)": {"fedavg", "norm-clipping", "trimmed-mean", "multi-krum"},
        "NaN": {"krum", "multi-krum"},  # six reports are left, and f = 2 needs seven
    },
    # No rule can know that the majority is wrong.
    5: {
        "label flip": ALL,
        "label flip, stating 100 times the rows": ALL,
        "sign flip": ALL,
        "label flip, update scaled by n / k": ALL,
        "huge (-1e30)": ALL,
        "NaN": {"trimmed-mean", "krum", "multi-krum"},  # four reports are left
    },
}


def test_every_rule_that_sees_updates_is_attacked_here_beside_the_mean():
    own_steps = {"fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi"}  # the mean again, with another step
    assert set(RULES) == set(strategy_names()) - own_steps


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack != NO_ATTACK])
@pytest.mark.parametrize("attackers", ATTACKERS)
def test_an_attack_succeeds_against_exactly_these_rules(attackers, attack):
    assert {rule for rule in RULES if not holds(rule, attack, attackers)} == FAILS[attackers][attack]


@pytest.mark.parametrize("rule", RULES)
def test_without_attackers_every_rule_learns_as_well_as_the_mean(rule):
    assert undisturbed(rule) >= undisturbed("fedavg") - 0.02
    assert undisturbed("fedavg") > 0.8


@pytest.mark.parametrize("rule", RULES)
def test_a_nan_is_refused_by_name_and_the_round_goes_on_without_its_silo(rule):
    found = played(rule, "NaN", 2)
    assert found.made_a_model
    for name in NAMES:
        told = [line for line in found.refused if line.startswith(f"{name}: ")]
        assert bool(told) == (name in NAMES[SILOS - 2 :])
        assert all("holds nan at element 0" in line and "'update." in line for line in told)


@pytest.mark.parametrize("rule", ["krum", "multi-krum"])
def test_too_few_reports_for_f_make_no_model_and_say_so(rule):
    assert played(rule, "NaN", 3).why_none == (
        f"{rule} with f = 2 needs the updates of n >= 2f + 3 = 7 silos (Blanchard et al. 2017); there are 6"
    )
