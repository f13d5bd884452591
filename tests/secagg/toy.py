"""Primitives that are fast, repeatable and insecure: every law of the protocol's logic holds with them, too.

Diffie-Hellman is in a group of 61 bits, everything else is SHA-256. What forging needs is tested with the real ones.
"""

import hashlib
import itertools
from dataclasses import dataclass

from septum.errors import SecAggError
from septum.secagg.primitives import Primitives

_GROUP, _GENERATOR = 2**61 - 1, 37


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def _stream(key: bytes, size: int) -> bytes:
    return hashlib.shake_128(key).digest(size)


def _power(base: int, secret: bytes) -> bytes:
    return pow(base, int.from_bytes(_hash(secret), "big") % (_GROUP - 1), _GROUP).to_bytes(32, "little")


def _agree(secret: bytes, public: bytes) -> bytes:
    if int.from_bytes(public, "little") in (0, 1, _GROUP - 1):
        raise SecAggError("a point of low order")
    return _power(int.from_bytes(public, "little"), secret)


def _seal(key: bytes, plaintext: bytes, data: bytes) -> bytes:
    hidden = bytes(a ^ b for a, b in zip(plaintext, _stream(key, len(plaintext)), strict=True))
    return hidden + _hash(key, hidden, data)


def _open(key: bytes, ciphertext: bytes, data: bytes) -> bytes:
    hidden, tag = ciphertext[:-32], ciphertext[-32:]
    if tag != _hash(key, hidden, data):
        raise SecAggError("does not open")
    return bytes(a ^ b for a, b in zip(hidden, _stream(key, len(hidden)), strict=True))


def _keystream(key: bytes):
    at = 0

    def fill(buffer: memoryview) -> None:
        nonlocal at
        buffer[:] = _stream(key, at + len(buffer))[at:]
        at += len(buffer)

    return fill


@dataclass
class ToySigner:
    """Its signature says only over what it is, and whose."""

    name: str

    @property
    def public(self) -> bytes:
        return _hash(self.name.encode())

    def sign(self, message: bytes) -> bytes:
        return 2 * _hash(self.public, message)


def toy(seed: bytes = b"") -> Primitives:
    counter = itertools.count()
    return Primitives(
        random=lambda size: _stream(_hash(seed, str(next(counter)).encode()), size),
        public_of=lambda secret: _power(_GENERATOR, secret),
        agree=_agree,
        derive=_hash,
        seal=_seal,
        open=_open,
        keystream=_keystream,
        verify=lambda public, message, signature: signature == 2 * _hash(public, message),
    )
