"""Federations and attempts to test with: who is there until which step, played through both sides."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.secagg.toy import ToySigner, toy

from septum.adapters.identity.masking_primitives import openssl
from septum.errors import SecAggError
from septum.secagg.context import Place, Terms, roster_digest, threshold
from septum.secagg.fixed_point import add_wide
from septum.secagg.masks import Mask, Masker
from septum.secagg.primitives import Primitives
from septum.secagg.server import Transcript, unmasking
from septum.secagg.silo import Advert, Adverts, Bundle, Event, Party, Reveal, Signatures, State, Survivors, begin, step

PLACE = Place(run="run-1", stage="train", round=3, attempt=0)
TERMS = Terms(model="blake3:aa", plan="blake3:bb", layout="blake3:cc")
NAMES = "abcdefghijklmnopqrstuvwxyz"


@cache
def signer_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))


@dataclass(frozen=True)
class Federation:
    """Silos that have advertised their keys for one attempt."""

    keys: Mapping[str, bytes]
    primitives: Primitives
    states: dict[str, State] = field(repr=False)
    adverts: dict[str, Advert] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.keys))

    @property
    def threshold(self) -> int:
        return threshold(len(self.keys))


def federation(
    silos: int,
    *,
    real: bool = False,
    quorum: int = 0,
    place: Place = PLACE,
    seed: bytes = b"",
    primitives: Primitives | None = None,
) -> Federation:
    """Silos a, b, c, ... of one plan, all of which have begun; `primitives` in place of the real ones."""
    names = NAMES[:silos]
    primitives = primitives or (openssl() if real else toy(seed))
    signs: dict[str, Callable[[bytes], bytes]]
    if real:
        keys = {name: signer_of(name).public_key().public_bytes_raw() for name in names}
        signs = {name: signer_of(name).sign for name in names}
    else:
        keys = {name: ToySigner(name).public for name in names}
        signs = {name: ToySigner(name).sign for name in names}
    need = quorum or threshold(silos)
    begun = {name: begin(Party(name, keys, need, place), primitives, signs[name]) for name in names}
    states = {name: state for name, (state, _) in begun.items()}
    return Federation(keys, primitives, states, {name: advert for name, (_, advert) in begun.items()})


def listed(fed: Federation, **changed: Advert) -> Adverts:
    """The whole list, with these entries instead."""
    return Adverts({**fed.adverts, **changed})


def refused(state: State, event: Event, match: str) -> None:
    """The event is refused with this message."""
    with pytest.raises(SecAggError, match=match):
        step(state, event)


# --- each step, for all silos that take it ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Shared:
    states: dict[str, State]
    adverts: dict[str, Advert]
    sealed: dict[str, Mapping[str, bytes]]


def shared(fed: Federation, listed: Iterable[str]) -> Shared:
    """R1 with the list U1."""
    adverts = {name: fed.adverts[name] for name in listed}
    taken = {name: step(fed.states[name], Adverts(adverts)) for name in adverts}
    return Shared({n: s for n, (s, _) in taken.items()}, adverts, {n: sealed for n, (_, sealed) in taken.items()})


def bundle_for(sent: Shared, name: str, bundled: Iterable[str], terms: Terms = TERMS) -> Bundle:
    return Bundle({peer: sent.sealed[peer][name] for peer in bundled if peer != name}, terms)


@dataclass(frozen=True)
class Masked:
    states: dict[str, State]
    masks: dict[str, tuple[Mask, ...]]


def masked(sent: Shared, bundled: Iterable[str], terms: Terms = TERMS) -> Masked:
    """R2 with the list U2."""
    bundled = tuple(bundled)
    taken = {name: step(sent.states[name], bundle_for(sent, name, bundled, terms)) for name in bundled}
    return Masked({n: s for n, (s, _) in taken.items()}, {n: masks for n, (_, masks) in taken.items()})


def signed(done: Masked, survivors: Sequence[str], by: Iterable[str]) -> tuple[dict[str, State], dict[str, bytes]]:
    """R3 with the list U3, to those that are still there."""
    taken = {name: step(done.states[name], Survivors(tuple(survivors))) for name in by}
    return {n: s for n, (s, _) in taken.items()}, {n: signature for n, (_, signature) in taken.items()}


def revealed(states: Mapping[str, State], signatures: Mapping[str, bytes], by: Iterable[str]) -> dict[str, Reveal]:
    """R4."""
    return {name: step(states[name], Signatures(signatures))[1] for name in by}


# --- vectors -------------------------------------------------------------------------------------------------------

WORDS, WIDE = 5, 2


def vector_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Some silo's (k, 2) wide sums and words, over the whole rings."""
    rng = np.random.default_rng(ord(name))
    return rng.integers(0, 2**64, (WIDE, 2), np.uint64), rng.integers(0, 2**32, WORDS, np.uint32)


def masked_vector(masks: Sequence[Mask], primitives: Primitives, vector: tuple[np.ndarray, np.ndarray]):
    wide, words = (part.copy() for part in vector)
    masker = Masker(masks, primitives)
    masker.wide(wide)
    masker.words(words)
    return wide, words


def summed(vectors: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    wide, words = np.zeros((WIDE, 2), np.uint64), np.zeros(WORDS, np.uint32)
    for one_wide, one_words in vectors:
        add_wide(wide, one_wide)
        words += one_words
    return wide, words


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def transcript_of(fed: Federation, sent: Shared, bundled: Iterable[str], survivors: Iterable[str]) -> Transcript:
    """What the coordinator knows of an attempt at PLACE under TERMS."""
    return Transcript(PLACE, TERMS, roster_digest(fed.keys), fed.names, sent.adverts, tuple(bundled), tuple(survivors))


# --- a whole attempt -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """An attempt up to its reveals."""

    fed: Federation
    transcript: Transcript
    uploads: dict[str, tuple[np.ndarray, np.ndarray]]
    reveals: dict[str, Reveal]

    @property
    def unmasked(self) -> tuple[np.ndarray, np.ndarray]:
        masks = unmasking(self.transcript, self.reveals, self.fed.primitives)
        total = summed(self.uploads[name] for name in self.transcript.survivors)
        return masked_vector(masks, self.fed.primitives, total)

    @property
    def plain(self) -> tuple[np.ndarray, np.ndarray]:
        return summed(vector_of(name) for name in self.transcript.survivors)


def play(fed: Federation, last: Mapping[str, int] | None = None) -> Attempt:
    """Everybody takes all steps, but those in `last`: the last step R0 to R4 that such a silo takes (-1: none)."""
    last = last or {}
    there = [[name for name in fed.names if last.get(name, 4) >= at] for at in range(5)]
    sent = shared(fed, there[0])
    done = masked(sent, there[1])
    uploads = {n: masked_vector(done.masks[n], fed.primitives, vector_of(n)) for n in there[2]}
    states, signatures = signed(done, there[2], there[3])
    transcript = transcript_of(fed, sent, there[1], there[2])
    return Attempt(fed, transcript, uploads, revealed(states, signatures, there[4]))
