"""How much is asked of the coordinator? Every request is counted as it passes, and its bytes, by who is served."""

from __future__ import annotations

from typing import cast

from septum.coordinator.asgi import App, Headers, Message, Receive, Scope, Send
from septum.coordinator.metrics import BYTES, REQUESTS, Meters


async def metered(app: App, part: str, meters: Meters, scope: Scope, receive: Receive, send: Send) -> None:
    """Let an app answer a request, and count it. `part`: one of metrics.PARTS."""
    requests, size = meters.of(REQUESTS), meters.of(BYTES)
    declared = 0

    async def receive_counted() -> Message:
        message = await receive()
        if body := message.get("body"):
            size.add(len(cast("bytes", body)), part, "in")
        return message

    async def send_counted(message: Message) -> None:
        nonlocal declared
        if body := message.get("body"):
            size.add(len(cast("bytes", body)), part, "out")
        elif message["type"] == "http.response.start":
            requests.add(1, part, f"{cast('int', message['status']) // 100}xx")
            declared = _declared(cast("Headers", message.get("headers", ())))
        elif message["type"] == "http.response.pathsend":  # the server reads the file itself
            size.add(declared, part, "out")
        await send(message)

    await app(scope, receive_counted, send_counted)


def _declared(headers: Headers) -> int:
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
