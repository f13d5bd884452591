"""What do sums of different models tell together? A silo's update about as well as the models are alike.

The journal keeps sums of one model apart. In the next round the model is another one, a silo may be missing, and the
difference of the two sums is what it sent but for how much the others' updates changed. A coordinator that means to
know hands out the same model again with one bit changed: to the journal that is another model, to training it is not.
Only noise in the silo helps against it. The silos are four that train for real, masked and summed by the machines of
both sides, with their journals.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tests.attacks.differencing import Coordinator, Made
from tests.attacks.federation import FEATURES, Model, evaluated, rows_of, trained
from tests.attacks.inversion import error, likeness
from tests.attacks.rows import Row, Verdict
from tests.silo.masked_parts import FOUR, weight_of

from septum.protocol import payload, tensors
from septum.protocol.messages import Stage, blob_of

VICTIM, OTHERS = FOUR[3], FOUR[:3]
ROUNDS = (1, 10)
CLOSE = 0.01
TEST = "test_rounds"


def file_of(model: Model) -> bytes:
    return tensors.encode(payload.model_tensors(model, {}))


def update_of(silo: str, round_: int, model: Model) -> dict[str, np.ndarray]:
    """What a silo's code makes of a model, the same each time it is asked."""
    number = FOUR.index(silo)
    return trained(silo, round_, model, rows_of(number, 120 + 20 * number, 0.3))


def flat(update: Model) -> np.ndarray:
    """In the order of a file."""
    return np.concatenate([np.ravel(update[name]) for name in sorted(update)]).astype(np.float64)


@cache
def model_of(round_: int) -> Model:
    """The model that a round starts from, when all four have taken part in those before."""
    if round_ == 1:
        return {"bias": np.zeros(1, np.float32), "weight": np.zeros((1, FEATURES), np.float32)}
    before = model_of(round_ - 1)
    made = {silo: update_of(silo, round_ - 1, before) for silo in FOUR}
    weights = [weight_of(silo) for silo in FOUR]
    return {
        name: (before[name] + np.average([made[silo][name] for silo in FOUR], axis=0, weights=weights)).astype(
            np.float32
        )
        for name in before
    }


def last_bit_changed(model: Model) -> Model:
    """The same to any training, another to its digest."""
    weight = model["weight"].copy()
    weight[0, 0] = np.nextafter(weight[0, 0], np.float32(1))
    return {**model, "weight": weight}


def made_from(round_: int, model: Model) -> Made:
    data = rows_of(99, 50, 0.0)
    by = {
        silo: tensors.encode(payload.update_tensors(update_of(silo, round_, model), evaluated(model, data)))
        for silo in FOUR
    }
    return Made(by.__getitem__, Stage.TRAIN, blob_of(file_of(model)).digest)


@dataclass(frozen=True)
class Guess:
    """How close what the adversary makes of it is to the victim's update."""

    error: float
    likeness: float


def guessed(first: tuple[int, Model], second: tuple[int, Model]) -> tuple[Guess, Guess]:
    """By the sums over all four from one model, and over three from another; and by the three alone, for comparison."""
    with tempfile.TemporaryDirectory() as folder:
        coordinator = Coordinator(Path(folder), journaled=True)
        everybody = coordinator.sum(FOUR, FOUR, 1, made_from(*first))
        fewer = coordinator.sum(FOUR, OTHERS, 2, made_from(*second))
    assert everybody is not None, coordinator.refused
    assert fewer is not None, coordinator.refused
    wanted = flat(update_of(VICTIM, *first))
    by_both = (everybody.update - fewer.update) / (everybody.rows - fewer.rows)
    return _close(by_both, wanted), _close(fewer.update / fewer.rows, wanted)


def _close(guess: Sequence[float], wanted: np.ndarray) -> Guess:
    return Guess(error(np.asarray(guess), wanted), likeness(np.asarray(guess), wanted))


@cache
def consecutive(round_: int) -> tuple[Guess, Guess]:
    return guessed((round_, model_of(round_)), (round_ + 1, model_of(round_ + 1)))


@cache
def same_but_a_bit() -> tuple[Guess, Guess]:
    model = model_of(1)
    return guessed((1, model), (1, last_bit_changed(model)))


def rows() -> list[Row]:
    found = []
    cases = [
        *((f"rounds {at} and {at + 1}, silo 4 missing in the second", consecutive(at)) for at in ROUNDS),
        ("one model twice, a bit of it changed, silo 4 left out of the second sum", same_but_a_bit()),
    ]
    for what, (got, alone) in cases:
        verdict = Verdict.SUCCEEDS if got.error < CLOSE else Verdict.IN_PART if got.error < 1 else Verdict.FAILS
        told = f"error {got.error:.2f}" if got.error < 1 else "error above 1"
        figure = f"{told}, likeness {got.likeness:.2f}; the others' mean alone: {alone.likeness:.2f}"
        found.append(
            Row("the difference of two models' sums", f"masked sums, with journals: {what}", verdict, figure, TEST)
        )
    return found
