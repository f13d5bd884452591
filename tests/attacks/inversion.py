"""Can a record be read out of an update? Where a layer has a bias it can be divided out, to the last bit.

A dense layer's gradient is sum_i e_i x_i for its weights and sum_i e_i for its bias, x_i what the layer gets for record
i. With one record their ratio is the record, whatever the labels, the rest of the network, and how many steps were
taken (Zhu and Blaschko 2021, R-GAP, start their recursion so). With several it is a mixture. Whoever chooses the model
gets them one by one all the same: units of the first layer that are open for a narrow range of one projection only,
each for a record or none (Fowl et al. 2022, "Robbing the Fed", for ReLU; here with the slope of tanh). What is divided
here is what the coordinator of a real run was sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tests.attacks.held import Ended, run_overheard
from tests.attacks.rows import Row, Verdict
from tests.attacks.victims import HIDDEN, SILOS, plan, records, write_files

from septum.protocol import tensors
from septum.protocol.contents import INITIAL, MASKED, UPDATE
from septum.protocol.messages import Stage

Vector = np.ndarray
EXACT = 1e-3  # float32 of an update of some 1e-3, and fixed point
CHANCE = 0.6  # of |correlation|: 4.8 standard deviations of that with a random direction in 64 dimensions
LAYERS = {"logistic regression": ("weight", "bias"), "a network": ("layers.0.weight", "layers.0.bias")}
TEST = "test_inversion"


def divided(update: Mapping[str, Vector], layer: tuple[str, str]) -> Vector:
    """The attack: of the unit that learned most, the change of its weights by that of its bias."""
    weight, bias = (np.asarray(update[name], np.float64) for name in layer)
    unit = int(np.argmax(np.abs(bias)))
    return weight[unit] / bias[unit]


def error(guess: Vector, record: Vector) -> float:
    """How far a guess is from the record: 0 is the record, 1 is as good as to guess the mean of all patients."""
    return float(np.linalg.norm(guess - record) / np.linalg.norm(record))


def likeness(guess: Vector, record: Vector) -> float:
    """|Correlation|, whatever the scale of the guess."""
    return abs(float(guess @ record / np.linalg.norm(guess) / np.linalg.norm(record)))


# --- what a coordinator holds ---------------------------------------------------------------------------------------


@cache
def played(model: str, *, masked: bool, rows: int = 1, epochs: int = 1) -> Ended:
    """A run of one round; the coordinator's own code and real agents."""
    hidden = 0 if model == "logistic regression" else HIDDEN
    with tempfile.TemporaryDirectory() as folder:
        app, files = write_files(Path(folder), rows)
        asked = plan(app, masked=masked, rounds=1, rows=rows, epochs=epochs, hidden=hidden)
        return run_overheard(asked, app, files, Path(folder))


def uploaded(ended: Ended, silo: str) -> dict[str, Vector]:
    """The update in what a silo sent: floats, or masked words as signed numbers."""
    sent = tensors.decode(ended.held.payloads(Stage.TRAIN)[silo])
    found = {}
    for name, array in sent.items():
        if name.startswith(UPDATE):
            found[name.removeprefix(UPDATE)] = array
        elif name.startswith(MASKED + UPDATE):
            found[name.removeprefix(MASKED + UPDATE)] = array.view(np.int32)
    return found


def summed(ended: Ended) -> dict[str, Vector]:
    """The mean over all silos: the new model minus the initial one, which came in the clear."""
    model = tensors.decode(ended.model)
    base = {
        name.removeprefix(INITIAL): array
        for sent in ended.held.payloads(Stage.PREPARE, round_=0).values()
        for name, array in tensors.decode(sent).items()
        if name.startswith(INITIAL)
    }
    return {name: model[name].astype(np.float64) - base[name] for name in base}


@dataclass(frozen=True)
class Read:
    """What the attack got at: the guess that is best for each silo's records, and the worst of these."""

    error: float
    likeness: float


def read_from(updates: Mapping[str, Mapping[str, Vector]], model: str, rows: int) -> dict[str, Read]:
    """The attack on an update for each silo, held against each of that silo's records."""
    found = {}
    for silo, update in updates.items():
        guess = divided(update, LAYERS[model])
        wanted = records(silo, rows).x.astype(np.float64)
        found[silo] = Read(
            min(error(guess, record) for record in wanted), max(likeness(guess, record) for record in wanted)
        )
    return found


@cache
def from_uploads(model: str, *, masked: bool, rows: int = 1, epochs: int = 1) -> dict[str, Read]:
    ended = played(model, masked=masked, rows=rows, epochs=epochs)
    return read_from({silo: uploaded(ended, silo) for silo in SILOS}, model, rows)


@cache
def from_sum(model: str, rows: int = 1) -> dict[str, Read]:
    total = summed(played(model, masked=True, rows=rows))
    return read_from(dict.fromkeys(SILOS, total), model, rows)


# --- in the table ---------------------------------------------------------------------------------------------------


def rows() -> list[Row]:
    found = []
    for model in LAYERS:
        what = f"division by the bias, {model}"
        hidden = from_uploads(model, masked=True).values()
        found += [
            _row(what, "a silo's plain update, 3 epochs over one record", from_uploads(model, masked=False, epochs=3)),
            _row(what, "a silo's plain update from 8 records", from_uploads(model, masked=False, rows=8)),
            _row(what, "the sum over four silos with one record each", from_sum(model)),
            _row(what, "the sum over four silos with 8 records each", from_sum(model, 8)),
            Row(
                what,
                "a silo's masked update from one record",
                Verdict.FAILS if all(read.likeness < CHANCE and read.error > 1 for read in hidden) else Verdict.IN_PART,
                "chance",
                TEST,
            ),
        ]
    return found


def _row(what: str, holds: str, reads: Mapping[str, Read]) -> Row:
    best, like = min(read.error for read in reads.values()), max(read.likeness for read in reads.values())
    verdict = Verdict.SUCCEEDS if best < EXACT else Verdict.IN_PART if like > CHANCE else Verdict.FAILS
    told = f"error {best:.2f}" if best < 1 else "error above 1"
    return Row(what, holds, verdict, f"{told}, likeness {like:.2f}", TEST)
