"""A coordinator that lies in a masked attempt: does a silo sign, reveal or send anything that it must not?

A conversation is a generator: it yields what the coordinator asks of one silo, and is sent what the silo said. `Talk`
leads one attempt as an honest coordinator does, step by step, with the other silos beside it; each of `LIES` begins so
and then asks what an honest one never does, twice. What was asked and said is in `Talk.lies`.

    talk = Talk("north", plan, "r1", identities, base)
    conversation = LIES["two lists of survivors"].tell(talk)
    asked = next(conversation)                       # for north; then, with each of its answers:
    asked = conversation.send(said)                  # until StopIteration
    assert all(isinstance(said, Failure) for _, said in talk.lies)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.masking_primitives import openssl
from septum.errors import ProtocolError
from septum.protocol.masked import layout_digest
from septum.protocol.messages import (
    Agree,
    Agreed,
    Blob,
    Instruction,
    Keys,
    MakeKeys,
    Masked,
    Revealed,
    ShareKeys,
    Shares,
    SiloMessage,
    Stage,
    Train,
    Unmask,
)
from septum.protocol.plan import Plan, digest_of
from septum.protocol.sources import layout_of, source_of
from septum.secagg import silo as machine
from septum.secagg.context import Place, Terms, threshold
from septum.secagg.messages import Advert

Conversation = Generator[Instruction, SiloMessage, None]
M = TypeVar("M")


class Talk:
    """One attempt at training round 1 of a masked run, with one silo; the others do whatever they are asked.

    identities  the keys of the others, and under the silo's own name its public key
    base        the model to train from, with its bytes
    """

    def __init__(
        self, silo: str, plan: Plan, run: str, identities: Mapping[str, Ed25519PrivateKey | bytes], base: Blob
    ) -> None:
        self.silo, self.plan, self.run, self.base = silo, plan, run, base
        self.others = tuple(other for other in plan.silos if other != silo)
        self.keys = {name: _signing(identities[name]) for name in self.others}
        self.public = {name: key if isinstance(key, bytes) else public_bytes(key) for name, key in identities.items()}
        self.place = (Stage.TRAIN, 1, 1)
        self.states: dict[str, machine.State] = {}
        self.adverts: dict[str, Advert] = {}
        self.sealed: dict[str, dict[str, bytes]] = {}  # by sender, then by recipient
        self.terms = Terms("", "", "")
        self.signature = b""  # of this silo, over all silos
        self.lies: list[tuple[Instruction, SiloMessage]] = []

    # --- as an honest coordinator does -----------------------------------------------------------------------------

    def advertised(self) -> Conversation:
        """Have all silos make keys."""
        said = _expected(Keys, (yield MakeKeys(*self.place)))
        self.adverts = {self.silo: said.advert, **self.new_adverts()}

    def shared(self) -> Conversation:
        """Have them share these keys."""
        yield from self.advertised()
        said = _expected(Shares, (yield ShareKeys(*self.place, self.adverts)))
        self.sealed = {self.silo: dict(said.sealed)}
        for name, state in self.states.items():
            self.states[name], sealed = machine.step(state, machine.Adverts(self.adverts))
            self.sealed[name] = dict(sealed)

    def worked(self) -> Conversation:
        """Have the silo train, and mask what it made."""
        yield from self.shared()
        said = _expected(Masked, (yield self.training(self.base)))
        assert said.payload.inline is not None
        layout = layout_digest(layout_of(source_of(said.payload.inline)))
        self.terms = Terms(self.base.digest, self.plan.digest, layout)

    def agreed(self) -> Conversation:
        """Have it sign the sum over all silos."""
        yield from self.worked()
        self.signature = _expected(Agreed, (yield Agree(*self.place, self.plan.silos))).signature

    def unmasked(self) -> Conversation:
        """Have it give its shares of the seeds."""
        yield from self.agreed()
        _expected(Revealed, (yield Unmask(*self.place, self.signed(self.plan.silos, self.terms))))

    # --- what there is to lie with ---------------------------------------------------------------------------------

    def lie(self, asked: Instruction) -> Conversation:
        """Ask this, and not take no for an answer."""
        for _ in range(2):
            self.lies.append((asked, (yield asked)))

    def training(self, base: Blob) -> Train:
        """The work, with what the others sealed for the silo."""
        sealed = {name: sealed[self.silo] for name, sealed in self.sealed.items() if name != self.silo}
        return Train(self.place[1], self.place[2], base, sealed)

    def new_adverts(self, public: Mapping[str, bytes] | None = None) -> dict[str, Advert]:
        """Fresh keys of the others for this attempt; `public`: by this roster, where it is not the right one."""
        place = Place(self.run, self.place[0].value, *self.place[1:])
        roster = public or self.public
        begun = {
            name: machine.begin(machine.Party(name, roster, threshold(len(roster)), place), openssl(), key.sign)
            for name, key in self.keys.items()
        }
        self.states = {name: state for name, (state, _) in begun.items()}
        return {name: advert for name, (_, advert) in begun.items()}

    def signed(self, survivors: tuple[str, ...], terms: Terms) -> dict[str, bytes]:
        """The others' signatures over a sum, each given by a silo that has signed nothing else in this attempt."""
        signatures = {}
        for name in (name for name in survivors if name != self.silo):
            sealed = {sender: sealed[name] for sender, sealed in self.sealed.items() if sender != name}
            state, _ = machine.step(self.states[name], machine.Bundle(sealed, terms))
            _, signatures[name] = machine.step(state, machine.Survivors(survivors))
        return signatures


def _signing(key: Ed25519PrivateKey | bytes) -> Ed25519PrivateKey:
    assert isinstance(key, Ed25519PrivateKey)
    return key


def _expected(kind: type[M], said: object) -> M:
    if not isinstance(said, kind):
        raise ProtocolError(f"an honest request for {kind.__name__} was answered with {said}")
    return said


# --- the lies ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lie:
    """One way to get what a coordinator is not to have. A silo refuses with `reason`, in its log as `event`."""

    tell: Callable[[Talk], Conversation]
    reason: str
    event: str = "not_exchanged"


def _without(talk: Talk, count: int = 1) -> tuple[str, ...]:
    """The silo and others, but for the last few."""
    return tuple(sorted((talk.silo, *talk.others[: len(talk.others) - count])))


def _two_lists(talk: Talk) -> Conversation:
    yield from talk.agreed()
    yield from talk.lie(Agree(*talk.place, _without(talk)))


def _too_small(talk: Talk) -> Conversation:
    yield from talk.worked()
    yield from talk.lie(Agree(*talk.place, _without(talk, 2)))


def _without_itself(talk: Talk) -> Conversation:
    yield from talk.worked()
    yield from talk.lie(Agree(*talk.place, talk.others))


def _both_shares(talk: Talk) -> Conversation:
    """The seed share of each silo is known; with the key share of the last one its vector would be bare.

    Enough signatures are shown: the silo's own, which it gave for all silos, is among them.
    """
    yield from talk.unmasked()
    signatures = {**talk.signed(_without(talk), talk.terms), talk.silo: talk.signature}
    yield from talk.lie(Unmask(*talk.place, signatures))


def _unsigned(talk: Talk) -> Conversation:
    """It signed a list over all; the others were had to sign one without it, with which its key share would be told."""
    yield from talk.agreed()
    yield from talk.lie(Unmask(*talk.place, talk.signed(talk.others, talk.terms)))


def _few_signatures(talk: Talk) -> Conversation:
    yield from talk.agreed()
    few = dict(list(talk.signed(talk.plan.silos, talk.terms).items())[:2])
    yield from talk.lie(Unmask(*talk.place, few))


def _swapped_key(talk: Talk) -> Conversation:
    """The coordinator's own keys in the place of a silo's: it could open what is sealed for that one."""
    yield from talk.advertised()
    victim, own = talk.others[-1], openssl()
    keys = [own.public_of(own.random(32)) for _ in range(2)]
    swapped = replace(talk.adverts[victim], encryption=keys[0], masking=keys[1])
    yield from talk.lie(ShareKeys(*talk.place, {**talk.adverts, victim: swapped}))


def _signed_by_another(talk: Talk) -> Conversation:
    yield from talk.advertised()
    victim, helper = talk.others[-1], talk.others[0]
    talk.keys[victim] = talk.keys[helper]
    yield from talk.lie(ShareKeys(*talk.place, {**talk.adverts, victim: talk.new_adverts()[victim]}))


def _other_roster(talk: Talk) -> Conversation:
    """The others hold a roster in which the last of them has another key, an older one say."""
    yield from talk.advertised()
    stale = {**talk.public, talk.others[-1]: public_bytes(Ed25519PrivateKey.generate())}
    yield from talk.lie(ShareKeys(*talk.place, {**talk.adverts, **talk.new_adverts(stale)}))


def _other_adverts(talk: Talk) -> Conversation:
    yield from talk.shared()
    yield from talk.lie(ShareKeys(*talk.place, {**talk.adverts, **talk.new_adverts()}))


def _replayed(talk: Talk) -> Conversation:
    """The same attempt from its beginning: new keys of this silo, the others' shares of before."""
    yield from talk.shared()
    _expected(Keys, (yield MakeKeys(*talk.place)))
    yield from talk.lie(ShareKeys(*talk.place, talk.adverts))


def _two_models(talk: Talk) -> Conversation:
    yield from talk.worked()
    yield from talk.lie(talk.training(_other_model(talk)))


def _models_to_each(talk: Talk) -> Conversation:
    yield from talk.agreed()
    other = replace(talk.terms, model=_other_model(talk).digest)
    yield from talk.lie(Unmask(*talk.place, talk.signed(talk.plan.silos, other)))


def _almost_the_same_model(talk: Talk) -> Conversation:
    """Another attempt without one silo, on a model of another digest whose updates are almost the same."""
    yield from talk.agreed()
    talk.place, talk.base = (Stage.TRAIN, 1, 2), _other_model(talk)
    yield from talk.worked()
    yield from talk.lie(Agree(*talk.place, _without(talk)))


def _other_model(talk: Talk) -> Blob:
    """One of the same shape: of its file, the last parameter is another."""
    assert talk.base.inline is not None
    data = talk.base.inline[:-4] + bytes([0, 0, 128, 64])  # 4.0, little-endian
    return Blob(digest_of(data), len(data), data)


def without_one(talk: Talk) -> Conversation:
    """A sum over all silos but one, as honest as can be: a lie only where the model was summed over all before."""
    yield from talk.worked()
    yield from talk.lie(Agree(*talk.place, _without(talk)))


LIES: Mapping[str, Lie] = MappingProxyType(
    {
        "two lists of survivors": Lie(_two_lists, "a second list of survivors: this silo signs one in an attempt"),
        "survivors below the quorum": Lie(_too_small, "the list of survivors: 2 silos of 4"),
        "survivors without the silo": Lie(_without_itself, "the list of survivors is without"),
        "both shares of one silo": Lie(_both_shares, "did not sign the survivors and terms that this silo signed"),
        "a list that others signed": Lie(_unsigned, "did not sign the survivors and terms that this silo signed"),
        "too few signatures": Lie(_few_signatures, "2 silos signed the list of survivors, 3 have to"),
        "a swapped key": Lie(_swapped_key, "is not signed by it for this attempt"),
        "an advert signed by another": Lie(_signed_by_another, "is not signed by it for this attempt"),
        "adverts by another roster": Lie(_other_roster, "is not signed by it for this attempt"),
        "other adverts for one attempt": Lie(_other_adverts, "a second list of adverts under the same keys"),
        "an attempt replayed": Lie(_replayed, "than this silo's own"),
        "two models for one attempt": Lie(_two_models, "another result under the same keys", "not_masked"),
        "almost the same model in another attempt": Lie(
            _almost_the_same_model, "signed a sum over other silos for another model of this round before"
        ),
        "another model for each silo": Lie(_models_to_each, "did not sign the survivors and terms"),
    }
)
