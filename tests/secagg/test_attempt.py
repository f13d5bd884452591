"""Whole attempts: whoever drops out wherever, the sum is that of the survivors, bit for bit, or there is none."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secagg.attempts import (
    TERMS,
    federation,
    masked,
    masked_vector,
    play,
    revealed,
    same,
    shared,
    signed,
    summed,
    transcript_of,
    vector_of,
)

from septum.errors import SecAggError
from septum.secagg.context import threshold
from septum.secagg.fixed_point import Scale, from_wide, mean, quantise, to_wide
from septum.secagg.masks import Masker
from septum.secagg.server import unmasking
from septum.secagg.silo import Signatures, step


def at_least(names, count):
    """All subsets of at least so many."""
    return [some for size in range(count, len(names) + 1) for some in itertools.combinations(names, size)]


@pytest.mark.parametrize("silos", [2, 3, 4, 5, 6, 7])
def test_whoever_drops_out_at_whichever_step_the_sum_is_that_of_the_survivors(silos):
    fed = federation(silos)
    need, attempts = fed.threshold, 0
    for listed in at_least(fed.names, need):
        sent = shared(fed, listed)
        for bundled in at_least(listed, need):
            done = masked(sent, bundled)
            uploads = {n: masked_vector(done.masks[n], fed.primitives, vector_of(n)) for n in bundled}
            for survivors in at_least(bundled, need):
                plain, total = summed(map(vector_of, survivors)), summed(uploads[n] for n in survivors)
                transcript = transcript_of(fed, sent, bundled, survivors)
                for signing in at_least(survivors, need):
                    states, signatures = signed(done, survivors, signing)
                    reveals = revealed(states, signatures, signing)
                    for answering in at_least(signing, need):
                        masks = unmasking(transcript, {n: reveals[n] for n in answering}, fed.primitives)
                        assert same(masked_vector(masks, fed.primitives, total), plain)
                        attempts += 1
    dropouts = silos - need
    # Each silo is there to the end, or drops out at one of five steps; at most n - t of them do.
    expected = sum(comb(silos, out) * 5**out for out in range(dropouts + 1))
    assert attempts == expected


@pytest.mark.parametrize("silos", [2, 3, 4, 5, 6, 7])
def test_with_fewer_than_the_threshold_no_step_goes_on(silos):
    fed = federation(silos)
    few = fed.names[: fed.threshold - 1]
    with pytest.raises(SecAggError, match="the list of adverts: "):
        shared(fed, few)
    sent = shared(fed, fed.names)
    with pytest.raises(SecAggError, match="the sealed shares and this silo: "):
        masked(sent, few)
    done = masked(sent, fed.names)
    with pytest.raises(SecAggError, match="the list of survivors: "):
        signed(done, few, few)
    states, signatures = signed(done, fed.names, fed.names)
    with pytest.raises(SecAggError, match=rf"^{len(few)} silos signed the list of survivors, {fed.threshold} have to"):
        revealed(states, {name: signatures[name] for name in few}, fed.names)


@pytest.mark.parametrize("silos", [2, 3, 4, 7])
def test_with_fewer_reveals_than_the_threshold_nothing_is_unmasked(silos):
    attempt = play(federation(silos))
    few = dict(list(attempt.reveals.items())[: attempt.fed.threshold - 1])
    with pytest.raises(SecAggError, match="nothing can be unmasked"):
        unmasking(attempt.transcript, few, attempt.fed.primitives)


@pytest.mark.parametrize(
    ("silos", "last"),
    [
        (2, {}),
        (3, {}),
        (4, {"b": 0}),
        (4, {"d": 1}),
        (4, {"a": 2}),
        (5, {"c": 3}),
        (7, {"b": 1, "g": 1}),
        (7, {"a": 1, "d": 3}),
    ],
)
def test_it_is_so_with_the_real_primitives(silos, last):
    attempt = play(federation(silos, real=True), last)
    assert same(attempt.unmasked, attempt.plain)
    for name in attempt.transcript.survivors:
        assert not same(attempt.uploads[name], vector_of(name))


@st.composite
def dropouts(draw):
    silos = draw(st.integers(8, 12))
    out = draw(st.lists(st.integers(0, silos - 1), unique=True, max_size=silos - threshold(silos)))
    return silos, {"abcdefghijkl"[at]: draw(st.integers(-1, 3)) for at in out}


@given(dropouts())
@settings(max_examples=25, deadline=None)
def test_it_is_so_for_more_silos(history):
    silos, last = history
    attempt = play(federation(silos), last)
    assert same(attempt.unmasked, attempt.plain)


def test_the_sum_is_the_plain_fixed_point_sum_and_its_mean_is_the_weighted_mean():
    fed = federation(4, real=True)
    scale = Scale(silos=4, weight_cap=500, clip=1.0)
    rng = np.random.default_rng(7)
    updates = {name: rng.normal(0, 0.1, 1000).astype(np.float32) for name in fed.names}
    weights = dict(zip(fed.names, (120, 303, 46, 130), strict=True))
    sent = shared(fed, fed.names)
    done = masked(sent, fed.names)
    survivors = ("a", "b", "d")
    words, wide = np.zeros(1000, np.uint32), np.zeros((2, 2), np.uint64)
    plain = np.zeros(1000, np.uint32)
    for name in survivors:
        own, clipped = quantise(updates[name], weights[name], scale)
        assert clipped == 0
        plain += own
        sums = to_wide(np.array([weights[name], -0.5]), silos=4)
        one_wide, one_words = _masked(done.masks[name], fed, sums, own)
        words += one_words
        wide = _plus(wide, one_wide)
    states, signatures = signed(done, survivors, survivors)
    transcript = transcript_of(fed, sent, fed.names, survivors)
    masks = unmasking(transcript, revealed(states, signatures, survivors), fed.primitives)
    wide, words = _masked(masks, fed, wide, words)
    assert np.array_equal(words, plain)
    assert from_wide(wide).tolist() == [120 + 303 + 130, -1.5]
    expected = sum(weights[n] * updates[n].astype(np.float64) for n in survivors) / 553
    # n/2^32 * W_cap/W, and one rounding to float32
    assert np.abs(mean(words, 553, scale) - expected).max() <= 4 / 2**32 * 2000 / 553 + 2**-24


def _masked(masks, fed, wide, words):
    wide, words = wide.copy(), words.copy()
    masker = Masker(masks, fed.primitives)
    masker.wide(wide)
    masker.words(words)
    return wide, words


def _plus(one, other):
    numbers = [
        (int(a) + (int(b) << 64) + int(c) + (int(d) << 64)) % 2**128 for (a, b), (c, d) in zip(one, other, strict=True)
    ]
    return np.array([(number % 2**64, number >> 64) for number in numbers], np.uint64)


def test_two_attempts_share_no_mask():
    seen = []
    for _ in range(3):
        fed = federation(4, real=True)
        done = masked(shared(fed, fed.names), fed.names)
        seen += [{mask.key for mask in done.masks[name]} for name in fed.names]
    assert len(set().union(*seen)) == 3 * (4 + 6)  # a self mask each, and one a pair


def test_the_same_keys_under_other_terms_make_other_masks():
    """So that what is bound to another model, plan or layout does not cancel."""
    fed = federation(4)
    sent = shared(fed, fed.names)
    keys = set()
    for changed in ("model", "plan", "layout"):
        terms = type(TERMS)(**{**{f: getattr(TERMS, f) for f in ("model", "plan", "layout")}, changed: "other"})
        keys |= {mask.key for mask in masked(sent, fed.names, terms).masks["a"]}
    keys |= {mask.key for mask in masked(sent, fed.names).masks["a"]}
    assert len(keys) == 4 * 4


def test_a_silo_that_was_shown_other_terms_does_not_sign_with_the_others():
    """Pasquini et al. 2022: silos that train on different models would show each one's update."""
    fed = federation(4)
    sent = shared(fed, fed.names)
    right, wrong = masked(sent, fed.names), masked(sent, fed.names, type(TERMS)("another", TERMS.plan, TERMS.layout))
    _, signatures = signed(right, fed.names, "abc")
    states, other = signed(wrong, fed.names, "d")
    with pytest.raises(SecAggError, match="'a', 'b', 'c' did not sign the survivors and terms"):
        step(states["d"], Signatures({**signatures, **other}))


def test_masked_vectors_of_constants_are_balanced_in_every_bit():
    """Each silo uploads zeros, and every bit of every word is a fair coin.

    A bit's squared standard score has mean 1 and variance 2, so the sum over 4 silos x 32 bits is about 128 with a
    standard deviation of 16. A chi-square of 128 degrees is beyond these bounds with a probability below 1e-12.
    """
    fed = federation(4, real=True)
    done = masked(shared(fed, fed.names), fed.names)
    words, score = 20_000, 0.0
    for name in fed.names:
        vector = np.zeros(words, np.uint32)
        Masker(done.masks[name], fed.primitives).words(vector)
        bits = np.unpackbits(vector.view(np.uint8).reshape(words, 4), axis=1)  # (words, 32)
        score += float((np.square(bits.sum(axis=0, dtype=np.int64) - words / 2) / (words / 4)).sum())
    assert 40 < score < 288


def test_two_silos_use_one_mask_with_opposite_signs():
    fed = federation(3)
    done = masked(shared(fed, fed.names), fed.names)
    signs = {(name, mask.key): mask.sign for name in fed.names for mask in done.masks[name]}
    common = {key for name, key in signs if name == "a"} & {key for name, key in signs if name == "c"}
    assert [(signs["a", key], signs["c", key]) for key in common] == [(1, -1)]
