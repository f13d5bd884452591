import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.token import (
    MAX_TOKEN_CHARS,
    check_enrolment,
    enrolment,
    make_token,
    new_secret,
    read_token,
    token_hash,
)
from septum.errors import AuthError, ConfigError
from septum.protocol.codec import decode, encode
from septum.protocol.messages import Enroll

SECRET = bytes(range(32))
CA = "sha256:" + "0f" * 32
NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(NAMES, st.binary(min_size=32, max_size=32), st.none() | st.binary(min_size=32, max_size=32))
def test_a_token_says_what_was_put_in(silo, secret, digest):
    ca_digest = None if digest is None else f"sha256:{digest.hex()}"
    token = make_token(silo, secret, ca_digest)
    assert token.startswith("septum1_")
    assert len(token) <= MAX_TOKEN_CHARS
    read = read_token(f"  {token}\n")
    assert (read.silo, read.secret, read.ca_digest) == (silo, secret, ca_digest)


@given(st.data())
def test_a_token_that_lost_or_changed_a_character_is_refused_and_never_quoted(data):
    token = make_token("st-marys", SECRET, CA)
    position = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(["", "A", "B", "_", "é", " "]).filter(lambda char: char != token[position]))
    damaged = token[:position] + other + token[position + 1 :]
    if position == len(token) - 1 and other:
        return  # the last character of base64 has bits that mean nothing
    with pytest.raises(ConfigError) as caught:
        read_token(damaged)
    assert "septum silo invite" in caught.value.hint
    assert token[20:60] not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("text", ["", "hello", "septum1_", "septum1_AAAA", "septum2_AAAA", "septum1_" + "A" * 5000])
def test_what_is_no_token_is_refused(text):
    with pytest.raises(ConfigError, match="not an invitation token"):
        read_token(text)


def test_the_secret_is_in_no_repr():
    token = make_token("st-marys", SECRET, CA)
    assert "secret" not in repr(read_token(token))
    assert token not in repr(enrolment(token, Ed25519PrivateKey.generate()))


def test_tokens_are_kept_as_hashes_that_differ():
    first, second = new_secret(), new_secret()
    assert len(first) == 32
    assert token_hash(first) != token_hash(second)
    assert token_hash(first) == token_hash(bytes(first))
    assert first.hex() not in token_hash(first)


@pytest.mark.parametrize(("secret", "digest"), [(b"short", None), (SECRET, "sha256:0f0f"), (SECRET, "blake3:zz")])
def test_a_token_is_not_made_of_wrong_parts(secret, digest):
    with pytest.raises(ValueError, match=r"secret|digest|hex"):
        make_token("st-marys", secret, digest)


def test_an_enrolment_proves_the_key_also_after_the_wire():
    key = Ed25519PrivateKey.generate()
    message = decode(Enroll, encode(enrolment(make_token("st-marys", SECRET, CA) + "\n", key)))
    assert message.public_key == public_bytes(key)
    assert check_enrolment(message).secret == SECRET


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("silo", "other", "invites 'st-marys', not 'other'"),
        ("public_key", public_bytes(Ed25519PrivateKey.generate()), "did not prove"),
        ("public_key", b"short", "did not prove"),
        ("proof", bytes(64), "did not prove"),
        ("proof", b"", "did not prove"),
        ("token", make_token("st-marys", bytes(32), CA), "did not prove"),
    ],
    ids=["another-name", "another-key", "no-key", "another-proof", "no-proof", "another-token"],
)
def test_an_enrolment_whose_parts_do_not_belong_together_is_refused(field, value, words):
    message = enrolment(make_token("st-marys", SECRET, CA), Ed25519PrivateKey.generate())
    with pytest.raises(AuthError, match=words):
        check_enrolment(dataclasses.replace(message, **{field: value}))
