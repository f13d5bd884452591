"""One plan, one model: the simulator and the coordinator with real agents over the in-memory channel agree bit for bit.

The same plan over HTTPS between processes is compared with the simulator in tests/e2e/test_demo.py.
"""

import pytest
from tests.in_memory import Place

from septum.cli.shipped import example
from septum.cli.silo_files import silo_files
from septum.protocol.plan import AppRef, Masking, Plan, StrategyRef
from septum.sdk.package import load_app
from septum.simulate.run import read_silos, simulate

APP_DIR = example("heart_disease")
APP = load_app(APP_DIR)
FILES = silo_files(example("heart_disease") / "data")


def a_plan(strategy: StrategyRef, clip_norm: float | None, masking: Masking | None) -> Plan:
    hyper = APP.app.hyper_values(APP.app.resolve({"rounds": 4, "seed": 3}))
    ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
    silos = tuple(sorted(FILES))
    return Plan("parity", ref, hyper, silos, 4, seed=3, strategy=strategy, clip_norm=clip_norm, masking=masking)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("strategy", "clip_norm", "masking"),
    [
        (StrategyRef(), None, None),
        (StrategyRef("fedprox", {"mu": 0.5}), None, None),
        (StrategyRef("fedadam", {"lr": 0.05}), 0.01, None),
        (StrategyRef("median"), None, None),
        (StrategyRef("geometric-median"), None, None),
        (StrategyRef(), None, Masking()),
        (StrategyRef("fedadam", {"lr": 0.05}), 0.01, Masking(max_update=0.01, max_weight=500)),
    ],
    ids=[
        "fedavg",
        "fedprox",
        "fedadam-clipped",
        "median",
        "geometric-median",
        "fedavg-masked",
        "fedadam-clipped-masked",
    ],
)
def test_simulator_and_memory_channel_give_the_same_bytes(tmp_path, strategy, clip_norm, masking):
    plan = a_plan(strategy, clip_norm, masking)
    simulated = simulate(APP, plan, read_silos(APP, APP.app.resolve(plan.hyper), FILES))
    ended, model = Place(APP, APP_DIR, FILES, tmp_path).run(plan)
    assert ended.status.value == "finished"
    assert model == simulated.model
    assert ended.model == simulated.model_digest
    assert ended.metrics == simulated.metrics


def test_a_masked_model_is_as_good_as_a_plain_one_and_is_another():
    """Fixed point rounds each coordinate of an update to one of 2^31 steps, and the histogram has fewer bins."""
    rows = read_silos(APP, APP.app.resolve(a_plan(StrategyRef(), None, None).hyper), FILES)
    plain, masked = (simulate(APP, a_plan(StrategyRef(), None, masking), rows) for masking in (None, Masking()))
    assert plain.model_digest != masked.model_digest
    assert masked.metrics.rows == plain.metrics.rows == sum(one.rows for one in plain.silos.values())
    assert abs(masked.metrics.accuracy - plain.metrics.accuracy) < 0.01
    assert abs(masked.metrics.log_loss - plain.metrics.log_loss) < 1e-5
    assert abs(masked.metrics.roc_auc - plain.metrics.roc_auc) <= masked.metrics.roc_auc_bound + 0.001
    assert masked.silos.keys() == plain.silos.keys()  # a simulation knows what nobody would be told
