"""What dishonest silos send to spoil a model, and against which rules it is tried."""

from __future__ import annotations

import numpy as np
from tests.attacks.federation import Attack, Model, Sight

from septum.algorithms.strategy import Strategy, strategy

RULES: dict[str, Strategy] = {
    name: strategy(name, settings)
    for name, settings in (
        ("fedavg", {}),
        ("norm-clipping", {"norm": 0.5}),
        ("median", {}),
        ("trimmed-mean", {"trim": 2}),
        ("krum", {"f": 2}),
        ("multi-krum", {"f": 2}),
        ("geometric-median", {}),
    )
}


def other_way(labels):
    return 1 - labels


def many_rows(rows):
    return 100 * rows


def mean_of(updates: tuple[Model, ...]) -> Model:
    return {name: np.mean([update[name] for update in updates], axis=0, dtype=np.float64) for name in updates[0]}


def sign_flip(sight: Sight) -> Model:
    """Ten times the opposite of what the honest silos do."""
    return {name: (-10 * value).astype(np.float32) for name, value in mean_of(sight.honest).items()}


def replacement(sight: Sight) -> Model:
    """Its own update, scaled so that the mean over all silos contains it as if it were the mean of them.

    Bagdasaryan et al. 2020, "How To Backdoor Federated Learning": model replacement, here by a model of flipped labels.
    """
    factor = np.float32((len(sight.honest) + sight.attackers) / sight.attackers)
    return {name: factor * value for name, value in sight.own.items()}


def huge(sight: Sight) -> Model:
    return {name: np.full(value.shape, -1e30, np.float32) for name, value in sight.own.items()}


def not_a_number(sight: Sight) -> Model:
    return {name: np.full(value.shape, np.nan, np.float32) for name, value in sight.own.items()}


NO_ATTACK = "none"
ATTACKS: dict[str, Attack] = {
    NO_ATTACK: Attack(),
    "label flip": Attack(labels=other_way),
    "label flip, stating 100 times the rows": Attack(labels=other_way, rows=many_rows),
    "sign flip": Attack(update=sign_flip),
    "label flip, update scaled by n / k": Attack(labels=other_way, update=replacement),
    "huge (-1e30)": Attack(update=huge),
    "NaN": Attack(update=not_a_number),
}
