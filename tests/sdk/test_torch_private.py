"""Training with Opacus: as it was asked for, and said so."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("opacus")

from septum import Context, Data  # noqa: E402  after the skip
from septum.errors import AppError, MissingExtraError  # noqa: E402
from septum.sdk import harness  # noqa: E402
from septum.sdk import torch as septum_torch  # noqa: E402
from septum.sdk.attested import Attested, PrivateTraining  # noqa: E402
from septum.sdk.torch_private import train_privately  # noqa: E402

pytestmark = pytest.mark.torch
LOSS = torch.nn.functional.binary_cross_entropy_with_logits
ASKED = PrivateTraining(
    noise_multiplier=0.01, sampling_rate=1.0, steps=1, clip=2.0, expected_batch=10.0, learning_rate=0.5
)


def asked(**changed) -> PrivateTraining:
    return replace(ASKED, **changed, _said=[])


def context(privacy) -> Context:
    return Context(harness.rng(1, "a", 1), 1, "a", base={}, privacy=privacy)


def linear(features: int = 2) -> torch.nn.Module:
    module = torch.nn.Linear(features, 1)
    septum_torch.load(module, {"weight": np.zeros((1, features), np.float32), "bias": np.zeros(1, np.float32)})
    return module


def rows(x, y) -> Data:
    x = np.asarray(x, np.float32)
    return Data(x, np.asarray(y, np.float32), tuple(f"f{at}" for at in range(x.shape[1])))


def test_each_row_is_clipped_and_the_sum_divided_by_the_expected_batch():
    # at zero each residual is -1/2: (30, 40) gives -(15, 20, 0.5), cut to length 2: -(1.2, 1.6, 0.04); (0, 1) gives
    # -(0, 0.5, 0.5), which is short enough
    privacy = asked(noise_multiplier=1e-9)
    after = train_privately(linear(), LOSS, rows([[30, 40], [0, 1]], [1, 1]), context(privacy))
    np.testing.assert_allclose(after["weight"], [[0.5 * 1.2 / 10, 0.5 * (1.6 + 0.5) / 10]], atol=1e-3)
    assert privacy.said() == Attested(1e-9, 1.0, 1, 2.0)


def test_the_noise_has_the_size_that_is_attested():
    privacy = asked(noise_multiplier=3.0, steps=1, clip=2.0)
    wide = rows(np.zeros((4, 4000)), [0, 1, 0, 1])
    after = train_privately(linear(4000), LOSS, wide, context(privacy))
    assert after["weight"].std() == pytest.approx(0.5 * 3.0 * 2.0 / 10, rel=0.06)


def test_two_rounds_draw_different_noise_whatever_the_seed():
    torch.manual_seed(1)
    one = train_privately(linear(), LOSS, rows([[0, 0]], [1]), context(asked()))
    torch.manual_seed(1)
    other = train_privately(linear(), LOSS, rows([[0, 0]], [1]), context(asked()))
    assert one["weight"].tolist() != other["weight"].tolist()


def test_steps_that_draw_nobody_are_steps():
    privacy = asked(sampling_rate=1e-6, steps=5)
    after = train_privately(linear(), LOSS, rows([[1, 1]] * 3, [1, 0, 1]), context(privacy))
    assert privacy.said().steps == 5
    assert np.isfinite(after["weight"]).all()
    assert after["weight"].any()  # of noise alone


def test_batch_norm_is_refused():
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    with pytest.raises(NotImplementedError, match="BatchNorm"):
        train_privately(module, LOSS, rows([[1, 1]] * 3, [1, 0, 1]), context(asked()))


def test_it_is_for_runs_that_ask_for_it_and_says_what_to_install(monkeypatch):
    with pytest.raises(AppError, match="strength attested"):
        train_privately(linear(), LOSS, rows([[1, 1]], [1]), context(None))
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(MissingExtraError) as caught:
        train_privately(linear(), LOSS, rows([[1, 1]], [1]), context(asked()))
    assert caught.value.hint == "pip install 'septum[opacus]'"
