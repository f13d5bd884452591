"""What exactly do the silos of one attempt agree on? Encodings and digests that everything else is bound to.

Every list of parts is encoded with the length before each part, so two different lists never have the same bytes, and
begins with the domain and with what it is for. The length of the domain comes first: no text that these keys sign
elsewhere (HTTP requests, rosters) starts with its zero bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from septum.errors import SecAggError

DOMAIN = b"septum-secagg-v1"
MAX_SILOS = 200  # everybody talks to everybody; beyond, a sparse graph is needed, which has other thresholds and proofs
MAX_NUMBER = 2**63  # of a round or an attempt


def threshold(silos: int) -> int:
    """How many silos have to answer, out of all silos of the plan, also those that never came: floor(2n/3) + 1.

    With f <= ceil(n/3) - 1 silos that collude with the coordinator, 2t > n + f: two different sets of survivors never
    both find t signatures, because an honest silo signs one only (Bonawitz et al. 2017, section 6).

    >>> [threshold(silos) for silos in (2, 3, 4, 16, 64, 200)]
    [2, 3, 3, 11, 43, 134]
    """
    if not 2 <= silos <= MAX_SILOS:
        raise SecAggError(f"secure aggregation is for 2 to {MAX_SILOS} silos, not {silos}")
    return 2 * silos // 3 + 1


@dataclass(frozen=True, slots=True)
class Place:
    """Which attempt at which round. Keys are made for one place and are used in no other."""

    run: str
    stage: str
    round: int
    attempt: int

    def __post_init__(self) -> None:
        if not (0 <= self.round < MAX_NUMBER and 0 <= self.attempt < MAX_NUMBER):
            raise SecAggError(f"round {self.round}, attempt {self.attempt}: these are numbers from 0 on")


@dataclass(frozen=True, slots=True)
class Terms:
    """What all silos have to agree on for the sum to mean anything.

    `model` is the digest of the base model ("" before there is one), `plan` that of the plan, which fixes the silos,
    the clip, the weight cap and the quorum, `layout` that of the layout of the masked vector.
    """

    model: str
    plan: str
    layout: str


def pack(purpose: str, *parts: bytes) -> bytes:
    """The parts as one string of bytes, and from no other purpose and parts the same.

    >>> pack("x", b"a", b"bc") == pack("x", b"ab", b"c")
    False
    """
    every = (DOMAIN, purpose.encode(), *parts)
    return b"".join(len(part).to_bytes(8, "big") + part for part in every)


def text(value: str) -> bytes:
    """Its bytes. Any two strings have different ones, also those that are no valid text: a peer may send them."""
    return value.encode("utf-8", "surrogatepass")


def hashed(purpose: str, *parts: bytes) -> bytes:
    """SHA-256 of the packed parts."""
    return hashlib.sha256(pack(purpose, *parts)).digest()


def roster_digest(keys: Mapping[str, bytes]) -> str:
    """The digest of who is who: all silos of the plan with their Ed25519 public keys.

    >>> roster_digest({"b": bytes(32), "a": bytes(32)}) == roster_digest({"a": bytes(32), "b": bytes(32)})
    True
    """
    parts = (part for name, key in sorted(keys.items()) for part in (text(name), key))
    return f"sha256:{hashed('roster', *parts).hex()}"


def key_context(place: Place, roster: str) -> bytes:
    """What advertised keys and sealed shares are bound to (ctx0): known before the round's model is, 32 bytes."""
    return hashed("place", *_place(place), text(roster))


def context(place: Place, terms: Terms, roster: str, adverts: bytes) -> bytes:
    """What masks and signatures over survivors are bound to (ctx), 32 bytes. `adverts` is the digest of the list U1."""
    terms_parts = (text(terms.model), text(terms.plan), text(terms.layout))
    return hashed("terms", *_place(place), *terms_parts, text(roster), adverts)


def _place(place: Place) -> tuple[bytes, ...]:
    numbers = (place.round.to_bytes(8, "big"), place.attempt.to_bytes(8, "big"))
    return (text(place.run), text(place.stage), *numbers)
