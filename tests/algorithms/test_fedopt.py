"""Do the server optimisers give the numbers that three rounds give by hand? Numbers chosen so that roots come out."""

import numpy as np
import pytest

from septum.algorithms.strategy import strategy

F = np.float32


def three_rounds(name, settings, deltas):
    """Model, momentum and variance after each round, from a model at 0."""
    chosen = strategy(name, settings)
    model, state = F([0]), chosen.start(1)
    seen = []
    for delta in deltas:
        model, state = chosen.step(model, F([delta]), state)
        seen.append((model.item(), *(state[key].item() for key in chosen.state_names)))
    return seen


def test_fedavgm_by_hand():
    # m = 1/2 m + d ; x = x + 1/4 m
    # m1 = 2, x1 = 1/2 ; m2 = 1 - 3 = -2, x2 = 0 ; m3 = -1 + 5 = 4, x3 = 1
    seen = three_rounds("fedavgm", {"lr": 0.25, "momentum": 0.5}, [2, -3, 5])
    assert seen == [(0.5, 2.0), (0.0, -2.0), (1.0, 4.0)]


def test_fedavgm_without_momentum_and_with_rate_one_is_fedavg():
    model, _ = strategy("fedavgm", {"momentum": 0}).step(F([1, 2]), F([0.5, -1]), {"momentum": F([9, 9])})
    assert model.tolist() == [1.5, 1.0]


def test_fedadagrad_by_hand():
    # lr 2, beta_1 1/2, tau 3: v0 = 9. m = m/2 + d/2 ; v = v + d^2 ; x = x + 2 m / (sqrt(v) + 3)
    # d =   4: m = 2               , v = 9 + 16 = 25 = 5^2,         x = 0 + 4/8 = 1/2
    # d =  12: m = 1 + 6 = 7       , v = 25 + 144 = 169 = 13^2,     x = 1/2 + 14/16 = 11/8
    # d = -84: m = 7/2 - 42 = -77/2, v = 169 + 7056 = 7225 = 85^2,  x = 11/8 - 77/88 = 1/2
    seen = three_rounds("fedadagrad", {"lr": 2, "beta_1": 0.5, "tau": 3}, [4, 12, -84])
    assert seen == [(0.5, 2.0, 25.0), (1.375, 7.0, 169.0), (0.5, -38.5, 7225.0)]


def test_fedadam_by_hand():
    # lr 20, beta_1 1/2, beta_2 3/4, tau 3: v0 = 9. v = 3/4 v + 1/4 d^2 ; x = x + 20 m / (sqrt(v) + 3)
    # d =  13: m = 13/2               , v = (27 + 169)/4 = 49,   x = 0 + 130/10 = 13
    # d =  23: m = 13/4 + 23/2 = 59/4 , v = (147 + 529)/4 = 169, x = 13 + 295/16 = 503/16
    # d = -13: m = 59/8 - 13/2 = 7/8  , v = (507 + 169)/4 = 169, x = 503/16 + 35/32 = 1041/32
    # With bias correction the first step would be 20 * 13 / (sqrt(196) + 3) instead.
    seen = three_rounds("fedadam", {"lr": 20, "beta_1": 0.5, "beta_2": 0.75, "tau": 3}, [13, 23, -13])
    assert seen == [(13.0, 6.5, 49.0), (503 / 16, 14.75, 169.0), (1041 / 32, 0.875, 169.0)]


def test_fedyogi_by_hand():
    # lr 3, beta_1 1/2, beta_2 3/4, tau 5: v0 = 25. v = v - 1/4 d^2 sign(v - d^2) ; x = x + 3 m / (sqrt(v) + 5)
    # d =  24 (d^2 above v: v rises): m = 12            , v = 25 + 144 = 169, x = 36/18 = 2
    # d =  10 (d^2 below v: v falls): m = 6 + 5 = 11    , v = 169 - 25 = 144, x = 2 + 33/17 = 67/17
    # d = -12 (d^2 = v: v stays)    : m = 11/2 - 6 = -1/2, v = 144          , x = 67/17 - 3/34 = 131/34
    seen = three_rounds("fedyogi", {"lr": 3, "beta_1": 0.5, "beta_2": 0.75, "tau": 5}, [24, 10, -12])
    assert [(m, v) for _, m, v in seen] == [(12.0, 169.0), (11.0, 144.0), (-0.5, 144.0)]
    assert [x for x, _, _ in seen] == pytest.approx([2, 67 / 17, 131 / 34], rel=1e-6)


@pytest.mark.parametrize("name", ["fedadagrad", "fedadam", "fedyogi"])
def test_the_variance_starts_at_tau_squared(name):
    state = strategy(name, {"tau": 0.5}).start(3)
    assert state["variance"].tolist() == [0.25, 0.25, 0.25]
    assert state["momentum"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_constant_deltas_bring_the_step_to_the_learning_rate(name):
    # m -> d and v -> d^2, so the step tends to lr d / (|d| + tau) = 1/10 * 1 / (1 + 1/1000)
    chosen = strategy(name, {"lr": 0.1})
    model, state = F([0]), chosen.start(1)
    for _ in range(2_000):
        before = model
        model, state = chosen.step(model, F([1]), state)
    assert (model - before).item() == pytest.approx(0.1 / 1.001, rel=1e-3)
