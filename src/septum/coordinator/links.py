"""How does whoever is signed in at a shell come into the console? By a link that signs a browser in, once.

Links are held in memory: after a restart another one is asked for. One is worth nothing once the session that it was
made with has ended, so that signing out, a reset and a suspension void it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from septum.coordinator.caller import Caller
from septum.coordinator.login import Login, secret_hash
from septum.errors import AuthError
from septum.ports.clock import Clock
from septum.protocol.people_views import LinkView, SessionView

LIFE_S = 900.0  # to find the browser's window in
MOST = 100  # of all people; the oldest goes


@dataclass(frozen=True, slots=True)
class _Link:
    """With whose session it was made, and until when it works, by the monotonic clock."""

    session: bytes
    until: float


class Links:
    """The links that were made and not used."""

    def __init__(self, login: Login, clock: Clock) -> None:
        self._login = login
        self._clock = clock
        self._made: dict[bytes, _Link] = {}

    def make(self, caller: Caller) -> LinkView:
        """The code of a link for whoever asks, who has a session."""
        now = self._clock.monotonic()
        self._made = {kept: link for kept, link in self._made.items() if link.until > now}
        while len(self._made) >= MOST:
            del self._made[next(iter(self._made))]
        code = secrets.token_urlsafe(32)
        self._made[secret_hash(code)] = _Link(caller.secret_hash, now + LIFE_S)
        return LinkView(code, self._clock.unix() + LIFE_S)

    async def use(self, code: str) -> SessionView:
        """A session in a cookie for the person who made the link. Raises AuthError, the same whatever is wrong."""
        link = self._made.pop(secret_hash(code), None)
        name = await self._login.in_session(link.session) if link and self._clock.monotonic() < link.until else ""
        if not name:
            raise AuthError("this link was used, is void or has expired", hint="septum open makes another")
        return await self._login.open(name, cookie=True, proven="link")
