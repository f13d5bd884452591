"""Is every strategy the same bits in blocks as in one plain loop, pure, and refused when its settings make no sense?"""

from dataclasses import replace

import numpy as np
import pytest

from septum.algorithms.fedavg import FEDAVG
from septum.algorithms.rule import CoordinateWise, Rule, WeightGiving
from septum.algorithms.strategy import strategy, strategy_names, strategy_of_rule, strategy_settings
from septum.algorithms.weighted_mean import weighted_mean
from septum.errors import ConfigError, TensorError

F = np.float32
SIZE, SILOS, ROUNDS = 150_001, 4, 3
WEIGHTS = [303, 261, 46, 130]


OF_THE_MEAN = ("fedavg", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi")
ROBUST = ("median", "trimmed-mean", "krum", "multi-krum", "geometric-median", "norm-clipping")


def in_blocks(chosen, base, rounds_of_deltas, width):
    """Runs some rounds the way the coordinator does: block after block, each with its own piece of state."""
    size = base.size
    state = chosen.start(size)
    for deltas in rounds_of_deltas:
        blocks = [slice(at, at + width) for at in range(0, size, width)]
        results = []
        for block in blocks:
            mean = chosen.combine(deltas[:, block], WEIGHTS)
            results.append(chosen.step(base[block], mean, {name: v[block] for name, v in state.items()}))
        base = np.concatenate([model for model, _ in results])
        state = {name: np.concatenate([piece[name] for _, piece in results]) for name in chosen.state_names}
    return base, state


def plain_loop(name, s, x, rounds_of_deltas):
    """The same rounds over whole vectors, written down from the papers without the code under test."""
    m = np.zeros_like(x)
    v = np.full_like(x, s["tau"] ** 2) if "tau" in s else None
    for deltas in rounds_of_deltas:
        d = np.zeros_like(x)
        for weight, delta in zip(WEIGHTS, deltas, strict=True):
            d = d + F(weight / sum(WEIGHTS)) * delta
        if name in ("fedavg", "fedprox"):
            x = x + d
            continue
        if name == "fedavgm":
            m = F(s["momentum"]) * m + d
            x = x + F(s["lr"]) * m
            continue
        m = F(s["beta_1"]) * m + F(1 - s["beta_1"]) * d
        if name == "fedadagrad":
            v = v + d * d
        if name == "fedadam":
            v = F(s["beta_2"]) * v + F(1 - s["beta_2"]) * (d * d)
        if name == "fedyogi":
            v = v - F(1 - s["beta_2"]) * (d * d) * np.sign(v - d * d)
        x = x + F(s["lr"]) * m / (np.sqrt(v) + F(s["tau"]))
    return x, {"momentum": m, "variance": v}


@pytest.fixture(scope="module")
def history():
    """A model and three rounds of deltas, at the scale of real ones: the variance of Yogi both rises and falls."""
    rng = np.random.default_rng(7)
    base = rng.normal(size=SIZE).astype(F)
    return base, [(rng.normal(size=(SILOS, SIZE)) * scale).astype(F) for scale in (1e-2, 1e-4, 3e-2)]


@pytest.mark.parametrize("width", [1_000, 10_000, 64_000, SIZE])
@pytest.mark.parametrize("name", OF_THE_MEAN)
def test_any_block_width_gives_the_bits_of_a_plain_loop(name, width, history):
    base, rounds_of_deltas = history
    chosen = strategy(name)
    model, state = in_blocks(chosen, base, rounds_of_deltas, width)
    expected, expected_state = plain_loop(name, chosen.settings, base, rounds_of_deltas)
    assert model.dtype == F
    assert model.tobytes() == expected.tobytes()
    for state_name in chosen.state_names:
        assert state[state_name].tobytes() == expected_state[state_name].tobytes()


@pytest.mark.parametrize("name", strategy_names())
def test_a_step_leaves_its_arguments_alone_and_shares_no_memory_with_them(name):
    chosen = strategy(name)
    arguments = {"base": F([1, 2]), "delta": F([0.5, -1])} | chosen.start(2)
    before = {key: value.copy() for key, value in arguments.items()}
    state = {key: arguments[key] for key in chosen.state_names}
    model, after = chosen.step(arguments["base"], arguments["delta"], state)
    for key, value in arguments.items():
        assert value.tobytes() == before[key].tobytes()
        assert not any(np.shares_memory(value, result) for result in (model, *after.values()))


@pytest.mark.parametrize("name", strategy_names())
def test_no_delta_moves_no_model_before_there_is_momentum(name):
    chosen = strategy(name)
    base = F([1.5, -2])
    model, _ = chosen.step(base, F([0, 0]), chosen.start(2))
    assert model.tolist() == base.tolist()


@pytest.mark.parametrize("name", strategy_names())
def test_the_state_has_the_names_and_the_size_it_says(name):
    chosen = strategy(name)
    state = chosen.start(5)
    _, after = chosen.step(np.ones(5, F), np.ones(5, F), state)
    for block in (state, after):
        assert tuple(block) == chosen.state_names
        assert all(value.shape == (5,) and value.dtype == F for value in block.values())


def test_the_strategies_are_these_twelve():
    assert strategy_names() == OF_THE_MEAN + ROBUST


def test_only_rules_of_the_mean_do_without_single_updates():
    assert [name for name in strategy_names() if not strategy(name).sees_updates] == list(OF_THE_MEAN)


def test_a_rule_of_ones_own_sees_the_updates_unless_it_leaves_the_mean_alone():
    mean = replace(FEDAVG, name="somebodys")
    own = replace(mean, combine=CoordinateWise(lambda *given: given[1][0]))
    assert not strategy_of_rule(mean).sees_updates
    assert strategy_of_rule(own).sees_updates
    assert strategy_of_rule(replace(mean, combine=WeightGiving(lambda *given: given[1][0]))).sees_updates


def test_a_rule_combines_in_one_of_two_shapes():
    with pytest.raises(ConfigError, match="rule 'somebodys': combine is") as caught:
        Rule("somebodys", FEDAVG.step, combine=weighted_mean)
    assert "CoordinateWise(function)" in caught.value.hint


@pytest.mark.parametrize(
    "factors",
    [np.float64([1.0]), np.float32([1, 0]), np.float64([[1, 0]]), np.float64([np.nan, 1]), np.float64([np.inf, 1])],
)
def test_factors_that_are_not_one_finite_number_a_silo_are_refused(factors):
    chosen = strategy_of_rule(replace(FEDAVG, combine=WeightGiving(lambda *_: factors)))
    with pytest.raises(TensorError, match="fedavg: its factors are"):
        chosen.weigh(np.eye(2), [1, 1])


@pytest.mark.parametrize("gram", [np.eye(3), np.eye(2, dtype=F), np.ones(2)])
def test_a_gram_matrix_that_does_not_fit_the_weights_is_refused(gram):
    with pytest.raises(TensorError, match="krum: a Gram matrix"):
        strategy("krum").weigh(gram, [1, 1])


def test_a_setting_that_is_a_number_of_silos_is_whole():
    assert strategy("trimmed-mean", {"trim": 2}).settings == {"trim": 2.0}
    with pytest.raises(ConfigError, match=r"is 1\.5; it must be whole, >= 0"):
        strategy("trimmed-mean", {"trim": 1.5})


def test_defaults_are_resolved_in_a_fixed_order():
    given_backwards = strategy("fedadam", {"tau": 0.5, "lr": 1})
    assert list(given_backwards.settings.items()) == [("lr", 1.0), ("beta_1", 0.9), ("beta_2", 0.99), ("tau", 0.5)]


def test_strategies_are_equal_when_name_and_settings_are():
    assert strategy("fedadam") == strategy("fedadam", {"tau": 1e-3})
    assert strategy("fedadam") != strategy("fedadam", {"tau": 1e-2})
    assert strategy("fedadam") != strategy("fedyogi")


def test_changing_the_given_settings_later_changes_nothing():
    given = {"lr": 0.5}
    chosen = strategy("fedavgm", given)
    given["lr"] = 9.0
    assert chosen.settings["lr"] == 0.5


def test_only_fedprox_asks_the_silos_for_a_proximal_term():
    asked = {name: strategy(name).proximal_mu for name in strategy_names()}
    assert asked == dict.fromkeys(strategy_names(), 0.0) | {"fedprox": 0.01}
    assert strategy("fedprox", {"mu": 0.25}).proximal_mu == 0.25


@pytest.mark.parametrize("ask", [strategy, strategy_settings])
def test_an_unknown_strategy_is_refused_with_the_nearest_name(ask):
    with pytest.raises(ConfigError, match="unknown strategy 'fedadm'") as caught:
        ask("fedadm")
    assert caught.value.hint == "did you mean 'fedadam'?"


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="strategy 'fedadam' has no setting 'beta1'") as caught:
        strategy("fedadam", {"beta1": 0.9})
    assert caught.value.hint == "did you mean 'beta_1'?"


def test_a_setting_for_a_strategy_without_settings_is_refused():
    with pytest.raises(ConfigError, match="no setting 'lr'") as caught:
        strategy("fedavg", {"lr": 1.0})
    assert caught.value.hint == "strategy 'fedavg' has no settings"


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "setting", "bad", "allowed"),
    [
        *[(name, "lr", bad, "> 0") for name in OF_THE_MEAN[2:] for bad in (0, -1, NAN, INF, 1e-50, 1e50)],
        *[("fedprox", "mu", bad, ">= 0") for bad in (-1e-9, NAN, INF)],
        *[("fedavgm", "momentum", bad, ">= 0 and < 1") for bad in (-0.1, 1, 1.5, NAN, 1 - 1e-12)],
        *[(name, "beta_1", bad, ">= 0 and < 1") for name in OF_THE_MEAN[3:] for bad in (-0.1, 1, NAN)],
        *[(name, "beta_2", bad, ">= 0 and < 1") for name in OF_THE_MEAN[4:] for bad in (-0.1, 1, NAN)],
        *[(name, "tau", bad, "> 0") for name in OF_THE_MEAN[3:] for bad in (0, -1e-3, NAN, INF, 1e-60)],
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_range(name, setting, bad, allowed):
    with pytest.raises(ConfigError) as caught:
        strategy(name, {setting: bad})
    assert f"setting {setting!r} of strategy {name!r}" in caught.value.message
    assert caught.value.message.endswith(f"it must be finite, {allowed}")


@pytest.mark.parametrize("bad", ["0.1", None, True, [0.1]])
def test_a_setting_that_is_no_number_is_refused(bad):
    with pytest.raises(ConfigError, match="it must be a number"):
        strategy("fedavgm", {"lr": bad})


@pytest.mark.parametrize(
    ("name", "setting", "edge"),
    [("fedprox", "mu", 0), ("fedavgm", "momentum", 0), ("fedadam", "beta_1", 0), ("fedadam", "beta_2", 0)],
)
def test_the_closed_end_of_a_range_is_allowed(name, setting, edge):
    assert strategy(name, {setting: edge}).settings[setting] == edge


def test_a_variance_that_overflows_is_an_error_and_not_a_frozen_coordinate():
    chosen = strategy("fedadam")
    with pytest.raises(TensorError, match="new variance is not finite at 1 of 2") as caught:
        chosen.step(F([1, 1]), F([1, 1e30]), chosen.start(2))
    assert "learning rate" in caught.value.hint


def test_a_model_that_overflows_is_an_error():
    chosen = strategy("fedavg")
    with pytest.raises(TensorError, match="fedavg: the new model is not finite at 2 of 3"):
        chosen.step(F([3e38, 3e38, 0]), F([3e38, 3e38, 0]), {})


@pytest.mark.parametrize("state", [{}, {"momentum": F([0, 0]), "variance": F([0, 0])}, {"velocity": F([0, 0])}])
def test_the_state_of_another_strategy_is_refused(state):
    with pytest.raises(TensorError, match="'fedavgm' keeps"):
        strategy("fedavgm").step(F([1, 1]), F([1, 1]), state)


@pytest.mark.parametrize("delta", [F([1]), F([1, 2, 3]), F([[1, 2]]), np.array([1.0, 2.0])])
def test_a_delta_that_is_not_the_models_shape_and_dtype_is_refused(delta):
    with pytest.raises(TensorError, match="fedavg: delta is"):
        strategy("fedavg").step(F([1, 1]), delta, {})


def test_state_of_another_width_is_refused():
    with pytest.raises(TensorError, match="fedavgm: momentum is"):
        strategy("fedavgm").step(F([1, 1]), F([1, 1]), {"momentum": F([0])})


def test_only_a_rule_that_adds_deltas_up_is_done_with_one_silos_at_a_time():
    def largest(settings, block, weights):
        return block.max(axis=0)

    alone = {name for name in strategy_names() if strategy(name).summands is None}
    assert alone == {"median", "trimmed-mean"}
    assert strategy_of_rule(replace(FEDAVG, combine=CoordinateWise(largest))).summands is None
