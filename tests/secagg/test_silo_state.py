"""What a silo keeps to: the order of steps, one answer a step however often it is asked, and its secrets."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secagg.attempts import bundle_for, federation, listed, masked, play, refused, shared, signed, signer_of

from septum.errors import SecAggError
from septum.secagg.context import Place, Terms, threshold
from septum.secagg.silo import Adverts, Signatures, Survivors, begin, step


def test_no_step_can_be_left_out():
    fed = federation(4)
    sent = shared(fed, fed.names)
    done = masked(sent, fed.names)
    states, signatures = signed(done, "abcd", "abcd")
    bundle, survivors, four = bundle_for(sent, "a", fed.names), Survivors(tuple("abcd")), Signatures(signatures)
    for state, early in (
        (fed.states["a"], (bundle, survivors, four)),
        (sent.states["a"], (survivors, four)),
        (done.states["a"], (four,)),
    ):
        for event in early:
            refused(state, event, " came before ")
    assert step(states["a"], four)


@st.composite
def deliveries(draw):
    """The four messages to one silo in order, each repeated and earlier ones sent again in between."""
    order = []
    for at in range(4):
        order.append(at)
        order += draw(st.lists(st.integers(0, at), max_size=3))
    return order


@given(deliveries())
@settings(max_examples=40, deadline=None)
def test_delivering_messages_again_changes_nothing_and_gets_the_same_reply(order):
    fed = federation(4)
    sent = shared(fed, fed.names)
    done = masked(sent, fed.names)
    _, signatures = signed(done, "abc", "abc")
    events = (
        Adverts(fed.adverts),
        bundle_for(sent, "a", fed.names),
        Survivors(("a", "b", "c")),
        Signatures(signatures),
    )
    state, replies = fed.states["a"], {}
    for at in order:
        state, reply = step(state, events[at])
        assert replies.setdefault(at, reply) == reply
    assert (state.party, len(replies)) == (fed.states["a"].party, 4)


def test_what_the_caller_changes_in_a_message_afterwards_does_not_change_the_state():
    fed = federation(4)
    adverts = dict(fed.adverts)
    state, sealed = step(fed.states["a"], Adverts(adverts))
    adverts.pop("d")
    assert step(state, listed(fed)) == (state, sealed)
    kept = dict(sealed)
    for reply in (sealed, step(state, listed(fed))[1]):
        reply.clear()
        assert step(state, listed(fed))[1] == kept


def test_taking_a_step_twice_from_one_state_seals_the_same_bytes():
    """A key seals under nonce zero, so it may seal one message only; also for a caller that lost the newer state."""
    fed = federation(4, real=True)
    assert step(fed.states["a"], listed(fed))[1] == step(fed.states["a"], listed(fed))[1]


def test_no_key_seals_twice_within_an_attempt_or_for_two_lists():
    fed = federation(4)
    used = []
    spying = replace(
        fed.primitives, seal=lambda key, plain, data: used.append(key) or fed.primitives.seal(key, plain, data)
    )
    states = {name: replace(state, primitives=spying) for name, state in fed.states.items()}
    shared(replace(fed, states=states), fed.names)
    shared(replace(fed, states=states), "abc")
    assert len(used) == len(set(used)) == 4 * 3 + 3 * 2


def test_no_secret_shows_in_any_repr():
    fed = federation(4, real=True)
    sent = shared(fed, fed.names)
    done = masked(sent, fed.names)
    states, signatures = signed(done, "abc", "abc")
    state, reveal = step(states["a"], Signatures(signatures))
    secrets = [state.encryption, state.masking, state.seed, *state.shares.values(), *state.masked.shares.values()]
    secrets += [share[at:][:33] for share in state.masked.shares.values() for at in (0, 33)]
    secrets += [mask.key for mask in state.masked.masks]
    secrets += [key for peer in state.shared.peers.values() for key in (peer.opening, peer.masking)]
    shown = f"{state!r} {reveal!r} {done.masks!r} {state}"
    for secret in secrets:
        assert repr(secret)[2:-1][:24] not in shown
        assert secret.hex()[:16] not in shown
    assert repr(state.advert.masking) in shown  # what is public does show: the search above would find it


def test_begin_draws_fresh_secrets_for_each_attempt():
    fed = federation(2, real=True)
    party = fed.states["a"].party
    drawn = [begin(party, fed.primitives, signer_of("a").sign)[0] for _ in range(3)]
    assert len({secret for state in drawn for secret in (state.encryption, state.masking, state.seed)}) == 9


def test_x_is_the_place_in_the_sorted_roster_also_when_some_never_came():
    fed = federation(5)
    attempt = play(fed, {"a": -1})
    assert sorted(fed.states["b"].shares) == list("abcde")
    assert len(attempt.reveals) == 4
    assert attempt.unmasked[1].tolist() == attempt.plain[1].tolist()


def test_a_place_has_numbers_from_0_on():
    with pytest.raises(SecAggError, match="round -1"):
        Place("r", "s", -1, 0)
    with pytest.raises(SecAggError, match="attempt 9223372036854775808"):
        Place("r", "s", 0, 2**63)


def test_terms_that_are_no_valid_text_are_still_bytes():
    """JSON can carry a lone surrogate; it must not end in an error that nobody expects."""
    fed = federation(2)
    done = masked(shared(fed, "ab"), "ab", Terms("\ud800", "", ""))
    other = masked(shared(fed, "ab"), "ab", Terms("\ud801", "", ""))
    assert done.masks["a"][0].key != other.masks["a"][0].key


def test_the_threshold_leaves_no_room_for_two_lists():
    """2t > n + f for every number of silos, with f = ceil(n/3) - 1."""
    for silos in range(2, 201):
        assert 2 * threshold(silos) > silos + -(-silos // 3) - 1
        assert threshold(silos) <= silos
