"""How does a silo get app packages? It asks; nothing is sent to it, and nothing that it fetches runs unapproved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from septum.protocol.messages import AppOffer


class Offers(Protocol):
    """The packages that a coordinator offers.

    Contract: errors as of ports.channel.Channel. What is offered proves nothing; the bytes are verified by the silo.
    """

    def offers(self) -> Sequence[AppOffer]:
        """Every package, by name, the newest first."""

    def offer(self, digest: str) -> AppOffer:
        """The package of this digest. Raises NotFoundError."""

    def fetch_app(self, offer: AppOffer, path: Path) -> None:
        """Write a package's file into `path`, which is there only once it is whole. A cut fetch goes on.

        Raises EgressError as of ports.channel.Channel.
        """
