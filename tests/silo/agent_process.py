"""A silo's real agent in a process of its own, whose log a test reads line by line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path


class AgentProcess:
    """`start` in a process of its own; its log, line by line."""

    def __init__(self, directory: Path) -> None:
        code = "import sys; from pathlib import Path; from septum.silo.root import start; start(Path(sys.argv[1]))"
        self.process = subprocess.Popen([sys.executable, "-c", code, str(directory)], stderr=subprocess.PIPE, text=True)
        self.lines: list[dict[str, object]] = []
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.text += line
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def events(self) -> list[object]:
        return [line["event"] for line in self.lines]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code
