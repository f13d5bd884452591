"""What do sums of different models tell together? A silo's update about as well as the models are alike.

The journal keeps sums of one model apart, and of all models that are given out for one round of a run. In the next
round the model is another one, a silo may be missing, and the difference of the two sums is what it sent but for how
much the others' updates changed. A coordinator that means to know hands out the same model again, a bit of it changed,
as that of another run: to the journal it is another model, to training it is not. A silo whose `min_cohort` is all
silos signs no sum without one. The silos are four that train for real, masked and summed by the machines of both sides,
with their journals.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
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


def changed(model: Model) -> Model:
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
    return Made(by.__getitem__, Stage.TRAIN, blob_of(file_of(model)).digest, round_)


@dataclass(frozen=True)
class Guess:
    """How close what the adversary makes of it is to the victim's update."""

    error: float
    likeness: float


@dataclass(frozen=True)
class Case:
    """The second sum, over three: of which round and model after the first, in which run."""

    told: str
    first: int
    later: int
    model: Callable[[], Model]
    run: str = "a run"
    min_cohort: int = 3


@dataclass(frozen=True)
class Got:
    """What came of a case: a guess by both sums, and by the three silos' alone, for comparison; or why none."""

    both: Guess | None
    alone: Guess | None
    refused: Mapping[str, str]


def same() -> Model:
    """But for a bit."""
    return changed(model_of(1))


CASES = {
    "early": Case("rounds 1 and 2, silo 4 missing in the second", 1, 1, lambda: model_of(2)),
    "late": Case("rounds 10 and 11, silo 4 missing in the second", 10, 1, lambda: model_of(11)),
    "same round": Case("one round twice, a bit of the model changed, silo 4 left out", 1, 0, same),
    "other run": Case("one model twice, a bit of it changed in a second run, silo 4 left out", 1, 0, same, "b"),
    "all or none": Case("the same, `min_cohort` is 4", 1, 0, same, "b", 4),
}


@cache
def got(name: str) -> Got:
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        coordinator = Coordinator(Path(folder), journaled=True, min_cohort=case.min_cohort)
        first = (case.first, model_of(case.first))
        everybody = coordinator.sum(FOUR, FOUR, 1, made_from(*first), "a run")
        assert everybody is not None, coordinator.refused
        second = made_from(case.first + case.later, case.model())
        fewer = coordinator.sum(FOUR, OTHERS, 2, second, case.run)
    if fewer is None:
        return Got(None, None, coordinator.refused)
    wanted = flat(update_of(VICTIM, *first))
    by_both = (everybody.update - fewer.update) / (everybody.rows - fewer.rows)
    return Got(_close(by_both, wanted), _close(fewer.update / fewer.rows, wanted), {})


def _close(guess: Sequence[float], wanted: np.ndarray) -> Guess:
    return Guess(error(np.asarray(guess), wanted), likeness(np.asarray(guess), wanted))


def rows() -> list[Row]:
    return [_row(name) for name in CASES]


def _row(name: str) -> Row:
    what, held = "the difference of two models' sums", f"masked sums, with journals: {CASES[name].told}"
    found = got(name)
    if found.both is None or found.alone is None:
        who = ", ".join(str(1 + FOUR.index(silo)) for silo in sorted(found.refused))
        return Row(what, held, Verdict.REFUSED, f"by silos {who}", TEST)
    error_ = found.both.error
    verdict = Verdict.SUCCEEDS if error_ < CLOSE else Verdict.IN_PART if error_ < 1 else Verdict.FAILS
    told = f"error {error_:.2f}, likeness {found.both.likeness:.2f}"
    return Row(what, held, verdict, f"{told}; the others' mean alone: {found.alone.likeness:.2f}", TEST)
