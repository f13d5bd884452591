"""A plain TCP balancer for tests: each connection goes to the first coordinator that takes it."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path


class Balancer:
    """Passes each connection on to the first coordinator that takes it, by the port in its log."""

    def __init__(self, logs: list[Path]) -> None:
        self.logs = logs
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[tuple[int, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def is_down(self, log: Path) -> None:
        """What a health check finds: nobody is sent there any more, and who is there is cut off."""
        self.logs.remove(log)
        gone = port_in(log)
        for port, end in self._open:
            if port == gone:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        for port in filter(None, map(port_in, self.logs)):
            with suppress(OSError):
                server = socket.create_connection(("127.0.0.1", port), timeout=5)
                server.settimeout(None)
                self._open += [(port, client), (port, server)]
                for way in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=way, daemon=True).start()
                return
        client.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


def port_in(log: Path) -> int | None:
    """Of the coordinator that wrote this log, once it takes requests."""
    lines = log.read_text().splitlines() if log.exists() else []
    ready = [json.loads(line) for line in lines if line.startswith("{") and '"event": "ready"' in line]
    return int(ready[-1]["port"]) if ready else None
