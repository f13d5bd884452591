"""Under which key is a file? One in an area that has a key of its own under that, and all others under the common one.

A run's key is made from the common one and the run's salt (HKDF, RFC 5869), which lies elsewhere (ports/run_keys.py).
Without the salt nobody makes it again, whatever else they have: deleting the salt is deleting the key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from septum.adapters.sealing.segments import KEY_BYTES, FileKey, key_id_of


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of all blobs.

    own  the key of an area; None: it has none of its own. NotFoundError where it had one that was deleted
    """

    common: FileKey
    own: Callable[[str], FileKey | None] = lambda _area: None

    def new(self, area: str) -> FileKey | None:
        """What new files of an area are sealed with; None: they are not. Raises NotFoundError."""
        return (self.own(area) or self.common) if self.common.seal_new else None

    def of(self, area: str, descriptor: int) -> FileKey:
        """What a sealed file of an area is opened with. Raises NotFoundError."""
        return self.common if key_id_of(descriptor) == self.common.id else self.own(area) or self.common

    def fits(self, area: str, descriptor: int) -> bool:
        """Whether a file lies there as a new one of the area would, sealed or not. Raises NotFoundError."""
        key = self.new(area)
        return key_id_of(descriptor) == (None if key is None else key.id)


def run_key(common: FileKey, run_id: str, salt: bytes) -> FileKey:
    """The key of a run.

    >>> run_key(FileKey(bytes(32)), "r-1", b"a" * 32).key != run_key(FileKey(bytes(32)), "r-1", b"b" * 32).key
    True
    """
    info = b"septum run\0" + run_id.encode()
    return FileKey(HKDF(SHA256(), KEY_BYTES, salt=salt, info=info).derive(common.key), common.seal_new)
