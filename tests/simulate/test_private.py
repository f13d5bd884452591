"""A simulated run with differential privacy: septum trains, the app makes rows, and the model is still of use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.silo.small_app import write_app, write_data

from septum.cli.comparison import of_model
from septum.cli.shipped import HEART_DISEASE, HEART_DISEASE_NETWORK, example
from septum.cli.silo_files import silo_files
from septum.errors import AppError
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy
from septum.sdk.package import load_app
from septum.simulate.run import read_silos, simulate


def plan_of(app, silos, privacy):
    ref = AppRef(app.app.name, app.manifest.version, app.digest)
    return Plan("p", ref, {"rounds": 50}, tuple(sorted(silos)), rounds=50, privacy=privacy)


@pytest.mark.laws
@pytest.mark.parametrize("name", [HEART_DISEASE, pytest.param(HEART_DISEASE_NETWORK, marks=pytest.mark.torch)])
def test_heart_disease_at_epsilon_five_is_of_use_and_nobody_measured_it(name):
    if name == HEART_DISEASE_NETWORK:
        pytest.importorskip("torch")
    app = load_app(example(name))
    rows = read_silos(app, app.app.resolve({}), silo_files(example(HEART_DISEASE) / "data"))
    plan = plan_of(app, rows, Privacy(5.0))
    result = simulate(app, plan, rows)
    assert result.metrics is None
    assert result.silos == {}
    found = of_model(app, replace(plan, privacy=None), rows, result.model)
    assert found.metrics.roc_auc > 0.8
    assert found.metrics.accuracy > 0.7


@pytest.mark.laws
@pytest.mark.parametrize("masking", [None, Masking()])
def test_silos_tell_metrics_with_noise_where_the_plan_pays_for_them(masking):
    app = load_app(example(HEART_DISEASE))
    rows = read_silos(app, app.app.resolve({}), silo_files(example(HEART_DISEASE) / "data"))
    plan = replace(plan_of(app, rows, Privacy(10.0, metrics_epsilon=5.0)), rounds=10, masking=masking)
    result = simulate(app, plan, rows)
    found, noise = of_model(app, replace(plan, privacy=None), rows, result.model).metrics, result.metrics.noise
    assert result.silos == {}
    assert 0 < noise.accuracy < 0.02
    assert abs(result.metrics.accuracy - found.accuracy) < 6 * noise.accuracy
    assert abs(result.metrics.log_loss - found.log_loss) < 6 * noise.log_loss
    assert abs(result.metrics.roc_auc - found.roc_auc) < 0.03 + 6 * noise.roc_auc


def test_an_app_that_declares_no_loss_is_told_so(tmp_path):
    folder, data = write_app(tmp_path / "app"), write_data(tmp_path / "data.csv")
    app = load_app(folder)
    rows = read_silos(app, app.app.resolve({}), {"north": data})
    with pytest.raises(AppError, match="app 'small' declares no loss that septum can train by itself"):
        simulate(app, plan_of(app, rows, Privacy(5.0)), rows)
