"""Which models were given a name, who approved them, and where are they deployed?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from septum.protocol.deploying import Told
from septum.protocol.registered import Act, Deployment, ModelVersion, NewDeployment, SiloState


class ModelRegistry(Protocol):
    """Durable versions of models, and deployments.

    Contract: versions of a name count from 1, without a gap. Nothing is ever removed, so what a silo used can be told
    for ever. A change is whole or not at all; what `protocol.registered` refuses changes nothing. Methods may be called
    from any thread.
    """

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name and number."""

    def register(self, version: ModelVersion) -> ModelVersion:
        """Know a version, whose number is given here. The same model of a run again, not retired, is the one known.

        Raises NotFoundError for an unknown run.
        """

    def approve(self, name: str, version: int, act: Act, *, own: bool) -> ModelVersion:
        """Approve a version, as `registered.approve` does. Raises NotFoundError."""

    def retire(self, name: str, version: int, act: Act) -> ModelVersion:
        """Retire a version, as `registered.retire` does. Raises NotFoundError."""

    def deploy(self, wanted: NewDeployment, act: Act) -> Deployment:
        """Deploy a version; each deployment is a new one.

        Raises NotFoundError for an unknown version, group or silo, ConflictError for a version that may not be.
        """

    def deployments(self) -> Sequence[Deployment]:
        """Every deployment, oldest first."""

    def tell(self, silo: str, told: Told, *, at: float) -> None:
        """Keep what a silo says of a deployment, in place of what it said before. Raises NotFoundError."""

    def states(self, deployment: int) -> Sequence[SiloState]:
        """What the silos said last of a deployment, by silo."""
