"""Which cryptography do masks stand on? OpenSSL's, by the `cryptography` library, as `secagg.primitives` asks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from septum.adapters.identity.roster_keys import verify
from septum.errors import SecAggError
from septum.secagg.primitives import KEY_BYTES, Primitives

_ZEROS = memoryview(bytes(2**18))  # the plaintext of every keystream; nothing is allocated a call
_NONCE = bytes(12)  # a key seals one message
_FIRST_BLOCK = bytes(16)


def openssl() -> Primitives:
    """The functions, stateless; safe to share."""
    return Primitives(
        random=secrets.token_bytes,
        public_of=_public_of,
        agree=_agree,
        derive=_derive,
        seal=_seal,
        open=_open,
        keystream=_keystream,
        verify=verify,
    )


@lru_cache(maxsize=2)  # a silo's two keys of an attempt: OpenSSL computes the public half of each that it is given
def _private(secret: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(secret)


def _public_of(secret: bytes) -> bytes:
    return _private(secret).public_key().public_bytes_raw()


def _agree(secret: bytes, public: bytes) -> bytes:
    try:
        return _private(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # RFC 7748, section 6.1: the shared secret would be zero, for everybody
        raise SecAggError("it is no X25519 key, or a point of low order") from None


def _derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, info).derive(key)


def _seal(key: bytes, plaintext: bytes, data: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(_NONCE, plaintext, data)


def _open(key: bytes, ciphertext: bytes, data: bytes) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, ciphertext, data)
    except InvalidTag:
        raise SecAggError("it was sealed by somebody else, for something else, or changed on the way") from None


def _keystream(key: bytes) -> Callable[[memoryview], None]:
    encryptor = Cipher(AES256(key), CTR(_FIRST_BLOCK)).encryptor()

    def fill(buffer: memoryview) -> None:
        for start in range(0, len(buffer), len(_ZEROS)):
            part = buffer[start : start + len(_ZEROS)]
            encryptor.update_into(_ZEROS[: len(part)], part)

    return fill
