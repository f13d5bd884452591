"""Which key is for what? Everything that is derived from a secret, with the context that it is bound to.

Both sides use these functions: the silo when it seals and masks, the coordinator when it takes masks away.
"""

from __future__ import annotations

from septum.secagg.context import DOMAIN, pack, text
from septum.secagg.masks import Mask
from septum.secagg.primitives import Primitives


def sealing_key(primitives: Primitives, shared: bytes, place: bytes, sender: str, recipient: str) -> bytes:
    """The key of the one message from `sender` to `recipient` in R1: one for each direction, for a key seals once.

    `place` says which attempt and which list U1.
    """
    return primitives.derive(shared, DOMAIN, pack("seal", place, text(sender), text(recipient)))


def sealed_data(place: bytes, sender: str, recipient: str) -> bytes:
    """The associated data of that message."""
    return pack("share", place, text(sender), text(recipient))


def self_mask(primitives: Primitives, seed: bytes, context: bytes, silo: str, sign: int) -> Mask:
    """The mask that a silo alone knows until t shares of its seed meet."""
    return Mask(primitives.derive(seed, DOMAIN, pack("self", context, text(silo))), sign)


def pair_mask(primitives: Primitives, shared: bytes, context: bytes, silo: str, peer: str) -> Mask:
    """The mask of `silo` from what it shares with `peer`: the one that comes first in sorted order adds it."""
    low, high = sorted((silo, peer))
    key = primitives.derive(shared, DOMAIN, pack("pair", context, text(low), text(high)))
    return Mask(key, 1 if peer > silo else -1)
