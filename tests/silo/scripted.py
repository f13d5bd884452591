"""A coordinator that says what a test wrote down, and a stop signal whose pauses take no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import ConnectionFailedError, NotFoundError, SeptumError
from septum.ports.launcher import Launcher, WorkerLimits
from septum.protocol.codec import decode, encode
from septum.protocol.messages import Instruction, PollAnswer, SiloMessage, Wait
from septum.protocol.plan import digest_of
from septum.silo.log import Log
from septum.silo.session import Tools

Answer = Instruction | SeptumError | Callable[[], Instruction]


class ScriptedStop(threading.Event):
    """Counts the pauses that it is asked for, and takes none."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return self.is_set()


class ScriptedChannel:
    """Answers each message with the next line of the script; at its end the stop signal is given."""

    def __init__(self, stop: threading.Event, *script: Answer, polls: Sequence[PollAnswer | SeptumError] = ()) -> None:
        self.stop = stop
        self.script = list(script)
        self.polls = list(polls)
        self.said: list[SiloMessage] = []
        self.runs: list[str] = []
        self.polled: list[tuple[str, ...]] = []
        self.blobs: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.closed = False

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        self.polled.append(tuple(serving))
        if not self.polls:
            self.stop.set()
            return Wait()
        answer = self.polls.pop(0)
        if isinstance(answer, SeptumError):
            raise answer
        return answer

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        decode(SiloMessage, encode(message))
        self.said.append(message)
        self.runs.append(run)
        self.calls.append("exchange")
        if not self.script:
            self.stop.set()
            raise ConnectionFailedError("the script is over")
        answer = self.script.pop(0)
        if isinstance(answer, SeptumError):
            raise answer
        return answer() if callable(answer) else answer

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        self.runs.append(run)
        self.calls.append("send_blob")
        self.blobs[digest] = path.read_bytes()
        assert digest_of(self.blobs[digest]) == digest

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        self.runs.append(run)
        self.calls.append("fetch_blob")
        if digest not in self.blobs:
            raise NotFoundError(f"no blob {digest}")
        assert len(self.blobs[digest]) == size_bytes
        path.write_bytes(self.blobs[digest])

    def close(self) -> None:
        self.closed = True


def tools_for(channel: ScriptedChannel, launcher: Launcher | None = None, limits: WorkerLimits | None = None) -> Tools:
    """With the inline launcher, unless another one is given."""
    return Tools(
        channel=channel,
        launcher=launcher or InlineLauncher(),
        limits=limits or WorkerLimits(),
        stop=channel.stop,
        rand=lambda: 0.5,
        log=Log(silo="north"),
        send_error_texts=True,
    )
