"""What do a silo and the coordinator say to each other in one attempt? Values that check their own shape.

A value of these classes has the right sizes; whether it may be believed is decided in `silo` and `server`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from septum.errors import SecAggError
from septum.secagg.context import Terms, hashed, pack, text
from septum.secagg.primitives import KEY_BYTES, SIGNATURE_BYTES
from septum.secagg.shamir import PRIME, SHARE_BYTES

_X25519_PRIME = 2**255 - 19  # RFC 7748 reduces what is above: two different strings would be one key


@dataclass(frozen=True, slots=True)
class Advert:
    """R0: a silo's two X25519 public keys for one attempt, signed with its Ed25519 key."""

    encryption: bytes
    masking: bytes
    signature: bytes

    def __post_init__(self) -> None:
        for what, key in (("encryption", self.encryption), ("masking", self.masking)):
            _check_size(f"the {what} key of an advert", key, KEY_BYTES)
            if int.from_bytes(key, "little") >= _X25519_PRIME:
                raise SecAggError(f"the {what} key of an advert is written in another way than the canonical one")
        _check_size("the signature of an advert", self.signature, SIGNATURE_BYTES)


@dataclass(frozen=True, slots=True)
class Adverts:
    """R1, to every silo: the whole list U1, by name."""

    adverts: Mapping[str, Advert]


@dataclass(frozen=True, slots=True)
class Bundle:
    """R2, to one silo: what each other silo of U2 sealed for it, and the terms of the round.

    `terms` are the silo's own: digests that it made of the model, plan and layout that it works with. What the
    coordinator says about them proves nothing.
    """

    sealed: Mapping[str, bytes]
    terms: Terms


@dataclass(frozen=True, slots=True)
class Survivors:
    """R3: whose masked vectors are there (U3), in any order."""

    silos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signatures:
    """R4: who signed the same survivors, by name."""

    signatures: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Reveal:
    """The reply to R4: shares of the seeds of the survivors and of the masking keys of those who dropped out."""

    seeds: Mapping[str, bytes]
    keys: Mapping[str, bytes]

    def __post_init__(self) -> None:
        both = sorted(self.seeds.keys() & self.keys.keys())
        if both:
            raise SecAggError(f"a seed share and a key share of the same silo: {', '.join(both)}")
        for what, shares in (("seed", self.seeds), ("key", self.keys)):
            for name, share in shares.items():
                check_share(f"the share of the {what} of {name!r}", share)

    def __repr__(self) -> str:  # shares are secret until t of them meet at the coordinator
        return f"Reveal(seeds of {sorted(self.seeds)}, keys of {sorted(self.keys)})"


Event: TypeAlias = Adverts | Bundle | Survivors | Signatures


def adverts_digest(adverts: Mapping[str, Advert]) -> bytes:
    """The digest of the whole list U1, 32 bytes."""
    lines = ((text(name), one.encryption, one.masking) for name, one in sorted(adverts.items()))
    return hashed("adverts", *(part for line in lines for part in line))


def signed_advert(key_context: bytes, name: str, encryption: bytes, masking: bytes) -> bytes:
    """What an advert's signature is over."""
    return pack("advert", key_context, text(name), encryption, masking)


def signed_survivors(context: bytes, survivors: tuple[str, ...]) -> bytes:
    """What an R3 signature is over. `survivors` are sorted."""
    return pack("survivors", context, *(text(name) for name in survivors))


def sum_digest(context: bytes, survivors: tuple[str, ...]) -> str:
    """The name of a sum: of what its silos sign, so of all that they agree on. Whoever took part can compute it.

    Two silos that logged the same one were asked the same: place, adverts, roster, model, plan, layout and survivors.
    """
    return f"sha256:{hashed('sum', context, *(text(name) for name in survivors)).hex()}"


def check_share(what: str, share: bytes) -> None:
    """Raise SecAggError unless these bytes are one element of the field that Shamir's shares are in."""
    _check_size(what, share, SHARE_BYTES)
    if int.from_bytes(share, "big") >= PRIME:
        raise SecAggError(f"{what} is no element of the field")


def _check_size(what: str, given: bytes, size: int) -> None:
    if len(given) != size:
        raise SecAggError(f"{what} has {len(given)} bytes instead of {size}")
