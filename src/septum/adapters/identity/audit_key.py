"""Under which key does a coordinator sign the heads of its audit log? One of its own, made at the first start.

It is in the data directory and its backups. A silo knows it from the first head that it was shown, over TLS, and takes
no other one.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.keys import load_private_key, make_private_key, public_bytes
from septum.protocol.audit import Countersignature, SignedHead, TreeHead, utc
from septum.protocol.roster import key_text

FILE = "audit-key.pem"


class AuditKey:
    """Signs tree heads."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.text = key_text(public_bytes(key))

    def sign(self, head: TreeHead) -> SignedHead:
        """The head with its signature."""
        return SignedHead(head, self.text, self._key.sign(head.signed_bytes).hex())


def ensure_audit_key(data_dir: Path) -> AuditKey:
    """The key of a data directory, which is made if there is none. Raises ConfigError where it cannot be used."""
    path = data_dir / FILE
    return AuditKey(load_private_key(path) if path.exists() else make_private_key(path))


def witnessed(head: TreeHead, silo: str, key: Ed25519PrivateKey, at: float) -> Countersignature:
    """A silo's signature under a head that it has checked; `at` is Unix time."""
    return Countersignature(silo, head.size, key_text(public_bytes(key)), key.sign(head.witnessed_bytes).hex(), utc(at))
