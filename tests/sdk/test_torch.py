"""The torch helper: the same arithmetic as the numpy loop, and what stays in the silo."""

from __future__ import annotations

import numpy as np
import pytest

from septum import Context, Data, losses, optim
from septum.errors import AppError
from septum.sdk import harness

torch = pytest.importorskip("torch")
from septum.sdk import torch as septum_torch  # noqa: E402  after the skip

pytestmark = pytest.mark.torch

LOSS = torch.nn.functional.binary_cross_entropy_with_logits


def rows(count: int = 37, features: int = 5) -> Data:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(count, features)).astype(np.float32)
    y = (x[:, 0] + generator.normal(size=count) > 0).astype(np.float32)
    return Data(x, y, tuple(f"f{index}" for index in range(features)))


def start(features: int = 5) -> dict[str, np.ndarray]:
    weight = np.random.default_rng(4).normal(size=(1, features)).astype(np.float32)
    return {"bias": np.array([0.3], np.float32), "weight": weight}


def context(base: dict[str, np.ndarray], mu: float = 0.0) -> Context:
    return Context(harness.rng(5, "a", 2), 2, "a", base=base, proximal_mu=mu)


@pytest.mark.parametrize("mu", [0.0, 0.3])
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("adam", optim.Steps(epochs=2, batch_size=4, lr=1e-2)),
        ("adam", optim.Steps(epochs=1, batch_size=37, lr=1e-2, weight_decay=0.1)),
        ("sgd", optim.Steps(epochs=2, batch_size=4, lr=1e-1, weight_decay=0.01)),
    ],
)
def test_numpy_and_torch_give_the_same_parameters_within_rounding(name: str, steps: optim.Steps, mu: float) -> None:
    module = torch.nn.Linear(5, 1)
    septum_torch.load(module, start())
    optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
    by_torch = septum_torch.train(module, LOSS, rows(), context(start(), mu), steps, optimizer)
    by_numpy = getattr(optim, name)(start(), losses.logistic, rows(), context(start(), mu), steps)
    for tensor in start():
        np.testing.assert_allclose(by_numpy[tensor], by_torch[tensor], rtol=0, atol=1e-6)
        assert np.abs(by_numpy[tensor] - start()[tensor]).max() > 1e-3  # and both have moved


def test_parameters_go_in_and_come_out_unchanged_and_copied() -> None:
    module = torch.nn.Linear(5, 1)
    given = start()
    septum_torch.load(module, given)
    found = septum_torch.parameters(module)
    assert {name: tensor.tobytes() for name, tensor in found.items()} == {
        name: tensor.tobytes() for name, tensor in given.items()
    }
    found["weight"][...] = 0
    given["weight"][...] = 0
    assert (septum_torch.parameters(module)["weight"] != 0).all()


def test_a_tensor_that_is_missing_unknown_or_of_another_shape_is_named() -> None:
    module = torch.nn.Linear(5, 1)
    with pytest.raises(AppError, match=r"needs 'bias' of shape \(1,\), got nothing"):
        septum_torch.load(module, {"weight": start()["weight"]})
    with pytest.raises(AppError, match=r"no tensor 'weights'; did you mean 'weight'\?"):
        septum_torch.load(module, {**start(), "weights": np.zeros(1, np.float32)})
    with pytest.raises(AppError, match=r"needs 'bias' of shape \(1,\), got shape \(2,\)"):
        septum_torch.load(module, {**start(), "bias": np.zeros(2, np.float32)})


def normalised() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))


def test_integer_buffers_stay_in_the_silo_and_come_back_through_the_state() -> None:
    module = normalised()
    assert "1.num_batches_tracked" not in septum_torch.parameters(module)
    assert "1.running_mean" in septum_torch.parameters(module)
    base = septum_torch.parameters(module)
    first = context(base)
    steps = optim.Steps(batch_size=10)
    septum_torch.train(module, LOSS, rows(), first, steps, torch.optim.SGD)
    assert first.state["torch.1.num_batches_tracked"] == 4
    second = Context(harness.rng(5, "a", 3), 3, "a", base=base, state=dict(first.state))
    septum_torch.train(normalised(), LOSS, rows(), second, steps, torch.optim.SGD)
    assert second.state["torch.1.num_batches_tracked"] == 8


def test_dropout_is_the_same_when_a_round_is_repeated_whatever_ran_before() -> None:
    def once(seed: int) -> bytes:
        torch.manual_seed(seed)
        module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(5, 1))
        septum_torch.load(module, {f"1.{name}": tensor for name, tensor in start().items()})
        base = septum_torch.parameters(module)
        trained = septum_torch.train(module, LOSS, rows(), context(base), optim.Steps(batch_size=4), torch.optim.Adam)
        return trained["1.weight"].tobytes()

    assert once(1) == once(2)


def test_training_runs_on_one_thread() -> None:
    torch.set_num_threads(2)
    module = torch.nn.Linear(5, 1)
    base = septum_torch.parameters(module)
    septum_torch.train(module, LOSS, rows(), context(base), optim.Steps(), torch.optim.SGD)
    assert torch.get_num_threads() == 1


def test_a_generator_of_another_kind_is_an_error() -> None:
    module = torch.nn.Linear(5, 1)
    other = Context(np.random.default_rng(0), 1, "a", base={})
    with pytest.raises(AppError, match="Philox"):
        septum_torch.train(module, LOSS, rows(), other, optim.Steps(), torch.optim.SGD)
