"""From the sum of masked results to a model and metrics: the same as from its mean, and what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tests.protocol.masking import Store, bare, evaluated, masked, rows, scale, trained, unmasker

from septum.algorithms.roc_auc import roc_auc
from septum.algorithms.strategy import strategy, strategy_names
from septum.errors import SecAggError, TensorError
from septum.protocol import combine, payload, tensors
from septum.protocol.combine import Weighted
from septum.protocol.masked import sums
from septum.protocol.messages import Stage
from septum.protocol.sources import BLOCK_WIDTH, source_of
from septum.secagg.fixed_point import mean

COUNT = 2 * BLOCK_WIDTH + 5
WEIGHTS = [199, 172, 30, 85]
BY = scale(4)
FEDAVG = strategy("fedavg")


def model(count: int = COUNT) -> bytes:
    parameters = {"layer.w": np.linspace(-1, 1, count - 2, dtype=np.float32), "layer.b": np.ones(2, np.float32)}
    return tensors.encode(payload.model_tensors(parameters, {"scale.sum": np.array([1.0, 2.0])}))


def updates(round_: int, count: int = COUNT) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(round_)
    sizes = {"layer.w": count - 2, "layer.b": 2}
    return [{name: rng.uniform(-0.5, 0.5, size).astype(np.float32) for name, size in sizes.items()} for _ in WEIGHTS]


def plains(round_: int) -> list[bytes]:
    return [trained(update, evaluated(*rows(at))) for at, update in enumerate(updates(round_))]


def mean_update(results: list[bytes]) -> dict[str, np.ndarray]:
    flat = mean(np.concatenate(list(sums([source_of(one) for one in results], None).update)), sum(WEIGHTS), BY)
    return {"layer.b": flat[:2], "layer.w": flat[2:]}


@pytest.mark.parametrize("name", [name for name in strategy_names() if not strategy(name).sees_updates])
def test_every_strategy_of_the_mean_makes_of_a_masked_sum_what_it_makes_of_its_mean_as_the_only_update(name):
    """Bit for bit, over rounds, with the server optimizer's state."""
    rule, store = strategy(name), Store()
    base, optimizer = store.keep(model()), None
    plain, state = model(), None
    for round_ in range(3):
        results = masked(Stage.TRAIN, plains(round_), WEIGHTS, BY)
        made = store.combine(Stage.TRAIN, results, rule, BY, base=base, optimizer=optimizer, unmask=unmasker(4))
        open_ = [bare(Stage.TRAIN, one, w, BY) for one, w in zip(plains(round_), WEIGHTS, strict=True)]
        only = Weighted(source_of(trained(mean_update(open_))), 1)
        kept: list[bytes] = []
        before = None if state is None else source_of(state)
        plain = b"".join(combine.next_model(rule, source_of(plain), before, [only], kept.append))
        state = b"".join(kept) or None
        assert store.files[made.model.digest] == plain
        assert (None if made.optimizer is None else store.files[made.optimizer.digest]) == state
        base, optimizer = made.model, made.optimizer


def test_a_masked_model_is_as_near_to_the_plain_one_as_the_bound_says():
    store = Store()
    results = masked(Stage.TRAIN, plains(0), WEIGHTS, BY)
    made = store.combine(Stage.TRAIN, results, FEDAVG, BY, base=store.keep(model()), unmask=unmasker(4))
    weighted = [Weighted(source_of(one), w) for one, w in zip(plains(0), WEIGHTS, strict=True)]
    plain = tensors.decode(b"".join(combine.next_model(FEDAVG, source_of(model()), None, weighted, print)))
    found = tensors.decode(store.files[made.model.digest])
    bound = 4 * 1.0 / 2**32 * 4000 / sum(WEIGHTS)
    for name in ("layer.w", "layer.b"):
        assert np.abs(found[name] - plain[name]).max() <= bound + 4 * 2.0**-24  # and roundings to float32, below 2
    assert found["statistics.scale.sum"].tolist() == [1.0, 2.0]


def test_combining_twice_gives_the_same_bits():
    store, results = Store(), masked(Stage.TRAIN, plains(0), WEIGHTS, BY)
    base = store.keep(model())
    one, two = (store.combine(Stage.TRAIN, results, FEDAVG, BY, base=base, unmask=unmasker(4)) for _ in range(2))
    assert one == two


def test_metrics_are_those_of_all_rows_together_and_of_no_silo():
    store = Store()
    made = store.combine(Stage.TRAIN, masked(Stage.TRAIN, plains(0), WEIGHTS, BY), FEDAVG, BY,
                         base=store.keep(model()), unmask=unmasker(4))  # fmt: skip
    parts = [rows(at) for at in range(4)]
    logits, labels = (np.concatenate([part[at] for part in parts]) for at in range(2))
    whole, measured = evaluated(logits, labels), made.measured
    assert (measured.round, measured.silos) == (0, {})
    assert (measured.metrics.rows, measured.metrics.accuracy) == (120, whole.correct / 120)
    assert measured.metrics.log_loss == pytest.approx(whole.log_loss_sum / 120, abs=1e-15)
    assert abs(measured.metrics.roc_auc - roc_auc(logits, labels)) <= measured.metrics.roc_auc_bound <= 0.02


def test_the_last_model_is_measured_without_making_one():
    store = Store()
    given = [tensors.encode(payload.evaluation_tensors(evaluated(*rows(at)))) for at in range(4)]
    made = store.combine(Stage.EVALUATE, masked(Stage.EVALUATE, given, [0] * 4, BY), FEDAVG, BY, unmask=unmasker(4))
    assert (made.model, made.optimizer) == (None, None)
    assert (made.measured.round, made.measured.metrics.rows) == (1, 120)


def test_statistics_are_summed_into_the_initial_model_that_one_silo_made():
    store = Store()
    initial = {"w": np.linspace(0, 1, 70_000, dtype=np.float32), "b": np.zeros(1, np.float32)}
    sums_ = [{"s.n": np.array([3.0, at]), "s.x": np.array(0.1 * at)} for at in range(4)]
    given = [
        tensors.encode(payload.prepared_tensors(one, initial if at == 2 else None)) for at, one in enumerate(sums_)
    ]
    made = store.combine(Stage.PREPARE, masked(Stage.PREPARE, given, WEIGHTS, BY), FEDAVG, BY, unmask=unmasker(4))
    expected = payload.model_tensors(initial, {"s.n": np.array([12.0, 6.0]), "s.x": np.array(0.1 * 1 + 0.2 + 0.1 * 3)})
    assert store.files[made.model.digest] == tensors.encode(expected)


@pytest.mark.parametrize("makers", [0, 2])
def test_no_initial_model_or_two_are_refused(makers):
    given = [
        tensors.encode(
            payload.prepared_tensors({"s.n": np.ones(1)}, {"w": np.ones(1, np.float32)} if at < makers else None)
        )
        for at in range(4)
    ]
    with pytest.raises(TensorError, match=f"{makers} silos made an initial model, one has to"):
        Store().combine(Stage.PREPARE, masked(Stage.PREPARE, given, WEIGHTS, BY), FEDAVG, BY, unmask=unmasker(4))


# --- what cannot be ------------------------------------------------------------------------------------------------


def forged(**numbers: object) -> list[bytes]:
    """Bare results of four silos, in one of which these 128-bit sums stand."""
    results = [bare(Stage.TRAIN, one, w, BY) for one, w in zip(plains(0), WEIGHTS, strict=True)]
    content = {name: array.copy() for name, array in tensors.decode(results[0]).items()}
    for name, (at, value) in numbers.items():
        content[f"masked.{name.replace('__', '.')}"][at] = value
    return [tensors.encode(content), *results[1:]]


def wide(value: float) -> np.ndarray:
    whole = int(value * 2**64) % 2**128
    return np.array([whole % 2**64, whole >> 64], np.uint64)


@pytest.mark.parametrize(
    "numbers",
    [
        {"evaluation__sums": (0, wide(30.5))},
        {"evaluation__sums": (0, wide(-200))},
        {"evaluation__sums": (0, wide(31))},  # and the counts say 30
        {"evaluation__sums": (1, wide(500))},
        {"evaluation__sums": (1, wide(-500))},
        {"evaluation__sums": (1, wide(3.25))},
        {"evaluation__sums": (2, wide(-1e6))},
        {"evaluation__bins": ((0, 1), 7)},
    ],
    ids=repr,
)
def test_rows_and_losses_that_cannot_be_are_refused(numbers):
    store = Store()
    with pytest.raises(TensorError, match="a silo sent what cannot be"):
        store.combine(Stage.TRAIN, forged(**numbers), FEDAVG, BY, base=store.keep(model()))


@pytest.mark.parametrize(
    ("weight", "kind", "message"),
    [
        (wide(-287), TensorError, "the summed weight is 0 rows"),
        (wide(12.5), TensorError, r"the summed weight is 299\.5 rows"),
        (wide(4000), SecAggError, "a total weight of 4287 rows; 4 silos of at most 1000"),
    ],
)
def test_a_summed_weight_that_cannot_be_is_refused(weight, kind, message):
    store = Store()
    with pytest.raises(kind, match=message):
        store.combine(Stage.TRAIN, forged(weight=(0, weight)), FEDAVG, BY, base=store.keep(model()))


def test_statistics_whose_masks_were_not_taken_off_are_refused():
    """They would be numbers like any others; but the rows of all silos are a whole number, and noise is none."""
    initial = {"w": np.ones(1, np.float32)}
    given = [
        tensors.encode(payload.prepared_tensors({"s.n": np.ones(1)}, initial if not at else None)) for at in range(4)
    ]
    with pytest.raises(TensorError, match="a silo sent what cannot be"):
        Store().combine(Stage.PREPARE, masked(Stage.PREPARE, given, WEIGHTS, BY), FEDAVG, BY)


def test_an_update_of_another_length_than_the_model_is_refused():
    store = Store()
    results = masked(Stage.TRAIN, plains(0), WEIGHTS, BY)
    for count in (COUNT - 3, COUNT + 3):
        with pytest.raises(TensorError):
            store.combine(Stage.TRAIN, results, FEDAVG, BY, base=store.keep(model(count)), unmask=unmasker(4))
