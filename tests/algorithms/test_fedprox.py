"""Is FedProx FedAvg on the server, and the gradient of (mu / 2) ||w - w_t||^2 in the silo?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.algorithms.fedprox import proximal_gradient
from septum.algorithms.strategy import strategy
from septum.errors import TensorError

F = np.float32


def test_the_gradient_by_hand():
    # mu (w - w_t): 1/2 (3 - 1) = 1 ; 1/2 (-1 - 1) = -1 ; 1/2 (4 - 4) = 0
    gradient = proximal_gradient({"w": F([3, -1]), "b": F([[4]])}, {"w": F([1, 1]), "b": F([[4]])}, mu=0.5)
    assert {name: g.tolist() for name, g in gradient.items()} == {"w": [1.0, -1.0], "b": [[0.0]]}


def test_the_gradient_is_float32():
    assert proximal_gradient({"w": F([1])}, {"w": F([0])}, mu=0.1)["w"].dtype == F


@pytest.mark.processes
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 10))
def test_the_gradient_is_the_slope_of_the_proximal_term(w, w_t, mu):
    def term(at):
        return mu / 2 * (at - w_t) ** 2

    slope = (term(w + 1e-3) - term(w - 1e-3)) / 2e-3  # exact for a parabola, up to rounding
    gradient = proximal_gradient({"w": F([w])}, {"w": F([w_t])}, mu)["w"][0]
    assert gradient == pytest.approx(slope, abs=1e-4)


def test_two_local_steps_by_hand():
    # minimise F(w) = 2 w with mu = 1, lr = 1/2 from w_t = 0: w1 = 0 - 1/2 (2 + 0) = -1; w2 = -1 - 1/2 (2 - 1) = -3/2
    w = {"w": F([0])}
    for expected in (-1.0, -1.5):
        gradient = F([2]) + proximal_gradient(w, {"w": F([0])}, mu=1.0)["w"]
        w = {"w": w["w"] - F(0.5) * gradient}
        assert w["w"].tolist() == [expected]


def test_the_server_is_fedavg():
    fedprox, fedavg = strategy("fedprox", {"mu": 0.1}), strategy("fedavg")
    block = np.array([[1, -2], [5, 2]], F)
    delta = fedprox.combine(block, [1, 3])
    assert delta.tolist() == [4.0, 1.0]
    assert fedprox.step(F([10, 10]), delta, {})[0].tolist() == fedavg.step(F([10, 10]), delta, {})[0].tolist()


def test_a_tensor_in_only_one_of_the_two_is_refused_by_name():
    with pytest.raises(TensorError, match=r"\['b'\]"):
        proximal_gradient({"w": F([1]), "b": F([1])}, {"w": F([1])}, mu=1.0)


def test_a_tensor_of_another_shape_is_refused_and_not_broadcast():
    with pytest.raises(TensorError, match=r"'w' has shape \(2,\) in the silo and \(1,\)"):
        proximal_gradient({"w": F([1, 2])}, {"w": F([1])}, mu=1.0)
