"""Does FedAvg give the numbers that two rounds give by hand?"""

import numpy as np

from septum.algorithms.strategy import strategy

F = np.float32


def test_two_rounds_by_hand():
    fedavg = strategy("fedavg")
    # round 1: silos with 1 and 3 rows move by (1, -2) and (5, 2): mean (16/4, 4/4) = (4, 1)
    delta = fedavg.combine(np.array([[1, -2], [5, 2]], F), [1, 3])
    model, state = fedavg.step(F([10, 10]), delta, fedavg.start(2))
    assert model.tolist() == [14.0, 11.0]
    # round 2: 2 and 2 rows, (-3, 0) and (1, 1/2): mean (-2/2, 1/4) = (-1, 1/4)
    delta = fedavg.combine(np.array([[-3, 0], [1, 0.5]], F), [2, 2])
    model, state = fedavg.step(model, delta, state)
    assert model.tolist() == [13.0, 11.25]
    assert state == {}


def test_averaging_deltas_is_averaging_models():
    rng = np.random.default_rng(3)
    base, silos = rng.normal(size=100).astype(F), rng.normal(size=(3, 100)).astype(F)
    fedavg, weights = strategy("fedavg"), [10, 20, 30]
    model, _ = fedavg.step(base, fedavg.combine(silos - base, weights), {})
    np.testing.assert_allclose(model, np.average(silos, axis=0, weights=weights), atol=1e-6)
