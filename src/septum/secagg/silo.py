"""What does a silo do, and refuse, in one attempt at a masked sum? Bonawitz et al. 2017, the malicious-server variant.

`begin` draws all secrets of the attempt; `step` takes the coordinator's messages R1 to R4 in turn, checks them, and
answers. A repeated message gets the same answer again; another message for a step that was taken raises and changes
nothing, as does every message that does not hold. (Other signatures that hold under the one list that this silo signed
are the same message: a coordinator that was killed may have collected others the second time.) So under one attempt's
keys a silo accepts one list U1, one set of terms, signs one U3, and of each other silo it reveals the share of the seed
or that of the key, never both.

That holds for one line of states: to step an old state again is to forget what was agreed to since. The caller
therefore makes its decision durable before it sends the signature of R3, and keeps no state on a disk. `step` draws
nothing, so a step that is taken twice from one state seals the same bytes: no key ever seals two messages.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, overload

from septum.errors import SecAggError
from septum.secagg.context import Place, context, hashed, key_context, roster_digest, threshold
from septum.secagg.derivation import pair_mask, sealed_data, sealing_key, self_mask
from septum.secagg.masks import Mask
from septum.secagg.messages import (
    Advert,
    Adverts,
    Bundle,
    Event,
    Reveal,
    Signatures,
    Survivors,
    adverts_digest,
    check_share,
    signed_advert,
    signed_survivors,
    sum_digest,
)
from septum.secagg.primitives import KEY_BYTES, Primitives, Sign
from septum.secagg.shamir import SHARE_BYTES, split

__all__ = [
    "Advert", "Adverts", "Bundle", "Event", "Party", "Reply", "Reveal", "Sealed", "Signatures", "State", "Survivors",
    "begin", "step",
]  # fmt: skip

Sealed: TypeAlias = Mapping[str, bytes]
Reply: TypeAlias = Sealed | tuple[Mask, ...] | bytes | Reveal


@dataclass(frozen=True, slots=True)
class Party:
    """The fixed facts of one silo in one attempt.

    `keys` are the Ed25519 public keys of all silos of the plan, from the roster that this silo has pinned. `quorum` is
    the largest of the threshold, the plan's quorum and the silo's own min_cohort: a smaller sum is refused.
    """

    name: str
    keys: Mapping[str, bytes]
    quorum: int
    place: Place

    def __post_init__(self) -> None:
        least = threshold(len(self.keys))
        if self.name not in self.keys:
            raise SecAggError(f"{self.name!r} is not one of the {len(self.keys)} silos of the plan")
        if not least <= self.quorum <= len(self.keys):
            raise SecAggError(f"a quorum of {self.quorum} of {len(self.keys)} silos; {least} is the least")
        if len(set(self.keys.values())) != len(self.keys):
            raise SecAggError("two silos of the plan have the same key: one of them would count twice")
        for name, key in self.keys.items():
            if len(key) != KEY_BYTES:
                raise SecAggError(f"the key of {name!r} has {len(key)} bytes, an Ed25519 key has {KEY_BYTES}")


@dataclass(frozen=True, slots=True)
class _Peer:
    """What this silo shares with another one of U1."""

    opening: bytes = field(repr=False)  # opens what the peer sealed for this silo
    masking: bytes = field(repr=False)  # X25519 of the two masking keys


@dataclass(frozen=True, slots=True)
class _Shared:
    """R1 was taken."""

    event: Adverts
    place: bytes  # the attempt and U1
    peers: Mapping[str, _Peer]
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class _Masked:
    """R2 was taken."""

    event: Bundle
    context: bytes
    shares: Mapping[str, bytes] = field(repr=False)  # of U2: seed share and key share, one after the other
    masks: tuple[Mask, ...]


@dataclass(frozen=True, slots=True)
class _Signed:
    """R3 was taken."""

    survivors: tuple[str, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class _Revealed:
    """R4 was taken."""

    event: Signatures
    reveal: Reveal


@dataclass(frozen=True, slots=True)
class State:
    """One silo in one attempt. Lives in memory only."""

    party: Party
    primitives: Primitives = field(repr=False)
    sign: Sign = field(repr=False)
    advert: Advert
    encryption: bytes = field(repr=False)
    masking: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    shares: Mapping[str, bytes] = field(repr=False)  # for every silo: of the seed and of the masking secret
    shared: _Shared | None = None
    masked: _Masked | None = None
    signed: _Signed | None = None
    revealed: _Revealed | None = None

    @property
    def sum(self) -> str:
        """The name of the sum that it signed; empty before."""
        return (
            "" if self.masked is None or self.signed is None else sum_digest(self.masked.context, self.signed.survivors)
        )


def begin(party: Party, primitives: Primitives, sign: Sign) -> tuple[State, Advert]:
    """R0: fresh secrets for one attempt, and the advert of their public halves. May be done while training runs."""
    encryption, masking, seed = (primitives.random(KEY_BYTES) for _ in range(3))
    public = primitives.public_of(encryption), primitives.public_of(masking)
    bound = key_context(party.place, roster_digest(party.keys))
    advert = Advert(*public, sign(signed_advert(bound, party.name, *public)))
    names, needed = sorted(party.keys), threshold(len(party.keys))
    xs = range(1, len(names) + 1)  # x is the place in the sorted roster, for everybody the same
    seeds, keys = (split(secret, needed, xs, primitives.random) for secret in (seed, masking))
    shares = {name: seeds[x] + keys[x] for x, name in zip(xs, names, strict=True)}
    return State(party, primitives, sign, advert, encryption, masking, seed, shares), advert


@overload
def step(state: State, event: Adverts) -> tuple[State, Sealed]: ...
@overload
def step(state: State, event: Bundle) -> tuple[State, tuple[Mask, ...]]: ...
@overload
def step(state: State, event: Survivors) -> tuple[State, bytes]: ...
@overload
def step(state: State, event: Signatures) -> tuple[State, Reveal]: ...
def step(state: State, event: Event) -> tuple[State, Reply]:
    """The next state, and what goes back. Raises SecAggError saying which silo or list is wrong."""
    match event:
        case Adverts():
            return _share(state, event)
        case Bundle():
            return _mask(state, event)
        case Survivors():
            return _consent(state, event)
        case Signatures():
            return _reveal(state, event)


# --- R1: everybody's keys; shares for everybody --------------------------------------------------------------------


def _share(state: State, event: Adverts) -> tuple[State, Sealed]:
    if state.shared is not None:
        if event != state.shared.event:
            raise SecAggError("a second list of adverts under the same keys: the coordinator shows different lists")
        return state, dict(state.shared.sealed)
    party, primitives, adverts = state.party, state.primitives, dict(event.adverts)
    bound = key_context(party.place, roster_digest(party.keys))
    _check_adverts(state, adverts, bound)
    place = hashed("shares", bound, adverts_digest(adverts))
    peers: dict[str, _Peer] = {}
    sealed: dict[str, bytes] = {}
    for name in sorted(adverts.keys() - {party.name}):
        encryption = _agreed(primitives, state.encryption, name, "encryption", adverts[name].encryption)
        opening = sealing_key(primitives, encryption, place, name, party.name)
        peers[name] = _Peer(opening, _agreed(primitives, state.masking, name, "masking", adverts[name].masking))
        sealing = sealing_key(primitives, encryption, place, party.name, name)
        sealed[name] = primitives.seal(sealing, state.shares[name], sealed_data(place, party.name, name))
    return replace(state, shared=_Shared(Adverts(adverts), place, peers, sealed)), dict(sealed)


def _check_adverts(state: State, adverts: Mapping[str, Advert], bound: bytes) -> None:
    party = state.party
    _check_known("the list of adverts", adverts, party.keys)
    _check_quorum("the list of adverts", len(adverts), party)
    if adverts.get(party.name) != state.advert:
        raise SecAggError(f"the list of adverts has another entry for {party.name!r} than this silo's own")
    owners: dict[bytes, str] = {}
    for name, advert in sorted(adverts.items()):
        for key in (advert.encryption, advert.masking):
            if key in owners:
                raise SecAggError(f"the adverts of {owners[key]!r} and {name!r} have the same key")
            owners[key] = name
    for name, advert in sorted((name, advert) for name, advert in adverts.items() if name != party.name):
        message = signed_advert(bound, name, advert.encryption, advert.masking)
        if not state.primitives.verify(party.keys[name], message, advert.signature):
            raise SecAggError(f"the advert of {name!r} is not signed by it for this attempt")


def _agreed(primitives: Primitives, secret: bytes, name: str, what: str, public: bytes) -> bytes:
    try:
        return primitives.agree(secret, public)
    except SecAggError as error:
        raise SecAggError(f"the {what} key of {name!r} cannot be used: {error.message}") from None


# --- R2: everybody's shares; the masks -----------------------------------------------------------------------------


def _mask(state: State, event: Bundle) -> tuple[State, tuple[Mask, ...]]:
    shared = state.shared
    if shared is None:
        raise SecAggError("sealed shares came before the list of adverts")
    if state.masked is not None:
        if event != state.masked.event:
            raise SecAggError("other sealed shares or terms under the same keys: the coordinator changed them")
        return state, state.masked.masks
    party, primitives, sealed = state.party, state.primitives, dict(event.sealed)
    _check_known("the sealed shares", sealed, shared.peers)
    _check_quorum("the sealed shares and this silo", len(sealed) + 1, party)
    digest = adverts_digest(shared.event.adverts)
    bound = context(party.place, event.terms, roster_digest(party.keys), digest)
    shares = {party.name: state.shares[party.name]}
    masks = [self_mask(primitives, state.seed, bound, party.name, 1)]
    for name, ciphertext in sorted(sealed.items()):
        shares[name] = _opened(state, shared, name, ciphertext)
        masks.append(pair_mask(primitives, shared.peers[name].masking, bound, party.name, name))
    masked = _Masked(Bundle(sealed, event.terms), bound, shares, tuple(masks))
    return replace(state, masked=masked), masked.masks


def _opened(state: State, shared: _Shared, name: str, ciphertext: bytes) -> bytes:
    key, data = shared.peers[name].opening, sealed_data(shared.place, name, state.party.name)
    try:
        shares = state.primitives.open(key, ciphertext, data)
        for share in (shares[:SHARE_BYTES], shares[SHARE_BYTES:]):
            check_share("a share", share)
    except SecAggError as error:
        raise SecAggError(f"what {name!r} sealed for {state.party.name!r} does not hold: {error.message}") from None
    return shares


# --- R3: whose vectors are summed ----------------------------------------------------------------------------------


def _consent(state: State, event: Survivors) -> tuple[State, bytes]:
    masked = state.masked
    if masked is None:
        raise SecAggError("the list of survivors came before the masked vector was made")
    survivors = tuple(sorted(event.silos))
    if state.signed is not None:
        if survivors != state.signed.survivors:
            raise SecAggError("a second list of survivors: this silo signs one in an attempt")
        return state, state.signed.signature
    party = state.party
    if len(set(survivors)) != len(survivors):
        raise SecAggError("the list of survivors has a silo twice")
    _check_known("the list of survivors", survivors, masked.shares)
    _check_quorum("the list of survivors", len(survivors), party)
    if party.name not in survivors:
        raise SecAggError(f"the list of survivors is without {party.name!r}: this silo has no part in that sum")
    signature = state.sign(signed_survivors(masked.context, survivors))
    return replace(state, signed=_Signed(survivors, signature)), signature


# --- R4: shares, once enough silos have signed the same ------------------------------------------------------------


def _reveal(state: State, event: Signatures) -> tuple[State, Reveal]:
    masked, signed = state.masked, state.signed
    if masked is None or signed is None:
        raise SecAggError("signatures came before this silo signed a list of survivors")
    if state.revealed is not None and event == state.revealed.event:
        return state, state.revealed.reveal
    party, signatures = state.party, dict(event.signatures)
    _check_known("the signatures", signatures, signed.survivors)
    needed = threshold(len(party.keys))
    if len(signatures) < needed:
        raise SecAggError(f"{len(signatures)} silos signed the list of survivors, {needed} have to")
    message = signed_survivors(masked.context, signed.survivors)
    others = [n for n, one in sorted(signatures.items()) if not state.primitives.verify(party.keys[n], message, one)]
    if len(signatures) - len(others) < needed:  # one that is none hinders nobody where the others are enough
        names = ", ".join(map(repr, others))
        raise SecAggError(f"{names} did not sign the survivors and terms that this silo signed, {needed} silos have to")
    if state.revealed is not None:
        return state, state.revealed.reveal  # it depends on the survivors alone
    seeds = {name: masked.shares[name][:SHARE_BYTES] for name in signed.survivors}
    dropped = masked.shares.keys() - set(signed.survivors)
    reveal = Reveal(seeds, {name: masked.shares[name][SHARE_BYTES:] for name in sorted(dropped)})
    return replace(state, revealed=_Revealed(Signatures(signatures), reveal)), reveal


# --- checks that several steps make --------------------------------------------------------------------------------


def _check_known(what: str, given: Iterable[str], known: Container[str]) -> None:
    strangers = sorted(name for name in given if name not in known)
    if strangers:
        raise SecAggError(f"{what} has silos that do not belong there: {', '.join(map(repr, strangers[:10]))}")


def _check_quorum(what: str, count: int, party: Party) -> None:
    if count < party.quorum:
        raise SecAggError(
            f"{what}: {count} silos of {len(party.keys)}, and {party.name!r} sums over {party.quorum} at least"
        )
