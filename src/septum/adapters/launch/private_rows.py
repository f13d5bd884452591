"""Which rows does an app make for a run with differential privacy, and is its model the one that septum trains?

The app's code runs here, with all of a silo's rows. What it gives are rows and nothing else, and they stay in the silo.
"""

from __future__ import annotations

import numpy as np

from septum.errors import AppError
from septum.protocol.tensors import Array
from septum.sdk import harness, private_loss
from septum.sdk.app import App
from septum.sdk.data import Data, Split
from septum.sdk.harness import Prepared
from septum.sdk.private_loss import PrivateLoss

X, Y = "train.x", "train.y"
TEST_X, TEST_Y = "test.x", "test.y"  # looked at by a run that tells metrics, and by no other
_TRIED_ROWS = 16
_CLOSE = 1e-3  # of logits about 1: float32 in another order


def rows_of(app: App, hyper: object, prepared: Prepared, private: PrivateLoss) -> dict[str, Array]:
    """The app's rows, unscaled. Raises AppError where its manifest declares another model than its code has."""
    data = prepared.split.train
    if data.features != private.features:
        raise _differs(app, f"its rows have the features {', '.join(data.features)}")
    names = [handle.name for handle in app.statistic_handles]
    if names != [private_loss.STATISTIC]:
        told = ", ".join(names) or "none"
        raise _differs(app, f"its statistics are {told} where {private_loss.STATISTIC} alone is needed")
    if not private.by_app:
        _check_model(app, hyper, prepared, private)
    test = prepared.split.test
    rows = {X: data.x, Y: data.y, TEST_X: test.x, TEST_Y: test.y}
    return {name: np.ascontiguousarray(array) for name, array in rows.items()}


def _check_model(app: App, hyper: object, prepared: Prepared, private: PrivateLoss) -> None:
    """On some model and made-up rows, the app's predict is the model of the declared loss.

    The silo's own rows have no part in it: one among them for which it fails would be told of by the failure.
    """
    model = private_loss.initial(private, seed=0)
    own = harness.initial(app, hyper, prepared.shape, 0)
    if {name: tensor.shape for name, tensor in model.items()} != {name: tensor.shape for name, tensor in own.items()}:
        told = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in own.items())
        raise _differs(app, f"its model has the tensors {told}")
    generator = np.random.default_rng(0)
    for name, tensor in model.items():
        model[name] = generator.normal(0, 0.3, tensor.shape).astype(np.float32)
    x = generator.uniform(private.low, private.high, (_TRIED_ROWS, len(private.features))).astype(np.float32)
    made_up = Data(x, np.arange(_TRIED_ROWS, dtype=np.float32) % 2, private.features)
    ready = harness.with_statistics(app, Prepared(Split(made_up, made_up)), private_loss.summands(private))
    tried = ready.split.train
    expected = private_loss.logits(private, model, private_loss.scaled(private, tried.x))
    if not np.allclose(harness.predict(app, tried, model), expected, rtol=_CLOSE, atol=_CLOSE):
        raise _differs(app, "its predict gives other numbers than the model that it declares")


def _differs(app: App, what: str) -> AppError:
    return AppError(
        f"app {app.name!r} cannot be trained with differential privacy: {what}, and [privacy] in septum.toml says"
        " otherwise",
        hint="docs/explanation/differential-privacy.md says what an app declares",
    )
