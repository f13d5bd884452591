"""Masks are made from all bits of what two silos share, and nothing that would tell them leaves beside them."""

import itertools

import pytest
from tests.attacks.guessing import read
from tests.attacks.inversion import LAYERS, played
from tests.attacks.victims import FEATURES, SCALE
from tests.secagg.attempts import PLACE, federation, play

from septum.adapters.identity.masking_primitives import openssl
from septum.protocol import tensors
from septum.protocol.codec import encode
from septum.protocol.contents import MASKED, UPDATE
from septum.protocol.masked import masked_pieces
from septum.protocol.messages import Masked, Report, Stage
from septum.protocol.sources import source_of
from septum.secagg.derivation import pair_mask, self_mask

pytestmark = pytest.mark.attacks

REAL, CONTEXT = openssl(), b"c" * 32


def stream(key):
    buffer = bytearray(64)
    REAL.keystream(key)(memoryview(buffer))
    return bytes(buffer)


def flipped(secret, bit):
    return (int.from_bytes(secret, "big") ^ 1 << bit).to_bytes(len(secret), "big")


def test_a_folded_key_is_guessed_and_the_update_read_to_the_last_bit():
    assert read(folds=True)


def test_the_same_guesses_find_nothing_under_the_shipped_derivation():
    assert not read(folds=False)


@pytest.mark.parametrize(
    "made",
    [
        lambda secret: pair_mask(REAL, secret, CONTEXT, "a", "b").key,
        lambda secret: self_mask(REAL, secret, CONTEXT, "a", 1).key,
    ],
    ids=["of a pair", "of a silo alone"],
)
def test_every_single_bit_of_a_secret_changes_the_keystream_from_its_first_block_on(made):
    secret = REAL.random(32)
    streams = {stream(made(one)) for one in (secret, *(flipped(secret, bit) for bit in range(256)))}
    assert len({one[:16] for one in streams}) == 257


def test_the_masks_of_ten_thousand_pairs_are_all_different():
    secrets = [REAL.random(32) for _ in range(142)]
    public = [REAL.public_of(secret) for secret in secrets]
    pairs = list(itertools.combinations(range(142), 2))
    assert len(pairs) > 10_000
    keys = {
        pair_mask(REAL, REAL.agree(secrets[one], public[other]), CONTEXT, f"s{one:03}", f"s{other:03}").key
        for one, other in pairs
    }
    assert len({stream(key)[:16] for key in keys}) == len(pairs)


def test_no_secret_of_an_attempt_is_in_anything_that_leaves_and_no_public_key_is_one():
    fed = federation(4, real=True, place=PLACE)
    attempt = play(fed, {"d": 2})
    left = b"".join(
        [repr(sorted(fed.adverts.items())).encode()]
        + [key for advert in fed.adverts.values() for key in (advert.encryption, advert.masking, advert.signature)]
        + [part.tobytes() for upload in attempt.uploads.values() for part in upload]
        + [share for reveal in attempt.reveals.values() for share in (*reveal.seeds.values(), *reveal.keys.values())]
    )
    for name, state in fed.states.items():
        assert state.encryption not in (fed.adverts[name].encryption, fed.adverts[name].masking)
        assert fed.adverts[name].encryption in left
        for secret in (state.encryption, state.masking, state.seed):
            assert len(set(secret)) > 8
            assert secret not in left


@pytest.mark.parametrize("model", LAYERS)
def test_no_silos_own_numbers_are_beside_its_mask(model):
    """Neither as floats nor in fixed point. In a run without masks the same search finds them."""
    plain, hidden = (played(model, masked=masked).held for masked in (False, True))
    sent = {name: everything(held) for name, held in (("plain", plain), ("masked", hidden))}
    weight, _ = LAYERS[model]
    for silo, data in plain.payloads(Stage.TRAIN).items():
        bare = b"".join(masked_pieces(Stage.TRAIN, source_of(data), 1, SCALE, None))
        floats = tensors.decode(data)[UPDATE + weight].tobytes()
        words = tensors.decode(bare)[MASKED + UPDATE + weight].tobytes()
        assert len(floats) == len(words) >= 4 * FEATURES
        assert floats in sent["plain"]
        assert floats not in sent["masked"]
        assert words not in sent["masked"], silo


def everything(held):
    """All bytes that a coordinator was sent."""
    inline = [message.payload.inline or b"" for _, message in held.messages if isinstance(message, Report | Masked)]
    return b"\0".join([*(encode(message) for _, message in held.messages), *inline, *held.files.values()])
