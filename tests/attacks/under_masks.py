"""What can a dishonest silo do to a masked run? Nobody sees its update, so what bounds it is done where it is masked.

The federation is that of the other tables. Where the silo's data or app are dishonest its agent is not: it clips,
counts and gives up as the shipped code does. A silo that runs other code masks any words it likes; then only the ring
and the other silos are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from tests.attacks.federation import SILOS, Attack, Model, Played, Sight, play
from tests.attacks.poisoning import ATTACKS, NO_ATTACK, mean_of
from tests.attacks.results import TOLERANCE
from tests.protocol.masking import Store, evaluated, rows

from septum.algorithms.strategy import strategy
from septum.errors import SecAggError, TensorError
from septum.protocol import payload, tensors
from septum.protocol.clipped import clip
from septum.protocol.contents import MASKED, UPDATE
from septum.protocol.masked import masked_pieces
from septum.protocol.messages import Stage
from septum.protocol.sources import source_of
from septum.secagg.context import threshold
from septum.secagg.fixed_point import Scale

ATTACKERS = (1, 2, 3)  # three that give up are more than a masked round of nine can lose
MAX_WEIGHT = 1000
TEST = "test_under_masks"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the plan bounds."""

    max_update: float
    clip_norm: float | None = None


TERMS = {
    "`max_update` 10": Terms(10.0),
    "`max_update` 1": Terms(1.0),
    "`max_update` 1, `clip_norm` 0.5": Terms(1.0, 0.5),
}


def masked_model(
    terms: Terms, model: Model, sent: Mapping[str, bytes], stated: Mapping[str, int], refused: list[str]
) -> Model:
    """The next model of a masked round. The masks are left out: they cancel to the last bit."""
    scale, results = Scale(SILOS, MAX_WEIGHT, terms.max_update), []
    for name, data in sorted(sent.items()):
        try:
            results.append(b"".join(masked_pieces(Stage.TRAIN, _clipped(data, terms), stated[name], scale, None)))
        except (SecAggError, TensorError) as error:
            refused.append(f"{name}: {error.message}")
    if len(results) < threshold(SILOS):
        raise SecAggError(f"{len(results)} of {SILOS} silos are left, {threshold(SILOS)} have to be")
    return summed_model(model, results, scale)


def _clipped(data: bytes, terms: Terms):
    return source_of(data if terms.clip_norm is None else clip(data, terms.clip_norm))


def summed_model(model: Model, results: list[bytes], scale: Scale) -> Model:
    """What the coordinator's own code makes of the sum."""
    store = Store()
    base = store.keep(tensors.encode(payload.model_tensors(model, {})))
    made = store.combine(Stage.TRAIN, results, strategy("fedavg"), scale, base=base)
    assert made.model is not None
    return payload.split_model(tensors.decode(store.files[made.model.digest]))[0]


# --- attacks that are made for it ------------------------------------------------------------------------------------


def largest(max_update: float, sight: Sight) -> Model:
    """As far against the honest silos as the clip lets through."""
    return {name: (-max_update * np.sign(value)).astype(np.float32) for name, value in mean_of(sight.honest).items()}


def attacks(terms: Terms) -> dict[str, Attack]:
    return {**ATTACKS, "as large as `max_update` lets through": Attack(update=partial(largest, terms.max_update))}


NAMES = tuple(name for name in attacks(Terms(1.0)) if name != NO_ATTACK)


@cache
def masked_play(terms: str, attack: str, attackers: int) -> Played:
    """Without an attack, whoever the attackers would be, nobody is dishonest."""
    if attack == NO_ATTACK and attackers:
        return masked_play(terms, attack, 0)
    given = TERMS[terms]
    return play(partial(masked_model, given), attacks(given)[attack], attackers)


def holds(terms: str, attack: str, attackers: int) -> bool:
    found, honest = masked_play(terms, attack, attackers), masked_play(terms, NO_ATTACK, 0)
    return found.made_a_model and found.accuracy >= honest.accuracy - TOLERANCE


# --- how far one silo moves the mean ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shift:
    """How far one of nine silos, of equal rows, moved one coordinate of the mean; in units of `max_update`."""

    agent: float
    own_code: float


@cache
def shift() -> Shift:
    """The honest eight send nothing but zeros; 100 rows each."""
    scale = Scale(SILOS, MAX_WEIGHT, clip=1.0)
    model = {"w": np.zeros(2000, np.float32)}

    def result(value: float) -> bytes:
        update = np.zeros(2000, np.float32)
        update[:2] = value  # one in a thousand coordinates may clip: the agent clips, and does not give up
        data = tensors.encode(payload.update_tensors({"w": update}, evaluated(*rows(1))))
        return b"".join(masked_pieces(Stage.TRAIN, source_of(data), 100, scale, None))

    honest = [result(0.0)] * (SILOS - 1)
    words = dict(tensors.decode(result(0.0)))
    words[MASKED + UPDATE + "w"] = np.full(2000, 2**31 - 1, np.uint32)
    forged = tensors.encode(words)
    moved = [summed_model(model, [*honest, last], scale)["w"][0] for last in (result(1e6), forged)]
    return Shift(*(float(one) for one in moved))
