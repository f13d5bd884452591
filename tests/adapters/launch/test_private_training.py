"""What strategies and bounds do to a model is done to its shared part alone; numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from septum import App, Data, Split, hyper
from septum.adapters.launch.station import Part, Station, Timer
from septum.errors import AppError
from septum.protocol import tensors
from septum.protocol.clipped import clip
from septum.protocol.tensors import Array
from septum.sdk import harness, optim
from septum.sdk.data import Context
from septum.sdk.harness import Prepared

ROWS = Data.of({"x": [1.0, -1.0]}, [1, 0])
SHARED, HEAD = np.ones(2, np.float32), np.ones(1, np.float32)


def flat(parameters, x, y, out):
    """A loss without slope: what moves is the pull alone."""
    for gradient in out.values():
        gradient[:] = 0


def test_the_pull_of_fedprox_moves_shared_parameters_and_leaves_private_ones():
    """w - lr * mu * (w - base) = 1 - 0.1 * 1 * (1 - 0) = 0.9, twice: 0.81. The private one has no base."""
    context = Context(harness.rng(0), 1, "north", base={"w": np.zeros(2, np.float32)}, proximal_mu=1.0)
    steps = optim.Steps(epochs=2, batch_size=2, lr=0.1)
    after = optim.sgd({"head": HEAD, "w": SHARED}, flat, ROWS, context, steps)
    np.testing.assert_allclose(after["w"], [0.81, 0.81], rtol=1e-6)
    assert after["head"].tolist() == [1.0]


def test_torch_pulls_the_same_ones():
    torch = pytest.importorskip("torch")
    from septum.sdk import torch as septum_torch

    module = torch.nn.Linear(1, 1)
    septum_torch.load(module, {"weight": np.ones((1, 1), np.float32), "bias": np.ones(1, np.float32)})
    context = Context(harness.rng(0), 1, "north", base={"weight": np.zeros((1, 1), np.float32)}, proximal_mu=1.0)
    steps = optim.Steps(epochs=2, batch_size=2, lr=0.1)
    after = septum_torch.train(module, lambda out, _: (out * 0).sum(), ROWS, context, steps, torch.optim.SGD)
    np.testing.assert_allclose(after["weight"], [[0.81]], rtol=1e-6)
    assert after["bias"].tolist() == [1.0]


def station(train, private: tuple[str, ...] = ("head",)) -> Station:
    app = App("own")

    @app.hyper
    class Hyper:
        rounds: int = hyper(1, min=1)

    app.data(lambda *_: Split(ROWS, ROWS))
    app.initial(lambda *_: {"w": np.zeros(2, np.float32), "head": np.zeros(1, np.float32)})
    app.train(train)
    app.predict(lambda p, data: data.x[:, 0] * p["head"][0])
    return Station(app, app.resolve(), Prepared(Split(ROWS, ROWS)), Part("north", 7, 0.0, private))


def trained(made: Station, state: dict[str, Array] | None = None) -> tuple[dict[str, Array], dict[str, Array]]:
    found = made.train(Timer(), 1, {"w": SHARED}, state or {})
    update = {name: array for name, array in found.leaving.items() if name.startswith("update.")}
    return update, dict(found.state)


def test_the_bound_on_an_update_is_about_its_shared_part():
    """The step is (3, 4) and, for the head, 100: clipped to norm 1 the shared one is (0.6, 0.8)."""
    step = {"w": np.array([3, 4], np.float32), "head": np.array([100], np.float32)}
    update, kept = trained(station(lambda p, *_: {name: p[name] + step[name] for name in p}))
    left = tensors.decode(clip(tensors.encode(update), 1.0))
    np.testing.assert_allclose(left["update.w"], [0.6, 0.8], rtol=1e-6)
    assert list(left) == ["update.w"]
    assert kept["private.head"].tolist() == [100.0]


def test_the_context_shows_the_shared_model_as_the_base_and_state_under_its_own_names():
    seen = {}

    def train(p, data, h, ctx):
        seen.update(base=sorted(ctx.base), parameters=sorted(p), state=dict(ctx.state))
        ctx.state["times"] = np.array([2.0])
        return p

    carried = {"private.head": np.full(1, 9, np.float32), "state.times": np.ones(1)}
    _, kept = trained(station(train), carried)
    assert (seen["base"], seen["parameters"], list(seen["state"])) == (["w"], ["head", "w"], ["times"])
    assert {name: array.tolist() for name, array in kept.items()} == {"private.head": [9.0], "state.times": [2.0]}


def test_an_app_that_drops_or_reshapes_its_private_parameter_is_told():
    with pytest.raises(AppError, match="did not return tensor 'head'"):
        trained(station(lambda p, *_: {"w": p["w"]}))
    with pytest.raises(AppError, match=r"tensor 'head' has shape \(2,\), the model has \(1,\)"):
        trained(station(lambda p, *_: {"w": p["w"], "head": np.ones(2, np.float32)}))


def test_kept_parameters_of_another_shape_are_told_with_what_to_do():
    with pytest.raises(AppError, match=r"'head' this silo kept \[3\], the app makes \[1\]") as caught:
        trained(station(lambda p, *_: p), {"private.head": np.zeros(3, np.float32)})
    assert "--private fresh" in caught.value.hint
