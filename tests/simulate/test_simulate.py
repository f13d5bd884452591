"""The simulator: the same run as a federation, in one process; what an app does is what comes out."""

from pathlib import Path

import numpy as np
import pytest

from septum.algorithms.roc_auc import roc_auc
from septum.cli.shipped import example
from septum.cli.silo_files import silo_files
from septum.errors import ConfigError, RunFailedError
from septum.protocol import facts, payload, tensors
from septum.protocol.facts import LARGE_BOUND
from septum.protocol.messages import Outcome
from septum.protocol.plan import AppRef, EarlyStopping, Masking, Metric, Plan, StrategyRef
from septum.sdk.package import LoadedApp, load_app
from septum.simulate.run import SimulationResult, read_silos, simulate

MANIFEST = """
app = "app:app"
version = "1.0.0"
[data.columns]
x = {}
ill = { role = "target" }
[leaves]
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
"""

# An app whose weight after r rounds can be worked out by hand: every silo adds its own mean of x.
COUNTING = """
import numpy as np
from septum import App, Data, Split, hyper

app = App("counting")

@app.hyper
class Hyper:
    rounds: int = hyper(3, min=1)
    fail_in: str = hyper("")
    fail_from: int = hyper(1)

@app.data
def load(table, h):
    data = Data.of({"x": table["x"]}, table["ill"])
    return Split(data, data)

@app.initial
def initial(shape, h, rng):
    return {"w": np.full(1, 10, np.float32)}

@app.train
def train(p, data, h, ctx):
    if ctx.silo == h.fail_in and ctx.round >= h.fail_from:
        raise ValueError("the scanner is broken")
    seen = int(ctx.state.get("rounds", np.zeros(1, np.int64))[0]) + 1
    ctx.state["rounds"] = np.array([seen], np.int64)
    assert seen == ctx.round, f"state of {seen} rounds in round {ctx.round}"
    return {"w": p["w"] + data.x.mean(dtype=np.float32)}

@app.predict
def predict(p, data):
    return data.x[:, 0] * p["w"][0]
"""


@pytest.fixture
def counting(tmp_path: Path) -> tuple[LoadedApp, dict[str, Path]]:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "septum.toml").write_text(MANIFEST)
    (folder / "app.py").write_text(COUNTING)
    files = {}
    for silo, rows in {"a": [(1, 1), (-1, 0), (3, 1), (1, 0)], "b": [(5, 1), (3, 0)]}.items():
        files[silo] = tmp_path / f"{silo}.csv"
        files[silo].write_text("x,ill\n" + "".join(f"{x},{ill}\n" for x, ill in rows))
    return load_app(folder), files


def play(counting: tuple[LoadedApp, dict[str, Path]], hyper=None, on_fact=None, **options: object) -> SimulationResult:
    app, files = counting
    resolved = app.app.resolve(hyper or {})
    values = app.app.hyper_values(resolved)
    plan = Plan("test", AppRef("counting", "1", app.digest), values, tuple(files), rounds=values["rounds"], **options)
    return simulate(app, plan, read_silos(app, resolved, files), on_fact)


def weight(result: SimulationResult) -> float:
    return float(tensors.decode(result.model)["w"][0])


def test_the_model_is_the_mean_of_the_silos_weighted_by_rows(counting):
    # mean x is 1 in a (4 rows) and 4 in b (2 rows): each round adds (4*1 + 2*4) / 6 = 2
    result = play(counting)
    assert weight(result) == 16.0
    assert result.rounds == 3
    assert result.metrics is not None
    assert result.metrics.rows == 6


def test_metrics_are_those_of_the_last_model(counting):
    # w > 0, so x orders the rows: of b's one pair 5 > 3 is right; of a's 4 pairs 1 > -1, 1 ~ 1, 3 > -1, 3 > 1
    result = play(counting)
    assert result.silos["b"].roc_auc == 1.0
    assert result.silos["a"].roc_auc == 3.5 / 4
    assert result.silos["a"].accuracy == 0.75


def test_every_round_makes_one_model_and_measures_it(counting):
    seen: list[facts.Fact] = []
    play(counting, on_fact=seen.append)
    assert [fact.round for fact in seen if isinstance(fact, facts.ModelMade)] == [0, 1, 2, 3]
    assert [fact.round for fact in seen if isinstance(fact, facts.ModelMeasured)] == [0, 1, 2, 3]
    assert isinstance(seen[-1], facts.RunEnded)


def test_a_strategy_that_needs_more_silos_is_refused_before_anything_is_trained(counting):
    with pytest.raises(ConfigError, match=r"krum with f = 1 needs .* 5 silos"):
        play(counting, {"fail_in": "b"}, strategy=StrategyRef("krum", {"f": 1.0}))


def test_a_silo_that_fails_is_left_out_when_the_rest_are_a_quorum(counting):
    # round 1 adds 2; in rounds 2 and 3 only a reports, which adds 1 each
    result = play(counting, {"fail_in": "b", "fail_from": 2}, quorum=1)
    assert weight(result) == 14.0


def test_a_run_without_a_quorum_fails_with_the_silos_own_words(counting):
    with pytest.raises(RunFailedError, match=r"round 1: 1 of 2 silos .* b: .*the scanner is broken"):
        play(counting, {"fail_in": "b"})


def test_a_clipped_update_moves_the_model_by_no_more_than_the_bound(counting):
    # updates 1 and 4 are clipped to 0.5 each: three rounds add 1.5
    assert weight(play(counting, clip_norm=0.5)) == pytest.approx(11.5, abs=1e-5)


def test_a_run_stops_early_when_the_metric_no_longer_improves(counting):
    # the order of the rows never changes, so ROC-AUC never improves after model 0
    rule = EarlyStopping(Metric.ROC_AUC, patience=2)
    result = play(counting, {"rounds": 50}, early_stopping=rule)
    assert result.outcome is Outcome.FINISHED
    assert result.rounds == 3  # models 1 and 2 were no better than 0; that of round 2 is known after round 3


def heart_disease(strategy: StrategyRef | None = None, **given: object) -> SimulationResult:
    app = load_app(example("heart_disease"))
    hyper = app.app.resolve({"rounds": 2, **given})
    values = app.app.hyper_values(hyper)
    rows = read_silos(app, hyper, silo_files(example("heart_disease") / "data"))
    plan = Plan(
        "test",
        AppRef(app.app.name, app.manifest.version, app.digest),
        values,
        tuple(sorted(rows)),
        rounds=values["rounds"],
        seed=values["seed"],
        strategy=strategy or StrategyRef(),
    )
    return simulate(app, plan, rows)


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    assert heart_disease().model_digest == heart_disease().model_digest
    assert heart_disease().model_digest != heart_disease(seed=7).model_digest


@pytest.mark.parametrize(
    "changed",
    [
        {"rounds": 3},
        {"epochs": 2},
        {"batch_size": 8},
        {"lr": 0.01},
        {"optimizer": "sgd"},
        {"weight_decay": 0.1},
        {"seed": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_each_hyper_parameter_changes_the_model(changed):
    assert heart_disease().model_digest != heart_disease(**changed).model_digest


def test_each_strategy_and_its_settings_change_the_model():
    digests = [
        heart_disease(StrategyRef(name, settings)).model_digest
        for name, settings in [
            ("fedavg", {}),
            ("fedprox", {"mu": 1.0}),
            ("fedprox", {"mu": 10.0}),
            ("fedavgm", {}),
            ("fedadagrad", {}),
            ("fedadam", {}),
            ("fedadam", {"lr": 0.05}),
            ("fedyogi", {}),
        ]
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.torch
def test_torch_trains_the_same_model_as_numpy_up_to_rounding():
    numpy_model, _ = payload.split_model(tensors.decode(heart_disease().model))
    torch_model, _ = payload.split_model(tensors.decode(heart_disease(backend="torch").model))
    for name, tensor in numpy_model.items():
        np.testing.assert_allclose(torch_model[name], tensor, atol=2e-5)


def test_a_model_file_carries_the_statistics_that_it_needs():
    _, statistics = payload.split_model(tensors.decode(heart_disease().model))
    assert int(statistics["mean_and_std.count"].reshape(-1)[0]) == 199 + 172 + 30 + 85


def test_scores_far_from_zero_are_counted_once_more_until_their_order_is_known(tmp_path):
    """As of a rare disease: logits of -5 to -7, which the usual bins of a masked sum know to a sixty-fourth only."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "septum.toml").write_text(MANIFEST)
    (folder / "app.py").write_text(COUNTING.replace("data.x[:, 0] * p", "data.x[:, 0] - 6 + 0 * p"))
    rng, files, rows = np.random.default_rng(1), {}, []
    for silo in "abcd":
        ill = rng.random(300) < 0.3
        x = rng.uniform(-1, 1, 300) + 0.3 * ill
        rows.append((x, ill))
        files[silo] = tmp_path / f"{silo}.csv"
        files[silo].write_text("x,ill\n" + "".join(f"{a!r},{int(b)}\n" for a, b in zip(x.tolist(), ill, strict=True)))
    seen: list[facts.Fact] = []
    result = play((load_app(folder), files), on_fact=seen.append, masking=Masking())
    of_last = [fact.metrics for fact in seen if isinstance(fact, facts.ModelMeasured) and fact.round == 3]
    exact = roc_auc(np.concatenate([x for x, _ in rows]), np.concatenate([ill for _, ill in rows]))
    assert of_last[-1] == result.metrics
    assert of_last[0].roc_auc_bound > 2 * LARGE_BOUND
    assert abs(result.metrics.roc_auc - exact) <= result.metrics.roc_auc_bound + 1e-12 <= LARGE_BOUND
    assert (of_last[0].rows, of_last[0].log_loss) == (result.metrics.rows, result.metrics.log_loss)
    assert set(result.silos) == set("abcd")
