"""What dishonest silos send, and how far what a rule makes of it is from the honest updates."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from septum.algorithms.gram import gram_matrix
from septum.algorithms.strategy import strategy

F = np.float32
HUGE = F(1e30)


def combined(name, updates, settings=None, width=7):
    """What a strategy makes of whole updates (silos, coordinates), as the engine does it: block by block."""
    chosen = strategy(name, settings or {})
    updates = np.ascontiguousarray(updates, F)
    blocks = [np.ascontiguousarray(updates[:, at : at + width]) for at in range(0, updates.shape[1], width)]
    rows = [100.0] * len(updates)
    weights = rows if chosen.weigh is None else chosen.weigh(gram_matrix(blocks, len(updates)), rows)
    return np.concatenate([chosen.combine(block, weights) for block in blocks])


def same_point(honest, count):
    return np.full((count, honest.shape[1]), HUGE)


def flipped(honest, count):
    return -HUGE * np.resize(np.sign(honest), (count, honest.shape[1])).astype(F)


def scaled(honest, count):
    """The honest mean, replaced by another model and scaled up."""
    return np.tile(F(1e12) * (1 - honest.mean(axis=0)), (count, 1)).astype(F)


def opposed(honest, count):
    return np.stack([same_point(honest, 1)[0] * (1 if at % 2 else -1) for at in range(count)])


def spread(honest, count):
    return np.stack([HUGE * F(10.0**-at) * np.ones(honest.shape[1], F) for at in range(count)])


def far_and_near(honest, count):
    """So far that rounding hides the near ones in a sum of distances."""
    ones = np.ones(honest.shape[1], F)
    return np.stack([(HUGE if at % 2 else F(1e10)) * ones for at in range(count)])


ATTACKS = {
    "same point": same_point,
    "sign flip": flipped,
    "scaled": scaled,
    "opposed": opposed,
    "spread": spread,
    "far and near": far_and_near,
}


def honest_updates(silos, coordinates=33, seed=0):
    """Updates of norm about sqrt(coordinates), around one common vector."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=coordinates) + 0.5 * rng.normal(size=(silos, coordinates))).astype(F)


def attacked(attack, silos, attackers, seed=0):
    """(the updates of all silos in a mixed order, those of the honest ones)."""
    honest = honest_updates(silos - attackers, seed=seed)
    both = np.concatenate([honest, ATTACKS[attack](honest, attackers)])
    return both[np.random.default_rng(seed).permutation(silos)], honest


def diameter(vectors):
    wide = vectors.astype(np.float64)
    return max(float(np.linalg.norm(a - b)) for a in wide for b in wide)


def nearest(vector, vectors):
    return min(float(np.linalg.norm(vector.astype(np.float64) - one)) for one in vectors.astype(np.float64))


@st.composite
def updates_of_silos(draw, least=1, most=9):
    """Integers, so that sums and differences are exact, and laws hold bit for bit."""
    silos, coordinates = draw(st.integers(least, most)), draw(st.integers(1, 20))
    whole = arrays(np.int64, (silos, coordinates), elements=st.integers(-1000, 1000))
    return draw(whole).astype(F)
