"""What do the sums of several attempts on one model tell together? One silo's update, unless the silos keep a journal.

The silos are the agents' own masked parts with real keys; what sums the coordinator gets, it gets as the shipped one
does. A silo that signs whatever it is asked stands for a silo without a journal.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from tests.attacks.rows import Row, Verdict
from tests.protocol.masking import bare
from tests.silo.masked_parts import BASE, FOUR, SEVEN, Parts, journal_in, masked_plan, plain_of, weight_of

from septum.adapters.identity.masking_primitives import openssl
from septum.errors import SecAggError
from septum.protocol import tensors
from septum.protocol.contents import MASKED, UPDATE, WEIGHT
from septum.protocol.masked import layout_digest, scale_of, sums
from septum.protocol.messages import Agree, Agreed, Stage
from septum.protocol.sources import layout_of, source_of
from septum.secagg.context import Place, Terms, roster_digest, threshold
from septum.secagg.masks import Masker
from septum.secagg.server import Transcript, unmasking

TEST = "test_differencing"


class NoJournal:
    """Nothing is written down, nothing is refused."""

    def __init__(self, *_: object) -> None:
        pass

    def check(self) -> None:
        pass

    def release(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Made:
    """What silos send: each one's plain result, of which stage and round, from which model (none: statistics)."""

    by: Callable[[str], bytes]
    stage: Stage = Stage.TRAIN
    base: str = BASE.digest
    round: int = 1


UPDATES = Made(plain_of)


@dataclass(frozen=True)
class Sum:
    """What a coordinator has of an attempt: summed numbers by name, and the sum of weighted updates, in words."""

    numbers: Mapping[str, np.ndarray]
    words: np.ndarray
    steps: float  # words of a unit

    @property
    def rows(self) -> float:
        return float(self.numbers[WEIGHT].item())

    @property
    def update(self) -> np.ndarray:
        return self.words.view(np.int32) / self.steps


@dataclass
class Coordinator:
    """Gets sums over sets of silos, all about one model, of silos whose journals are in a folder."""

    folder: Path
    journaled: bool
    min_cohort: int = 3
    refused: dict[str, str] = field(default_factory=dict)  # by silo: why

    def sum(
        self, silos: Sequence[str], survivors: Sequence[str], attempt: int, made: Made = UPDATES, run: str = ""
    ) -> Sum | None:
        """The sum over `survivors` in a run of these silos; None when any of them does not sign."""
        plan, survivors = masked_plan(sorted(silos), quorum=threshold(len(silos))), tuple(sorted(survivors))
        journals = journal_in if self.journaled else NoJournal
        parts = Parts(self.folder, plan, run or "-".join(silos), self.min_cohort, journals)
        where = (made.stage, made.round, attempt)
        keys = parts.advertise(where=where)
        parts.work(parts.share(keys, where), where)
        results = {silo: parts.protect(silo, where, made.base, made.by(silo)) for silo in keys}
        signed: dict[str, Agreed] = {}
        for silo in survivors:
            try:
                signed |= {silo: parts.parts[silo].answer(Agree(*where, survivors))}
            except SecAggError as error:
                self.refused[silo] = error.message
        if self.refused:
            return None
        reveals = {silo: one.reveal for silo, one in parts.unmask(signed, where).items()}
        sources = [source_of(results[silo].payload.inline or b"") for silo in survivors]
        transcript = Transcript(
            Place(parts.run, where[0].value, *where[1:]),
            Terms(made.base, plan.digest, layout_digest(layout_of(sources[0]))),
            roster_digest(parts.public),
            plan.silos,
            {silo: one.advert for silo, one in keys.items()},
            tuple(keys),
            survivors,
        )
        total = sums(sources, Masker(unmasking(transcript, reveals, openssl()), openssl()))
        words = np.concatenate([np.empty(0, np.uint32), *total.update])
        return Sum(total.numbers, words, scale_of(plan).steps)


def own(silo: str) -> Sum:
    """What a silo alone has in a run of four: the attack aims at this."""
    scale = scale_of(masked_plan(FOUR))
    words = tensors.decode(bare(Stage.TRAIN, plain_of(silo), weight_of(silo), scale))[f"{MASKED}{UPDATE}w"]
    return Sum({WEIGHT: np.array([float(weight_of(silo))])}, words, scale.steps)


# --- the attacks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    """Sums that are asked for, each as the silos of a run and those that are summed, with the factor each counts by.

    `about`: the silo whose update is what they make together.
    """

    asked: tuple[tuple[Sequence[str], Sequence[str], int], ...]
    about: str


A, B, C, D, E, F, G = SEVEN
ATTACKS = {
    "a silo left out of a second sum": Attack(((FOUR, FOUR, 1), (FOUR, (A, B, C), -1)), D),
    "three sums of which no two differ in fewer than three silos": Attack(
        (((A, B, C, D), (A, B, C, D), 1), ((A, E, F, G), (A, E, F, G), 1), (SEVEN, SEVEN, -1)), A
    ),
    "three runs, no silo in all of them": Attack(
        ((SEVEN, SEVEN, 1), ((A, B, C), (A, B, C), -1), ((D, E, F), (D, E, F), -1)), G
    ),
}


@dataclass(frozen=True)
class Got:
    """What an attack ended with: how far from the silo's own numbers, or who refused and why.

    error  of the rows and of the weighted update, relative
    bits   whether the words are the silo's to the last bit
    """

    error: float = math.inf
    bits: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)


@cache
def tried(name: str, *, journaled: bool) -> Got:
    attack = ATTACKS[name]
    with tempfile.TemporaryDirectory() as folder:
        coordinator = Coordinator(Path(folder), journaled)
        found = []
        for attempt, (silos, survivors, factor) in enumerate(attack.asked, 1):
            one = coordinator.sum(silos, survivors, attempt)
            if one is None:
                return Got(refused=coordinator.refused)
            found.append((factor, one))
    wanted = own(attack.about)
    rows = sum(factor * one.rows for factor, one in found)
    update = sum(factor * one.update for factor, one in found)
    words = sum((np.uint32(factor % 2**32) * one.words for factor, one in found), np.zeros(6, np.uint32))
    error = float(np.abs(update - wanted.update).max() / np.abs(wanted.update).max())
    return Got(max(error, abs(rows - wanted.rows) / wanted.rows), np.array_equal(words, wanted.words))


def rows() -> list[Row]:
    return [_row(name, journaled=journaled) for name in ATTACKS for journaled in (False, True)]


def number(silo: str) -> str:
    return str(1 + SEVEN.index(silo))


def _row(name: str, *, journaled: bool) -> Row:
    sets = ", ".join("{" + ",".join(map(number, survivors)) + "}" for _, survivors, _ in ATTACKS[name].asked)
    got = tried(name, journaled=journaled)
    held = f"masked sums of one model over {sets}; silos {'with' if journaled else 'without'} their journals"
    if got.refused:
        who = ", ".join(sorted(map(number, got.refused)))
        return Row(name, held, Verdict.REFUSED, f"by silo{'s' * (len(got.refused) > 1)} {who}", TEST)
    exact = "to the last bit" if got.bits else "up to the rounding of the fixed point"
    return Row(name, held, Verdict.SUCCEEDS, f"silo {number(ATTACKS[name].about)}'s update {exact}", TEST)
