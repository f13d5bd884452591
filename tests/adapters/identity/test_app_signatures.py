"""Signatures of packages: they hold for a name, a version and a digest, and for nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity import app_signatures as signatures
from septum.adapters.identity.app_signatures import Signature, Signed, read, sidecar, sign, verified, write
from septum.errors import AuthError, MessageError

HEART = Signed("heart", "1.0.0", "sha256:" + "a" * 64)
ANN, BEN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def listed(*found):
    return json.dumps([asdict(one) for one in found]).encode()


def test_a_signature_holds_for_what_was_signed():
    ann, ben = sign(HEART, ANN), sign(HEART, BEN)
    assert verified(listed(ann, ben), HEART) == (ann.key, ben.key)
    assert verified(listed(ann, ann), HEART) == (ann.key,)
    assert verified(b"", HEART) == verified(b" \n", HEART) == verified(b"[]", HEART) == ()


@pytest.mark.parametrize("change", [{"name": "head"}, {"version": "1.0.1"}, {"digest": "sha256:" + "b" * 64}])
def test_a_signature_holds_for_nothing_else(change):
    other = replace(HEART, **change)
    with pytest.raises(AuthError, match=f"does not hold for {other.name} {other.version} with {other.digest}"):
        verified(listed(sign(HEART, ANN)), other)


def test_what_is_signed_cannot_be_shifted_between_its_parts():
    assert Signed("a", "b 1", "d").statement != Signed("a b", "1", "d").statement


def test_one_wrong_signature_among_right_ones_is_an_error():
    wrong = Signature(sign(HEART, BEN).key, sign(HEART, ANN).signature)
    with pytest.raises(AuthError, match=wrong.key):
        verified(listed(sign(HEART, ANN), wrong), HEART)


def test_no_bit_of_a_signature_or_a_key_may_be_another():
    made = sign(HEART, ANN)
    for bit in range(0, 512, 7):
        raw = bytearray(bytes.fromhex(made.signature))
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthError):
            verified(listed(Signature(made.key, raw.hex())), HEART)
    with pytest.raises(AuthError):
        verified(listed(Signature("ed25519:" + "f" * 64, made.signature)), HEART)


MADE = asdict(sign(HEART, ANN))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"\xff",
        b"{}",
        b"[1]",
        b"[" * 50_000,
        json.dumps([{"key": MADE["key"]}]).encode(),
        json.dumps([{**MADE, "by": "ann"}]).encode(),
        json.dumps([{**MADE, "key": MADE["key"].upper()}]).encode(),
        json.dumps([{**MADE, "key": MADE["key"].removeprefix("ed25519:")}]).encode(),
        json.dumps([{**MADE, "key": MADE["key"][:-2]}]).encode(),
        json.dumps([{**MADE, "key": MADE["key"] + " "}]).encode(),
        json.dumps([{**MADE, "key": 7}]).encode(),
        json.dumps([{**MADE, "signature": MADE["signature"].upper()}]).encode(),
        json.dumps([{**MADE, "signature": ""}]).encode(),
        json.dumps([{**MADE, "signature": None}]).encode(),
        json.dumps([MADE] * 101).encode(),
        b" " * signatures.MAX_BYTES + b"[]",
    ],
)
def test_what_is_no_list_of_signatures_is_refused(data):
    """A key has one spelling: else one signer could pass for two."""
    with pytest.raises(MessageError):
        read(data)


def test_a_file_has_the_newest_signature_of_each_key(tmp_path):
    path = sidecar(tmp_path / "heart-1.0.0.septum")
    assert path.name == "heart-1.0.0.septum.sig"
    old = replace(sign(HEART, ANN), signature="0" * 128)
    write(path, [old, sign(HEART, BEN), sign(HEART, ANN)])
    assert read(path.read_bytes()) == (sign(HEART, ANN), sign(HEART, BEN))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
