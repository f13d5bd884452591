"""Under which name is a run's data told, so that nobody else can check a guess of its rows? A digest with an own key.

The same rows have the same name in every run of this silo, and other rows another one: that is all it tells, to whoever
sees two of them. The key is made from the silo's private key, so equal rows of two silos have different names, and a
silo that gets a new key gives new names.
"""

from __future__ import annotations

from collections.abc import Callable

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_CONTEXT = "septum 2026-11-29 the name by which a silo tells its rows"


def alias_by(key: Ed25519PrivateKey) -> Callable[[str], str]:
    """From the digest of rows, as receipts have it, to the name that is told."""
    secret = blake3(key.private_bytes_raw(), derive_key_context=_CONTEXT).digest()
    return lambda digest: f"blake3:{blake3(digest.encode(), key=secret).hexdigest()}"
