"""Who may use the console without TLS? People on this very machine, so that no certificate warning greets them.

A second listener on 127.0.0.1 that a demo asks for. Silos are not served there. A page of another name that is made to
resolve to this machine (DNS rebinding) is refused by its Host header. The session's cookie has another name there,
with the port in it, since cookies know no ports; it is HttpOnly and SameSite=Strict as ever, and only `Secure`, which
is about TLS, is left out. Whoever can read the loopback interface's packets is root here, and can read more than those.
"""

from __future__ import annotations

from collections.abc import Callable

from septum.coordinator.asgi import App, Receive, Scope, Send, headers_of, send_error
from septum.coordinator.silo_api import PREFIX as SILO_PREFIX
from septum.errors import ForbiddenError, NotFoundError

HOST = "127.0.0.1"
COOKIE_NAME = "septum.cookie"  # in the ASGI scope of what came by here: the name of the session's cookie


class Loopback:
    """An app as it is served to this machine alone. `port` is known once the listener is bound."""

    def __init__(self, app: App, port: Callable[[], int]) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what a browser on this machine asks."""
        port = self._port()
        host = headers_of(scope).get("host", "")
        if host not in (f"{HOST}:{port}", f"localhost:{port}"):
            hint = f"http://{HOST}:{port}"
            await send_error(send, ForbiddenError(f"this is not {host[:100]!r}, but for this machine alone", hint=hint))
        elif str(scope["path"]).startswith(SILO_PREFIX):
            await send_error(send, NotFoundError("silos are served over TLS alone", hint="septum silo enroll --url"))
        else:
            await self._app({**scope, COOKIE_NAME: f"septum-{port}"}, receive, send)
