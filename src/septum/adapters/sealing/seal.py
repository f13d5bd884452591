"""How is a small secret sealed? With AES-256-GCM under a data key, bound to what it is the secret of.

A sealed value begins with MARK; one without it was written before there was a key, and is what it is. The nonce is
random: 96 bits are enough for the few thousand values that one key ever seals (NIST SP 800-38D, section 8.3: 2^32).
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from septum.errors import StorageError

MARK = b"septum-sealed-1\0"  # no secret of septum's begins so: those are random, and shorter
KEY_BYTES = 32
NONCE_BYTES = 12


class Sealer:
    """Seals and opens values.

    >>> sealer = Sealer(bytes(32))
    >>> sealer.open(sealer.seal(b"secret", "ada"), "ada")
    b'secret'
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, about: str) -> bytes:
        """The value as it is kept. `about`: of what it is the secret; it opens for nothing else."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return MARK + nonce + self._cipher.encrypt(nonce, plain, about.encode())

    def open(self, kept: bytes, about: str) -> bytes:
        """The value again. Raises StorageError for one that was changed, or is the secret of something else."""
        if not is_sealed(kept):
            return kept
        body = kept[len(MARK) :]
        try:
            return self._cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError) as error:
            raise StorageError(
                f"what is kept of {about} was changed, or belongs to something else", hint="restore a backup"
            ) from error


def is_sealed(kept: bytes) -> bool:
    """Whether a value is sealed."""
    return kept.startswith(MARK)
