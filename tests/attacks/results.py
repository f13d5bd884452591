"""Every attack against every rule, played once: which succeed and which do not."""

from __future__ import annotations

from functools import cache, partial

from tests.attacks.federation import Played, next_model, play
from tests.attacks.poisoning import ATTACKS, NO_ATTACK, RULES

ATTACKERS = (2, 3, 5)  # of nine: as many as the rules are set to bear, one more, and the majority
TOLERANCE = 0.05  # accuracy that an attack has to cost before it has succeeded


@cache
def played(rule: str, attack: str, attackers: int) -> Played:
    """Without an attack, whoever the attackers would be, nobody is dishonest."""
    if attack == NO_ATTACK and attackers:
        return played(rule, attack, 0)
    return play(partial(next_model, RULES[rule]), ATTACKS[attack], attackers)


def undisturbed(rule: str) -> float:
    """The accuracy of the model that nine honest silos make by this rule."""
    return played(rule, NO_ATTACK, 0).accuracy


def holds(rule: str, attack: str, attackers: int) -> bool:
    found = played(rule, attack, attackers)
    return found.made_a_model and found.accuracy >= undisturbed(rule) - TOLERANCE
