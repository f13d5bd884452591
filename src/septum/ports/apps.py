"""Which app packages does the coordinator offer to the silos? It keeps and hands them on; it never runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from septum.protocol.codec import Scalar


@dataclass(frozen=True, slots=True)
class AppRecord:
    """A pushed package.

    digest      sha256: of the file's bytes, by which silos approve it and plans name it
    blob        blake3: of the same bytes, by which they are stored and fetched
    pushed_at   Unix time, seconds
    signatures  the sidecar, JSON as its authors made it; silos verify it themselves
    presets     values of hyper-parameters by the preset's name, given beside the package; those in it are not here
    """

    digest: str
    name: str
    version: str
    blob: str
    size_bytes: int
    pushed_at: float
    signatures: str
    presets: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


class AppRegistry(Protocol):
    """Durable records of packages.

    Contract: a name and version belong to one digest for good, also once it was removed. Presets are given by
    `set_preset` alone, and a push changes none. Methods may be called from any thread.
    """

    def add(self, record: AppRecord) -> AppRecord:
        """Know a package, or replace the signatures of one that is known; the record as it is kept then.

        The time of the first push stays. Raises ConflictError when its name and version belong to another digest.
        """

    def get(self, digest: str) -> AppRecord:
        """One package. Raises NotFoundError."""

    def all(self) -> Sequence[AppRecord]:
        """Every package, by name, the newest push first."""

    def set_preset(self, digest: str, name: str, values: Mapping[str, Scalar]) -> AppRecord:
        """Give a package a preset, in place of one of that name; the record as it is kept then.

        Raises NotFoundError for a package that is not there.
        """

    def drop_preset(self, digest: str, name: str) -> AppRecord:
        """Take a preset back; the record as it is kept then. Raises NotFoundError for either."""

    def remove(self, digest: str) -> None:
        """Forget a package and its presets; one that is not there is ignored. It may be added again, without them."""
