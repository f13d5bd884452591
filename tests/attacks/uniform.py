"""Can what leaves under a mask be told from random bytes? Three tests that tell plain fixed-point numbers at once."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats
from tests.attacks.rows import Row, Verdict
from tests.protocol.masking import bare, masked, scale, trained

from septum.protocol import tensors
from septum.protocol.contents import MASKED, UPDATE
from septum.protocol.messages import Stage

WIDTH, SILOS, WEIGHT = 200_000, 3, 50
UNLIKELY = 1e-9  # of random bytes to look like this
TEST = "test_uniform"


@dataclass(frozen=True)
class Looks:
    """How a vector of words looks.

    chance      the probability that random bytes are at least as uneven (chi-square over byte values and places)
    compressed  bytes after compression / bytes
    likeness    |correlation| with the plain update, in standard deviations of that of independent ones
    """

    chance: float
    compressed: float
    likeness: float

    @property
    def random(self) -> bool:
        """Whether nothing gives it away."""
        return self.chance > UNLIKELY and self.compressed >= 1 and self.likeness < 6


def looks(words: np.ndarray, plain: np.ndarray) -> Looks:
    """Words (width,) of 32 bits beside the float32 update that they may stand for."""
    places = words.view(np.uint8).reshape(-1, 4)  # the most significant byte of small numbers says most
    counts = np.stack([np.bincount(places[:, at], minlength=256) for at in range(4)])
    expected = len(words) / 256
    uneven = float(np.square(counts - expected).sum() / expected)
    chance = float(stats.chi2.sf(uneven, counts.size - 4))
    compressed = len(zlib.compress(words.tobytes(), 9)) / words.nbytes
    likeness = abs(float(np.corrcoef(words.view(np.int32), plain)[0, 1])) * np.sqrt(len(words))
    return Looks(chance, compressed, likeness)


@cache
def seen() -> dict[str, Looks]:
    """A plain vector, and the masked ones of three silos by the code that masks in an agent."""
    by = scale(SILOS)
    plain = np.random.default_rng(3).normal(0, 0.01, WIDTH).astype(np.float32)
    data = trained({"w": plain})
    sent = {"plain": bare(Stage.TRAIN, data, WEIGHT, by)}
    sent |= {f"masked {at}": one for at, one in enumerate(masked(Stage.TRAIN, [data] * SILOS, [WEIGHT] * SILOS, by))}
    return {name: looks(tensors.decode(one)[f"{MASKED}{UPDATE}w"], plain) for name, one in sent.items()}


def rows() -> list[Row]:
    what = "telling it from random bytes (chi-square, compression, correlation)"
    hidden = [found for name, found in seen().items() if name != "plain"]
    return [
        Row(
            what,
            "an update in fixed point without masks",
            Verdict.FAILS if seen()["plain"].random else Verdict.SUCCEEDS,
            f"compresses to {seen()['plain'].compressed:.2f}",
            TEST,
        ),
        Row(
            what,
            "a silo's masked update",
            Verdict.FAILS if all(found.random for found in hidden) else Verdict.SUCCEEDS,
            "chance",
            TEST,
        ),
    ]
