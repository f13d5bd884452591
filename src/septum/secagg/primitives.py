"""Which cryptography does the protocol stand on? The functions that are passed in; the arithmetic here has none.

`adapters/identity/masking_primitives.py` makes them from OpenSSL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

KEY_BYTES = 32
SIGNATURE_BYTES = 64

Sign: TypeAlias = Callable[[bytes], bytes]
"""Ed25519 (RFC 8032) under the silo's own key: message -> signature."""


@dataclass(frozen=True, slots=True)
class Primitives:
    """What is needed from a cryptographic library. A function that refuses raises SecAggError, with no secret in it."""

    random: Callable[[int], bytes]
    """This many bytes of the operating system's generator."""
    public_of: Callable[[bytes], bytes]
    """X25519 (RFC 7748): secret -> public key, 32 bytes each."""
    agree: Callable[[bytes, bytes], bytes]
    """X25519: own secret, their public key -> 32 shared bytes. Refuses a point of low order."""
    derive: Callable[[bytes, bytes, bytes], bytes]
    """HKDF-SHA256 (RFC 5869): input key, salt, info -> 32 bytes."""
    seal: Callable[[bytes, bytes, bytes], bytes]
    """ChaCha20-Poly1305 (RFC 8439): key, plaintext, associated data -> ciphertext. Nonce zero: a key seals once."""
    open: Callable[[bytes, bytes, bytes], bytes]
    """The reverse: key, ciphertext, associated data -> plaintext. Refuses what was not sealed so."""
    keystream: Callable[[bytes], Callable[[memoryview], None]]
    """AES-256-CTR, first counter block 0: key -> a function that fills a buffer of bytes with the next ones."""
    verify: Callable[[bytes, bytes, bytes], bool]
    """Ed25519: public key, message, signature -> whether it holds."""
