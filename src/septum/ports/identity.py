"""How a silo proves who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class RequestSigner(Protocol):
    """Signs a silo's requests.

    Contract: the returned headers prove, to whoever has the silo's public key, that the silo sent exactly this method,
    path and body (by digest), recently, and once.
    """

    @property
    def silo(self) -> str:
        """The name that the signature speaks for."""

    def headers(self, method: str, path: str, content_digest: str) -> Mapping[str, str]:
        """The headers to add. `content_digest` is the value of the Content-Digest field."""
