"""A small federation with dishonest silos in it: real training, the checks and the engine of the coordinator.

Nine silos, each with rows of its own mixture, train one logistic regression. What a silo sends is encoded, checked and
combined by the code that a coordinator runs (`combine.check`, `combine.next_model`); a payload that is refused counts
as a silo that did not report. The coordinator sees every update: rules that need that are for runs without masking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from septum.algorithms.evaluation import Evaluation
from septum.algorithms.roc_auc import bin_counts, roc_auc
from septum.algorithms.strategy import Strategy
from septum.errors import SecAggError, TensorError
from septum.protocol import combine, payload, tensors
from septum.protocol.combine import Weighted
from septum.protocol.messages import Stage
from septum.protocol.sources import layout_of, source_of
from septum.sdk import harness, losses, optim
from septum.sdk.data import Context, Data

SILOS, FEATURES, ROUNDS, TEST_ROWS = 9, 20, 12, 4_000
NAMES = tuple(f"silo-{number}" for number in range(SILOS))
STEPS = optim.Steps(epochs=1, batch_size=16, lr=0.1)

Floats = np.ndarray
Model = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Sight:
    """What dishonest silos know: everything. `honest`: the other silos' updates of this round."""

    silo: str
    round: int
    base: Model
    own: Model
    honest: tuple[Model, ...]
    attackers: int


def truthful(sight: Sight) -> Model:
    return sight.own


@dataclass(frozen=True, slots=True)
class Attack:
    """What dishonest silos do to their rows, to their updates, and to the number of rows that they state."""

    labels: Callable[[Floats], Floats] = lambda labels: labels
    update: Callable[[Sight], Model] = truthful
    rows: Callable[[int], int] = lambda rows: rows


@dataclass(slots=True)
class Played:
    """How it went: the accuracy of the last model on rows that nobody trained with, and what was refused."""

    accuracy: float
    refused: list[str] = field(default_factory=list)
    why_none: str = ""

    @property
    def made_a_model(self) -> bool:
        return not self.why_none


def rows_of(seed: int, count: int, shift: float) -> Data:
    """Rows whose label hangs on five features; each silo sees another part of the population."""
    rng = np.random.default_rng([11, seed])
    truth = np.zeros(FEATURES)
    truth[:5] = (2.0, -1.5, 1.0, 1.0, -0.5)
    x = rng.normal(size=(count, FEATURES)) + shift * np.sin(np.arange(FEATURES) + seed)
    y = x @ truth + rng.logistic(size=count) > 0
    return Data.of({f"f{number}": x[:, number] for number in range(FEATURES)}, y.astype(float))


def trained(silo: str, round_: int, base: Model, data: Data) -> dict[str, Floats]:
    """An update, as honest code makes it."""
    context = Context(harness.rng(3, silo, round_), round_, silo, base)
    after = optim.sgd(base, losses.logistic, data, context, STEPS)
    return {name: after[name] - base[name] for name in base}


def logits(model: Model, data: Data) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        return data.x @ model["weight"][0] + model["bias"]


def evaluated(model: Model, data: Data) -> Evaluation:
    z = np.nan_to_num(logits(model, data).astype(np.float64))
    correct = int(((z > 0) == (data.y > 0.5)).sum())
    loss = float(np.logaddexp(0, np.clip(np.where(data.y > 0.5, -z, z), -50, 50)).sum())
    return Evaluation(len(data), correct, loss, roc_auc(z, data.y), bin_counts(z, data.y))


def accuracy(model: Model, data: Data) -> float:
    return float(((logits(model, data) > 0) == (data.y > 0.5)).mean())


Combine = Callable[[Model, Mapping[str, bytes], Mapping[str, int], list[str]], Model]
"""What a round makes of a model, of the silos' payloads and the rows they state; refusals are added to the list."""


def play(combined: Combine, attack: Attack, attackers: int) -> Played:
    """Some rounds in which the last `attackers` silos are dishonest."""
    test = rows_of(99, TEST_ROWS, 0.0)
    data = {name: rows_of(number, 120 + 20 * number, 0.3) for number, name in enumerate(NAMES)}
    dishonest = NAMES[SILOS - attackers :]
    for name in dishonest:
        data[name] = Data.of(
            {f"f{number}": data[name].x[:, number] for number in range(FEATURES)}, attack.labels(data[name].y)
        )
    model: Model = {"weight": np.zeros((1, FEATURES), np.float32), "bias": np.zeros(1, np.float32)}
    played = Played(0.0)
    for round_ in range(1, ROUNDS + 1):
        made = {name: trained(name, round_, model, data[name]) for name in NAMES}
        honest = tuple(made[name] for name in NAMES if name not in dishonest)
        for name in dishonest:
            made[name] = dict(attack.update(Sight(name, round_, model, made[name], honest, attackers)))
        sent = {
            name: tensors.encode(payload.update_tensors(update, evaluated(model, data[name])))
            for name, update in made.items()
        }
        stated = {name: attack.rows(len(data[name])) if name in dishonest else len(data[name]) for name in NAMES}
        try:
            model = combined(model, sent, stated, played.refused)
        except (TensorError, SecAggError) as error:
            played.why_none = error.message
            return played
    played.accuracy = accuracy(model, test)
    return played


def next_model(
    strategy: Strategy, model: Model, sent: Mapping[str, bytes], rows: Mapping[str, int], refused: list[str]
) -> Model:
    """What the coordinator makes of what arrived. Raises TensorError when it makes nothing of it."""
    base = source_of(tensors.encode(payload.model_tensors(model, {})))
    updates = []
    for name, data in sorted(sent.items()):
        try:
            combine.check(Stage.TRAIN, source_of(data), layout_of(base))
        except TensorError as error:
            refused.append(f"{name}: {error.message}")
            continue
        updates.append(Weighted(source_of(data), rows[name]))
    with np.errstate(over="ignore"):
        chunks = combine.next_model(strategy, base, None, updates, _no_state)
        return payload.split_model(tensors.decode(b"".join(chunks)))[0]


def _no_state(chunk: bytes) -> None:
    raise AssertionError("none of these strategies has a state")
