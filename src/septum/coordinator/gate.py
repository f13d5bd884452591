"""Who asks? Checks the signature of a silo's request, and that it counts once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from septum.adapters.identity.http_signatures import NonceCache, verify
from septum.coordinator.asgi import Scope, target_of
from septum.coordinator.silos import Silos
from septum.errors import AuthError
from septum.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a signed request, under which key, and the Content-Digest that its body must have."""

    silo: str
    key: bytes | None
    content_digest: str


class Gate:
    """Lets the requests of enrolled silos in."""

    def __init__(self, silos: Silos, clock: Clock) -> None:
        self._silos = silos
        self._clock = clock
        self._nonces = NonceCache()

    def verified(self, scope: Scope, headers: Mapping[str, str]) -> Asker:
        """Who asks. Raises AuthError."""
        found = verify(headers, str(scope["method"]), target_of(scope), self._silos.public_key, self._clock.unix())
        self._nonces.use(found.silo, found.nonce, self._clock.monotonic())
        silo = self._silos.seen(found.silo)
        return Asker(silo, self._silos.public_key(silo), found.content_digest)

    def check_again(self, asker: Asker) -> None:
        """A body may take its time, and the silo be revoked meanwhile. Raises AuthError."""
        if self._silos.public_key(asker.silo) != asker.key:
            raise AuthError(
                f"the key of silo {asker.silo!r} was revoked or replaced while this request arrived",
                hint=f"septum silo invite {asker.silo}, on the coordinator",
            )
