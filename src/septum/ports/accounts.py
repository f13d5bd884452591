"""What have silos said about themselves? The newest description and standing of each, as they gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from septum.protocol.description import SiloDescription, Standing


@dataclass(frozen=True, slots=True)
class SiloAccount:
    """What one silo has said. Times are Unix seconds; 0 and None or the default while it has said nothing."""

    description: SiloDescription | None = None
    described_at: float = 0.0
    standing: Standing = field(default_factory=Standing)
    stood_at: float = 0.0


NOTHING_SAID = SiloAccount()


class SiloAccounts(Protocol):
    """Durable accounts of silos.

    Contract: the newest of each kind is kept, also over a reopening; to describe a silo leaves its standing, and the
    other way round. Methods may be called from any thread.
    """

    def describe(self, silo: str, description: SiloDescription, *, at: float) -> None:
        """Keep what a silo says of itself. Raises NotFoundError for an unknown silo."""

    def stand(self, silo: str, standing: Standing, *, at: float) -> None:
        """Keep whether a silo is paused. Raises NotFoundError for an unknown silo."""

    def accounts(self) -> Mapping[str, SiloAccount]:
        """What each silo has said that has said anything, by name."""
