"""Who says that an app's package is his? Ed25519 signatures (RFC 8032) over its name, version and digest.

They lie beside the package, in FILE.sig: a JSON list, one entry a signer. A signature says that its key's owner stands
for these bytes; whether that is enough to run them, each silo decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from septum.adapters.identity.keys import public_bytes
from septum.errors import AuthError, MessageError
from septum.protocol.codec import dumps

SUFFIX = ".sig"
MAX_BYTES = 64 * 1024
MAX_SIGNERS = 100
_KIND = "septum-app-1"
_KEY = re.compile(r"ed25519:[0-9a-f]{64}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signed:
    """What is signed: that a package of this name and version has this digest."""

    name: str
    version: str
    digest: str

    @property
    def statement(self) -> bytes:
        """The signed bytes."""
        return dumps({"kind": _KIND, **asdict(self)})


@dataclass(frozen=True, slots=True)
class Signature:
    """`key`: ed25519: and the public key in hex; `signature`: in hex."""

    key: str
    signature: str


def sign(what: Signed, key: Ed25519PrivateKey) -> Signature:
    """A signature."""
    return Signature(f"ed25519:{public_bytes(key).hex()}", key.sign(what.statement).hex())


def verified(data: bytes, what: Signed) -> tuple[str, ...]:
    """The keys that signed a package, each once, in the order of the file; none for an empty one.

    Raises MessageError for a file that is none, AuthError for any signature that does not hold: somebody changed the
    package, or the file.
    """
    signatures = read(data)
    for one in signatures:
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(one.key.removeprefix("ed25519:")))
            public.verify(bytes.fromhex(one.signature), what.statement)
        except (InvalidSignature, ValueError):
            raise AuthError(
                f"the signature of {one.key[:80]} does not hold for {what.name} {what.version} with {what.digest}",
                hint="fetch the package and its signatures again from its author",
            ) from None
    return tuple(dict.fromkeys(one.key for one in signatures))


def read(data: bytes) -> tuple[Signature, ...]:
    """The signatures in a file, not verified. Raises MessageError."""
    if not data.strip():
        return ()
    if len(data) > MAX_BYTES:
        raise MessageError(f"signatures of {len(data)} bytes, at most {MAX_BYTES}")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the signatures are no JSON: {error}") from error
    if not isinstance(content, list) or len(content) > MAX_SIGNERS:
        raise MessageError(f"signatures are a list of at most {MAX_SIGNERS}")
    return tuple(_signature(one) for one in content)


def write(path: Path, signatures: Sequence[Signature]) -> None:
    """Write the file of signatures, one a key: the newest."""
    newest = {one.key: one for one in signatures}
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps([asdict(one) for one in newest.values()], indent=1) + "\n", encoding="ascii")
    part.replace(path)


def sidecar(package: Path) -> Path:
    """Where the signatures of a package lie."""
    return package.with_name(package.name + SUFFIX)


def _signature(content: object) -> Signature:
    if not isinstance(content, dict) or set(content) != {"key", "signature"}:
        raise MessageError("a signature has `key` and `signature`")
    key, value = content["key"], content["signature"]
    if not isinstance(key, str) or not _KEY.fullmatch(key):  # in one spelling, so that one key is one signer
        raise MessageError(f"{str(key)[:80]!r} is no public key: expected ed25519: and 64 hex digits")
    if not isinstance(value, str) or not _SIGNATURE.fullmatch(value):
        raise MessageError(f"the signature of {key} is not 128 hex digits")
    return Signature(key, value)
