"""How are rosters signed and their signatures checked? Ed25519 (RFC 8032), by the `cryptography` library."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from septum.adapters.identity.keys import MAX_KEY_FILE_BYTES, load_private_key, public_bytes
from septum.errors import ConfigError
from septum.protocol.roster import Roster, Signature, SignedRoster, key_bytes, key_text

_PEM = b"-----BEGIN"


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature holds, as `protocol.roster.Verify`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(signed: SignedRoster, key: Ed25519PrivateKey) -> SignedRoster:
    """The roster with this key's signature besides those that it has."""
    value = key.sign(signed.roster.signed_bytes).hex()
    return signed.with_signature(Signature(public_text(key), value))


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half, as rosters have it."""
    return key_text(public_bytes(key))


def key_of(given: str) -> str:
    """A public key as text: given itself, or in a file, which may also hold the private key. Raises ConfigError."""
    if given.startswith("ed25519:"):
        key_bytes(given)
        return given
    path = Path(given)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{given!r} is no public key, and no file that can be read: {error.strerror}",
            hint="septum silo key --dir DIR prints a silo's key, septum roster key FILE an administrator's",
        ) from error
    if content.startswith(_PEM):
        return public_text(load_private_key(path))
    try:
        text = content.decode().strip()
        key_bytes(text)
    except (UnicodeDecodeError, ConfigError):
        raise ConfigError(f"{path} holds neither a public key, `ed25519:...`, nor a private key in PEM") from None
    return text


def make_roster(
    federation: str,
    administrators: dict[str, Ed25519PrivateKey],
    silos: dict[str, str],
    threshold: int = 0,
) -> SignedRoster:
    """A first roster that all these administrators signed; a threshold of 0 asks for all of them.

    For who holds every key, as the demo does; else each signs on a machine of their own: `septum roster sign`.
    """
    keys = {name: public_text(key) for name, key in sorted(administrators.items())}
    made = SignedRoster(Roster(federation, 1, threshold or len(keys), keys, dict(sorted(silos.items()))))
    for key in administrators.values():
        made = sign(made, key)
    return made
