"""How does a silo hear of models that it is to use? It asks; what it then does is its own decision."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from septum.protocol.deploying import DeploymentOrder, DeploymentOrders, Told


class Orders(Protocol):
    """The models that a coordinator wants a silo to use.

    Contract: errors as of ports.channel.Channel. An order proves nothing; the silo compares it with its own rules.
    """

    def deployments(self) -> DeploymentOrders:
        """All that this silo is to use now. Raises NotFoundError for a coordinator that is too old to know."""

    def fetch_deployed(self, order: DeploymentOrder, path: Path) -> None:
        """Write an order's model into `path`, which is there only once it is whole and right. A cut fetch goes on.

        Raises DigestError when other bytes came, EgressError as of ports.channel.Channel.
        """

    def tell_deployed(self, told: Told) -> None:
        """Say how far this silo has got. Raises NotFoundError for a deployment that is not meant for it any more."""
