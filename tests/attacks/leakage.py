"""Are records found by search where they cannot be divided out? Zhu, Liu, Han 2019 (arXiv 1906.08935), "Deep Leakage".

Dummy records are moved by L-BFGS until their gradient is the one that was seen. It needs no bias and no single record.
Here the biases of the first layer are withheld from it, by which one could divide (inversion.py), and it is given the
number of records; labels are found together with the records, as in the paper. That a search fails is no proof: another
one, or a longer one, may not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from tests.attacks.inversion import error
from tests.attacks.rows import Row, Verdict
from tests.attacks.trapping import summed
from tests.attacks.victims import SCALE
from tests.protocol.masking import masked, trained

from septum import losses
from septum.protocol import tensors
from septum.protocol.contents import MASKED, UPDATE
from septum.protocol.messages import Stage

TEST = "test_leakage"
FEATURES, HIDDEN = 32, 24
STEPS, STARTS = 150, 3
FOUND = 0.05  # a record counts as found below this error
WITHHELD = "layers.0.bias"
Vector = np.ndarray


def network() -> dict[str, Vector]:
    rng = np.random.default_rng(2)
    return {
        "layers.0.weight": rng.normal(0, FEATURES**-0.5, (HIDDEN, FEATURES)).astype(np.float32),
        "layers.0.bias": np.zeros(HIDDEN, np.float32),
        "layers.1.weight": rng.normal(0, HIDDEN**-0.5, (1, HIDDEN)).astype(np.float32),
        "layers.1.bias": np.zeros(1, np.float32),
    }


def patients(count: int) -> tuple[Vector, Vector]:
    rng = np.random.default_rng([3, count])
    return rng.normal(size=(count, FEATURES)).astype(np.float32), rng.integers(0, 2, count).astype(np.float32)


def gradient(x: Vector, y: Vector) -> dict[str, Vector]:
    """The mean gradient, by septum's own loss in float32."""
    model = network()
    out = {name: np.empty((len(x), *tensor.shape), np.float32) for name, tensor in model.items()}
    losses.perceptron(model, x, y, out)
    return {name: block.mean(axis=0) for name, block in out.items()}


def searched(seen: Mapping[str, Vector], count: int) -> Vector:
    """(count, FEATURES): records whose gradient is closest to what was seen, of some searches from random starts."""
    best: tuple[float, Vector] = (float("inf"), np.zeros((count, FEATURES)))
    for start in range(STARTS):
        found = _search(seen, count, start)
        best = min(best, found, key=lambda one: one[0])
    return best[1]


def _search(seen: Mapping[str, Vector], count: int, start: int) -> tuple[float, Vector]:
    torch.manual_seed(start)
    model = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in network().items()}
    wanted = {name: torch.tensor(np.asarray(array, np.float64)) for name, array in seen.items() if name != WITHHELD}
    size = sum(float(array.square().sum()) for array in wanted.values())
    x = torch.randn(count, FEATURES, dtype=torch.float64, requires_grad=True)
    label = torch.randn(count, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([x, label], max_iter=STEPS, history_size=50, line_search_fn="strong_wolfe")

    def distance() -> torch.Tensor:
        inner = torch.tanh(x @ model["layers.0.weight"].T + model["layers.0.bias"])
        logits = inner @ model["layers.1.weight"][0] + model["layers.1.bias"]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.sigmoid(label))
        made = torch.autograd.grad(loss, [model[name] for name in wanted], create_graph=True)
        return sum((one - two).square().sum() for one, two in zip(made, wanted.values(), strict=True)) / size

    def closure() -> torch.Tensor:
        search.zero_grad()
        off = distance()
        off.backward()
        return off

    search.step(closure)
    off = float(distance().detach())
    return (off if np.isfinite(off) else float("inf")), x.detach().numpy()


# --- what it is tried on --------------------------------------------------------------------------------------------


def hidden(made: Sequence[Mapping[str, Vector]]) -> dict[str, Vector]:
    """The first of some silos' masked updates, as the numbers that its words would stand for."""
    sent = masked(Stage.TRAIN, [trained(update) for update in made], [1] * len(made), SCALE)[0]
    words = {name.removeprefix(MASKED + UPDATE): array for name, array in tensors.decode(sent).items()}
    return {name: words[name].view(np.int32) / SCALE.steps for name in network()}


@cache
def errors(case: str) -> tuple[float, ...]:
    """Of each record, how far the closest one that was found is from it."""
    silos, count = CASES[case].silos, CASES[case].records
    x, y = patients(silos * count)
    made = [gradient(x[at : at + count], y[at : at + count]) for at in range(0, len(x), count)]
    if CASES[case].masked:
        x, seen = x[:count], hidden(made)
    else:
        seen = made[0] if silos == 1 else summed(network(), made)
    found = searched(seen, len(x)).astype(np.float64)
    return tuple(min(error(guess, record) for guess in found) for record in x.astype(np.float64))


@dataclass(frozen=True)
class Case:
    """Whose update is seen. `records`: in each silo."""

    silos: int
    records: int
    masked: bool = False


CASES = {
    "a silo's plain update from one record": Case(1, 1),
    "a silo's plain update from two records": Case(1, 2),
    "the masked sum over four silos with one record each": Case(4, 1),
    "the masked sum over four silos with 4 records each": Case(4, 4),
    "a silo's masked update from one record": Case(4, 1, masked=True),
}


def rows() -> list[Row]:
    found = []
    for case in CASES:
        best = min(errors(case))
        verdict = Verdict.SUCCEEDS if best < FOUND else Verdict.FAILS
        figure = f"error {best:.2f}" if best < FOUND else "chance" if CASES[case].masked else "no record found"
        found.append(Row("deep leakage from gradients (DLG)", case, verdict, figure, TEST))
    return found
