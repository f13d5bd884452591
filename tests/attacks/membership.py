"""Was a patient's record used to train the model? Two attacks on the final model, with and without private training.

The first is for anybody: who has a record and the model says "member" when the loss is low (Yeom et al. 2018). It is
made on a network that has learned its few records by heart, and counts records on both sides.

The second is what the claim of differential privacy is about: the adversary knows everything but one bit, whether one
record was there, and has trained as many models as he likes with it and without (Carlini et al. 2022, LiRA, with the
record's loss as the evidence). Each trial is a training run of its own, so the counts are binomial and the bounds of
Clopper and Pearson 1934 hold: a private model must keep true positives <= e^epsilon * false positives + delta.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from tests.attacks.rows import Row, Verdict
from tests.privacy.canary import bound

from septum import losses
from septum.adapters.accountant import epsilon_of
from septum.privacy.dp_sgd import Settings, train
from septum.sdk import optim
from septum.sdk.data import Context, Data

FEATURES, RECORDS, TRIALS, DELTA = 100, 40, 240, 1e-3
STEPS, LEARNING_RATE = 12, 1.0
SETTINGS = Settings(clip=1.0, noise_multiplier=1.5, sampling_rate=0.25, expected_batch=0.25 * RECORDS)
TEST = "test_membership"

Model = dict[str, np.ndarray]
Trainer = Callable[[Data, np.random.Generator], Model]


def people(seed: int, count: int) -> Data:
    """Records whose labels are chance: a model that knows them has learned them by heart."""
    rng = np.random.default_rng([17, seed])
    x = rng.normal(size=(count, FEATURES))
    return Data.of({f"f{at}": x[:, at] for at in range(FEATURES)}, rng.integers(0, 2, count).astype(float))


def zeros() -> Model:
    return {"weight": np.zeros((1, FEATURES), np.float32), "bias": np.zeros(1, np.float32)}


def plainly(data: Data, rng: np.random.Generator) -> Model:
    context = Context(rng, 1, "silo", zeros())
    steps = optim.Steps(epochs=STEPS, batch_size=len(data), lr=LEARNING_RATE)
    return optim.sgd(zeros(), losses.logistic, data, context, steps)


def privately(data: Data, rng: np.random.Generator) -> Model:
    rate = LEARNING_RATE
    return train(losses.logistic, zeros(), data.x, data.y, SETTINGS, steps=STEPS, learning_rate=rate, random=rng.bytes)


TRAINERS: dict[str, Trainer] = {"plain": plainly, "private": privately}


def loss_of(model: Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    towards = np.where(y > 0.5, 1, -1) * (x @ model["weight"][0] + model["bias"])
    return np.logaddexp(0, -towards.astype(np.float64))


# --- by loss, for anybody -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """Shares of members and of others that are called members."""

    true: float
    false: float


@cache
def by_loss(trainer: str) -> Rates:
    """Over 25 models with 40 members and as many others each; the threshold lets in one in ten of records like them."""
    true, false = [], []
    for seed in range(25):
        members, others, known = (people(10 * seed + at, RECORDS) for at in (1, 2, 3))
        model = TRAINERS[trainer](members, np.random.default_rng([5, seed]))
        threshold = np.quantile(loss_of(model, known.x, known.y), 0.1)
        true.append(np.mean(loss_of(model, members.x, members.y) < threshold))
        false.append(np.mean(loss_of(model, others.x, others.y) < threshold))
    return Rates(float(np.mean(true)), float(np.mean(false)))


# --- by everything but one bit --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """Of as many models with the record as without: how many were said to have it; and what is thereby shown.

    epsilon  at least this, with 95 % confidence
    """

    true: int
    false: int
    trials: int
    epsilon: float


@cache
def by_shadows(trainer: str) -> Shown:
    """Half of the models choose the threshold, the other half say how good it is."""
    rest = people(0, RECORDS - 1)
    x, y = np.full((1, FEATURES), 2.0, np.float32), np.ones(1, np.float32)  # a patient unlike the others
    present = Data.of(
        {f"f{at}": np.append(rest.x[:, at], x[0, at]) for at in range(FEATURES)}, np.append(rest.y, y).astype(float)
    )
    losses_of = {
        there: np.array(
            [
                loss_of(TRAINERS[trainer](data, np.random.default_rng([23, there, trial])), x, y)[0]
                for trial in range(TRIALS)
            ]
        )
        for there, data in ((0, rest), (1, present))
    }
    half = TRIALS // 2
    absent, there = losses_of[0], losses_of[1]
    seen = np.unique(np.concatenate([absent[:half], there[:half]]))
    thresholds = (seen[1:] + seen[:-1]) / 2
    chosen = max(thresholds, key=lambda t: bound(np.sum(absent[:half] <= t), np.sum(there[:half] <= t), half, DELTA))
    false, true = int(np.sum(absent[half:] <= chosen)), int(np.sum(there[half:] <= chosen))
    return Shown(true, false, half, bound(false, true, half, DELTA))


@cache
def accounted() -> float:
    return epsilon_of([SETTINGS.mechanism(STEPS)], DELTA)


def within(shown: Shown) -> bool:
    """Whether the confidence interval leaves room for true <= e^epsilon * false + delta at the accounted epsilon."""
    return shown.epsilon <= accounted()


def rows() -> list[Row]:
    found = []
    for trainer, how in (("plain", "without privacy"), ("private", f"by DP-SGD of epsilon {accounted():.2f}")):
        rates, shown = by_loss(trainer), by_shadows(trainer)
        gain = rates.true - rates.false
        held = f"the final model, trained {how} on {RECORDS} records"
        figure = f"true positives {rates.true:.2f} at false positives {rates.false:.2f}"
        verdict = Verdict.SUCCEEDS if gain > 0.3 else Verdict.FAILS if gain < 0.1 else Verdict.IN_PART
        found.append(Row("membership by low loss", held, verdict, figure, TEST))
        most = math.exp(min(accounted(), 50)) * shown.false / shown.trials + DELTA
        figure = (
            f"true positives {shown.true / shown.trials:.2f} at {shown.false / shown.trials:.2f}, where epsilon "
            f"{accounted():.2f} allows {min(most, 1):.2f}; epsilon is {max(shown.epsilon, 0):.2f} at least"
        )
        verdict = Verdict.FAILS if within(shown) else Verdict.SUCCEEDS
        held = f"all but whether one record was there; models trained {how}"
        found.append(Row("membership by shadow models", held, verdict, figure, TEST))
    return found
