"""A coordinator that says what a test wrote down, and a stop signal whose pauses take no time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import ConnectionFailedError, NotFoundError, SeptumError
from septum.ports.launcher import Launcher, WorkerLimits
from septum.protocol.codec import decode, encode
from septum.protocol.messages import Await, Instruction, Leave, PollAnswer, SiloMessage, Wait
from septum.protocol.plan import digest_of
from septum.silo.agent import Agent
from septum.silo.log import Log
from septum.silo.taking_part import Tools

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


class HeldChannel(ScriptedChannel):
    """Holds the polls after the script's, and every Await, until it is closed; then they fail."""

    def __init__(self, *script: Answer, polls: list[PollAnswer | SeptumError]) -> None:
        super().__init__(threading.Event(), *script, polls=polls)
        self.holding = threading.Semaphore(0)
        self._over = threading.Event()

    def poll(self, serving: tuple[str, ...]) -> PollAnswer:
        if self.polls:
            return super().poll(serving)
        self.polled.append(tuple(serving))
        return self._hold()

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        if isinstance(message, Await):
            self.said.append(message)
            return self._hold()
        if isinstance(message, Leave):
            self.said.append(message)
            return Wait()
        return super().exchange(run, message)

    def _hold(self) -> Wait:
        self.holding.release()
        self._over.wait(30)
        raise ConnectionFailedError("closed")

    def close(self) -> None:
        super().close()
        self._over.set()


def serve(agent: Agent) -> threading.Thread:
    thread = threading.Thread(target=agent.serve, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


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
