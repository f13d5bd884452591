"""Can a mask be guessed? If its key is folded to a few bits, in a moment; as it is derived here, no.

Elsewhere pairwise secrets were folded to 28 to 32 bits and expanded by a generator for simulations: for two silos the
coordinator tries all seeds and sees at once which one leaves numbers instead of noise. The attack is made on real
attempts, once with the shipped derivation and once with one that folds its result, and tries the keys of the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from tests.attacks.rows import Row, Verdict
from tests.secagg.attempts import federation, masked, revealed, shared, signed, transcript_of

from septum.adapters.identity.masking_primitives import openssl
from septum.secagg.fixed_point import Scale, quantise, to_wide
from septum.secagg.masks import Mask, Masker
from septum.secagg.primitives import KEY_BYTES, Primitives
from septum.secagg.server import unmasking

BITS, WIDTH, ROWS = 16, 1000, 303
TEST = "test_guessing"


def folded(bits: int) -> Primitives:
    """The shipped primitives, but that of what is derived only some bits are kept."""
    real = openssl()

    def derive(key: bytes, salt: bytes, info: bytes) -> bytes:
        return stretched(int.from_bytes(real.derive(key, salt, info), "big") % 2**bits)

    return replace(real, derive=derive)


def stretched(seed: int) -> bytes:
    """A whole key from a few bits; everybody can do it."""
    return seed.to_bytes(KEY_BYTES, "big")


@dataclass(frozen=True)
class Held:
    """What the coordinator of two silos has of the first once all is revealed: its upload without its own mask.

    One mask is left, that of the pair. `plain`: what the silo hides, (1, 2) wide and (width,) words.
    """

    wide: np.ndarray
    words: np.ndarray
    plain: tuple[np.ndarray, np.ndarray]


def held(primitives: Primitives) -> Held:
    """An attempt of two silos with 303 rows each, by the machines of both sides."""
    fed = federation(2, primitives=primitives, real=True)
    sent = shared(fed, fed.names)
    done = masked(sent, fed.names)
    update = np.random.default_rng(9).normal(0, 0.01, WIDTH).astype(np.float32)
    words, _ = quantise(update, ROWS, Scale(silos=2, weight_cap=1000, clip=1.0))
    plain = to_wide(np.array([ROWS], np.float64), silos=2), words
    upload = [part.copy() for part in plain]
    mask(done.masks["a"], primitives, *upload)
    states, signatures = signed(done, fed.names, fed.names)
    reveals = revealed(states, signatures, fed.names)
    own, _ = unmasking(transcript_of(fed, sent, fed.names, fed.names), reveals, primitives)
    mask([own], primitives, *upload)
    return Held(*upload, plain)


def mask(masks: list[Mask] | tuple[Mask, ...], primitives: Primitives, wide: np.ndarray, words: np.ndarray) -> None:
    masker = Masker(masks, primitives)
    masker.wide(wide)
    masker.words(words)


def guessed(of: Held, key: Callable[[int], bytes] = stretched) -> np.ndarray | None:
    """Try all keys of so many bits. The right one is told by the number of rows, which is small and whole."""
    real = openssl()
    low, high = (int(part) for part in of.wide[0])
    hidden, stream = low | high << 64, bytearray(16)
    for seed in range(2**BITS):
        real.keystream(key(seed))(memoryview(stream))
        rows = (hidden - int.from_bytes(stream, "little")) % 2**128  # the first of two silos adds the pair's mask
        if rows % 2**64 == 0 and 1 <= rows >> 64 < 2**24:
            wide, words = of.wide.copy(), of.words.copy()
            mask([Mask(key(seed), -1)], real, wide, words)
            return words
    return None


@cache
def read(*, folds: bool) -> bool:
    """Whether the attack has the silo's update, to the last bit."""
    of = held(folded(BITS) if folds else openssl())
    words = guessed(of)
    return words is not None and np.array_equal(words, of.plain[1])


def rows() -> list[Row]:
    what = f"all keys of {BITS} bits tried on a pairwise mask"
    got = "the update, to the last bit"
    return [
        Row(
            what,
            holds,
            Verdict.SUCCEEDS if read(folds=folds) else Verdict.FAILS,
            got if read(folds=folds) else "no key fits; there are 2^256",
            TEST,
        )
        for holds, folds in (
            (f"an attempt of two silos, with keys folded to {BITS} bits on purpose", True),
            ("the same with the shipped derivation", False),
        )
    ]
