"""What does the coordinator compute in an attempt? Checks that name a liar early, and the masks that stay in the sum.

It holds no secret: what silos reveal to it is enough for the sum over the survivors and for nothing else. Silos check
everything for themselves; the checks here only save an attempt, or say whom to leave out of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from septum.errors import SecAggError
from septum.secagg.context import Place, Terms, context, key_context, threshold
from septum.secagg.decoding import outliers
from septum.secagg.derivation import pair_mask, self_mask
from septum.secagg.masks import Mask
from septum.secagg.messages import (
    Advert,
    Reveal,
    adverts_digest,
    check_share,
    signed_advert,
    signed_survivors,
    sum_digest,
)
from septum.secagg.primitives import Primitives
from septum.secagg.shamir import Weights


@dataclass(frozen=True, slots=True)
class Transcript:
    """The public facts of an attempt, once its survivors are known.

    `silos` are all those of the plan, `roster` is the digest of their Ed25519 keys as the silos hold them, `adverts`
    the list U1, `bundled` U2, whose shares were passed on, `survivors` U3, whose masked vectors are there.
    """

    place: Place
    terms: Terms
    roster: str
    silos: tuple[str, ...]
    adverts: Mapping[str, Advert]
    bundled: tuple[str, ...]
    survivors: tuple[str, ...]
    context: bytes = field(init=False, repr=False, compare=False)  # what masks and signatures are bound to

    def __post_init__(self) -> None:
        for name in ("bundled", "survivors"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))
        lists = (
            ("U1", self.adverts, self.silos),
            ("U2", self.bundled, self.adverts),
            ("U3", self.survivors, self.bundled),
        )
        for what, inner, outer in lists:
            strangers = sorted(set(inner) - set(outer))
            if strangers or len(set(inner)) != len(inner):
                raise SecAggError(
                    f"{what} has silos twice, or such as do not belong there: {', '.join(strangers[:10])}"
                )
        if len(self.survivors) < threshold(len(self.silos)):
            raise SecAggError(f"{len(self.survivors)} survivors, {threshold(len(self.silos))} are needed")
        bound = context(self.place, self.terms, self.roster, adverts_digest(self.adverts))
        object.__setattr__(self, "context", bound)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Whose pairwise masks are in the sum, without their vectors."""
        return tuple(sorted(set(self.bundled) - set(self.survivors)))

    @property
    def sum(self) -> str:
        """The name of the sum, as its silos have it in their logs."""
        return sum_digest(self.context, self.survivors)


def check_advert(
    name: str, advert: Advert, party_key: bytes, place: Place, roster: str, primitives: Primitives
) -> None:
    """Raise SecAggError unless the silo with this Ed25519 key signed this advert for this attempt."""
    message = signed_advert(key_context(place, roster), name, advert.encryption, advert.masking)
    if not primitives.verify(party_key, message, advert.signature):
        raise SecAggError(f"the advert of {name!r} is not signed by it for this attempt")


def check_signature(transcript: Transcript, name: str, key: bytes, signature: bytes, primitives: Primitives) -> None:
    """Raise SecAggError unless a survivor with this Ed25519 key signed the survivors of this attempt."""
    if name not in transcript.survivors:
        raise SecAggError(f"{name!r} signed, but is no survivor")
    if not primitives.verify(key, signed_survivors(transcript.context, transcript.survivors), signature):
        raise SecAggError(f"{name!r} did not sign these survivors and terms")


def check_reveal(transcript: Transcript, name: str, reveal: Reveal) -> None:
    """Raise SecAggError unless a survivor revealed exactly the shares that it has to, in their form."""
    if name not in transcript.survivors:
        raise SecAggError(f"{name!r} revealed shares, but is no survivor")
    wanted = (("seeds", reveal.seeds, transcript.survivors), ("keys", reveal.keys, transcript.dropped))
    for what, shares, silos in wanted:
        wrong = sorted(shares.keys() ^ set(silos))
        if wrong:
            raise SecAggError(f"{name!r} revealed shares of too many or too few {what}: {', '.join(wrong[:10])}")
        for silo, share in shares.items():
            check_share(f"the share of {silo!r} that {name!r} revealed", share)


def unmasking(transcript: Transcript, reveals: Mapping[str, Reveal], primitives: Primitives) -> tuple[Mask, ...]:
    """The masks to add to the sum of the survivors' masked vectors, so that the plain sum is left.

    A masking key that is put together wrongly never passes: its public half was advertised. A seed has no such check.
    With exactly t reveals a wrong share of a seed cannot be told, and the sum is then noise; with more, shares that do
    not fit together raise, and `inconsistent` says whom to leave out.

    Raises:
        SecAggError: too few reveals, or one that is malformed; shares that do not fit together; a key that was not
            advertised.
    """
    needed = threshold(len(transcript.silos))
    if len(reveals) < needed:
        raise SecAggError(f"{len(reveals)} silos revealed their shares, {needed} have to: nothing can be unmasked")
    for name, reveal in reveals.items():
        check_reveal(transcript, name, reveal)
    found = _inconsistent(transcript, reveals, primitives)
    if found:
        raise SecAggError(
            f"shares do not fit together: {_told(found)}",
            hint="a new attempt; the silos that are named may be left out of it",
        )
    chosen = {name: reveals[name] for name in sorted(reveals)[:needed]}
    weights = Weights(_xs(transcript, list(chosen)))
    masks: list[Mask] = []
    for silo in transcript.survivors:
        seed = _joined(f"the seed of {silo!r}", weights, [one.seeds[silo] for one in chosen.values()])
        masks.append(self_mask(primitives, seed, transcript.context, silo, -1))
    for silo in transcript.dropped:
        secret = _joined(f"the key of {silo!r}", weights, [one.keys[silo] for one in chosen.values()])
        masks += _pair_masks(transcript, silo, secret, primitives)
    return tuple(masks)


def _joined(what: str, weights: Weights, shares: Sequence[bytes]) -> bytes:
    try:
        return weights.join(dict(zip(weights.xs, shares, strict=True)))
    except SecAggError as error:
        raise SecAggError(f"{what}: {error.message}") from None


def _pair_masks(transcript: Transcript, silo: str, secret: bytes, primitives: Primitives) -> list[Mask]:
    """The masks that a silo which dropped out would have used: they are the opposite of what the survivors did."""
    if primitives.public_of(secret) != transcript.adverts[silo].masking:
        raise SecAggError(f"the revealed shares of the key of {silo!r} make another key than it advertised")
    shared = ((other, primitives.agree(secret, transcript.adverts[other].masking)) for other in transcript.survivors)
    return [pair_mask(primitives, key, transcript.context, silo, other) for other, key in shared]


# --- shares that do not fit together -------------------------------------------------------------------------------


def inconsistent(transcript: Transcript, reveals: Mapping[str, Reveal], primitives: Primitives) -> tuple[str, ...]:
    """Whose reveals to leave out so that the others fit together; () if all fit, or if it cannot be told.

    Of r reveals with t needed, up to r - t wrong shares of a secret are noticed, and up to (r - t) // 2 silos located
    that hold wrong ones. More than that may also point to silos that did nothing wrong. Nobody can tell who is to
    blame, the silo that revealed a share or the one that made it; leaving out the first mends both.

    Raises:
        SecAggError: a reveal that is malformed.
    """
    for name, reveal in reveals.items():
        check_reveal(transcript, name, reveal)
    return tuple(
        sorted({holder for held in _inconsistent(transcript, reveals, primitives).values() for holder in held})
    )


def _inconsistent(
    transcript: Transcript, reveals: Mapping[str, Reveal], primitives: Primitives
) -> dict[str, tuple[str, ...]]:
    """Which silos' secrets have shares that do not fit, and who holds those; an unlocated one is held by ()."""
    needed = threshold(len(transcript.silos))
    holders = sorted(reveals)
    if len(holders) <= needed:
        return {}
    xs = _xs(transcript, holders)
    rows = {silo: [_number(reveals[name].seeds[silo]) for name in holders] for silo in transcript.survivors}
    rows |= {silo: [_number(reveals[name].keys[silo]) for name in holders] for silo in transcript.dropped}
    found = outliers(xs, rows, needed, primitives.random)
    return {silo: tuple(holders[at] for at in places) for silo, places in found.items()}


def _told(found: Mapping[str, tuple[str, ...]]) -> str:
    parts = (
        f"of the secret of {silo!r} "
        + (f"those held by {', '.join(map(repr, held))}" if held else "it is unknown which")
        for silo, held in sorted(found.items())
    )
    return "; ".join(parts)


def _number(share: bytes) -> int:
    return int.from_bytes(share, "big")


def _xs(transcript: Transcript, names: Sequence[str]) -> tuple[int, ...]:
    x = {name: at for at, name in enumerate(sorted(transcript.silos), 1)}
    return tuple(x[name] for name in names)
