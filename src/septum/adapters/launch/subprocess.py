"""How to run an app in a process of its own: its environment cleared, watched, and ended with all its children.

Agent and worker talk over a socket pair (frames.py). The app's output goes through a pipe into `worker.log` in the run
directory, up to a limit; it is never sent anywhere. The process leads its own session and process group, so that one
signal ends whatever it started. It dies with the agent (silo/worker.py).

Linux only: the end of a process is seen through a pidfd, which a child that inherited the socket cannot hide.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from septum.adapters.launch.frames import TO_AGENT, Done, Failed, FromWorker, Perform, Ready, Start, receive, send
from septum.adapters.launch.payload_file import PayloadFile
from septum.errors import ConnectionFailedError, MessageError, TimedOutError, VersionError, WorkerError
from septum.ports.launcher import Task, TaskResult, WorkerLimits, WorkerSpec
from septum.protocol.messages import Blob

ENTRY = "septum.silo.worker"
START_S = 120.0  # importing numpy from a cold disk, on a busy machine
LAST_WORDS_S = 1.0  # a child that the app hid from us may hold the pipe open
BUFFER_BYTES = 1024 * 1024
LOG_NAME = "worker.log"
MAX_LOG_BYTES = 1 << 20
_LOG_FULL = b"\n... what the app printed after this is not kept\n"


class SubprocessLauncher:
    """A Launcher whose workers are processes."""

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> SubprocessWorker:
        """A new worker process, ready for tasks. Raises WorkerError when it does not come up."""
        (spec.run_dir / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        spec.run_dir.chmod(0o700)
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-P", "-m", ENTRY, str(theirs.fileno())],
                cwd=spec.run_dir,
                env=_environment(spec.run_dir, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        assert process.stdout is not None
        log = threading.Thread(
            target=_keep_output, args=(process.stdout, _open_log(spec.run_dir)), name=f"log {spec.run}", daemon=True
        )
        log.start()
        worker = SubprocessWorker(spec, limits, process, ours, log.join)
        worker.begin()
        return worker


def _environment(run_dir: Path, ours: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the agent's but where to find programs and Python's packages."""
    kept = {name: ours[name] for name in ("PATH", "PYTHONPATH", "PYTHONHOME") if name in ours}
    return kept | {
        "LANG": "C.UTF-8",
        "HOME": str(run_dir),
        "TMPDIR": str(run_dir / "tmp"),
        "OMP_NUM_THREADS": "1",  # the same sums on any machine; silos may share one
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",  # an app that walks a set walks it in one order
        "PYTHONUNBUFFERED": "1",  # what it printed before it was killed is what one wants to see
        "PYTHONFAULTHANDLER": "1",
    }


def _open_log(run_dir: Path) -> IO[bytes]:
    """A new log; the last worker's becomes `worker.log.1`. Links that an app may have put there are not followed."""
    path = run_dir / LOG_NAME
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{LOG_NAME}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _keep_output(pipe: IO[bytes], log: IO[bytes]) -> None:
    """Read the pipe to its end, so that the app never blocks on it, and keep the first part."""
    room = MAX_LOG_BYTES
    with pipe, log:
        while chunk := os.read(pipe.fileno(), 65_536):
            if room < 0:
                continue
            with contextlib.suppress(OSError):  # a full disk must not stop the app
                log.write(chunk[:room] + (_LOG_FULL if len(chunk) > room else b""))
                log.flush()
            room = room - len(chunk) if len(chunk) <= room else -1


class SubprocessWorker:
    """A Worker that is a process. `close` may be called from another thread, to break off a task."""

    def __init__(
        self,
        spec: WorkerSpec,
        limits: WorkerLimits,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        wait_for_log: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._spec = spec
        self._limits = limits
        self._process = process
        self._control = control
        self._wait_for_log = wait_for_log
        self._pidfd = os.pidfd_open(process.pid)
        self._busy = threading.Lock()  # held while a task is under way
        self._ending = threading.Lock()  # held while the process is killed or reaped
        self._closed = False
        self._reaped = False

    @property
    def alive(self) -> bool:
        """Whether it can take another task."""
        with self._ending:
            return not (self._closed or self._reaped or _readable(self._pidfd, 0))

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def begin(self) -> None:
        """Tell the new process what it is for, and wait until it has limited itself."""
        with self._busy:
            with self._watched(START_S, "its start") as deadline:
                answer = self._ask(Start.of(self._spec, self._limits), deadline)
            if isinstance(answer, Ready):
                return
            self._reap()
            raise _failed(answer) if isinstance(answer, Failed) else self._nonsense("its start")

    def perform(self, task: Task, output: Path) -> TaskResult:
        """Do one task. A large payload comes through the control channel into `output`."""
        doing = f"{task.stage.value} of round {task.round}"
        with self._busy:
            if self._reaped:
                raise WorkerError(f"the worker of {self._where} has ended", hint=self._log_hint)
            with self._watched(self._limits.task_s, doing) as deadline:
                answer = self._ask(Perform.of(task), deadline)
                if isinstance(answer, Failed):
                    raise _failed(answer)
                if not isinstance(answer, Done):
                    raise MessageError(f"{type(answer).__name__}, not Done")
                answer.check()
                if not answer.follow_bytes:
                    return TaskResult(answer.weight, answer.durations_s, answer.has_state, answer.payload)
                began = time.monotonic()
                blob = self._take(answer.follow_bytes, output, deadline)
                encode_s = answer.durations_s.get("encode", 0.0) + time.monotonic() - began
                return TaskResult(answer.weight, {**answer.durations_s, "encode": encode_s}, answer.has_state, blob)

    def close(self) -> None:
        """End the process and everything it started."""
        self._closed = True
        with self._ending:
            if not self._reaped:
                _kill_group(self._process.pid)  # a task that is under way sees it, and ends
        with self._busy:
            self._reap()

    @contextlib.contextmanager
    def _watched(self, timeout_s: float, doing: str) -> Iterator[float]:
        """Talk to the process inside, until the deadline given. What goes wrong ends it, and is a WorkerError."""
        try:
            yield time.monotonic() + timeout_s
        except TimedOutError as error:
            self._reap()
            raise WorkerError(
                f"the worker of {self._where} was killed: {doing} took longer than {timeout_s:g} s",
                hint=f"raise limits.task_s in silo.toml if it is no hang; {self._log_hint}",
            ) from error
        except VersionError as error:
            self._reap()
            raise WorkerError(
                f"the worker of {self._where} cannot be talked to: {error.message}", hint=error.hint
            ) from error
        except MessageError as error:
            raise self._nonsense(doing, error) from error
        except ConnectionFailedError as error:
            raise WorkerError(
                f"the worker of {self._where} {self._end()} during {doing}", hint=self._log_hint
            ) from error

    def _ask(self, message: Start | Perform, deadline: float) -> object:
        """Send a frame, and wait for the next one."""
        self._control.settimeout(deadline - time.monotonic())
        send(self._control, message)
        self._wait(deadline)
        return receive(self._control, FromWorker, TO_AGENT, timeout_s=deadline - time.monotonic())

    def _wait(self, deadline: float) -> None:
        """Until there is something to read. Its writer may have ended since, or its child may hold the socket open."""
        control = self._control.fileno()
        if not _readable(control, deadline - time.monotonic(), self._pidfd):
            raise TimedOutError("no answer")
        if not _readable(control, 0):
            raise ConnectionFailedError("the process has ended")

    def _take(self, size_bytes: int, output: Path, deadline: float) -> Blob:
        """The payload that follows a frame."""
        limit = self._limits.file_bytes
        if limit is not None and size_bytes > limit:
            self._reap()
            raise WorkerError(
                f"the worker of {self._where} was killed: its payload has {size_bytes} bytes, the limit is {limit}",
                hint="limits.file_mb in silo.toml",
            )
        buffer = memoryview(bytearray(min(size_bytes, BUFFER_BYTES)))
        with PayloadFile(output) as file:
            while size_bytes:
                self._wait(deadline)
                count = self._control.recv_into(buffer[:size_bytes])
                if not count:
                    raise ConnectionFailedError("the control channel was closed")
                file.add(buffer[:count])
                size_bytes -= count
            return file.blob()

    def _end(self) -> str:
        """How the process ended, which may be just now."""
        ended = _readable(self._pidfd, 1.0)
        self._reap()
        if self._closed:
            return "was closed"
        return _how(self._process.returncode, self._limits) if ended else "closed its control channel and was killed"

    def _reap(self) -> None:
        """Make sure that the process and all that it started have ended, and let go of them."""
        with self._ending:
            if self._reaped:
                return
            _kill_group(self._process.pid)
            self._process.wait()
            self._wait_for_log(LAST_WORDS_S)  # whoever is told of the end may look at the log next
            self._reaped = True
            os.close(self._pidfd)
            self._control.close()

    def _nonsense(self, doing: str, cause: MessageError | None = None) -> WorkerError:
        self._reap()
        what = f": {cause.message}" if cause else ""
        return WorkerError(f"the worker of {self._where} was killed: it answered nonsense to {doing}{what}")

    @property
    def _where(self) -> str:
        return f"run {self._spec.run} in silo {self._spec.silo}"

    @property
    def _log_hint(self) -> str:
        return f"what the app printed: {self._spec.run_dir / LOG_NAME}"


def _failed(answer: Failed) -> WorkerError:
    return WorkerError(answer.message, hint=answer.hint, details=answer.details)


def _how(code: int, limits: WorkerLimits) -> str:
    """The end of a process, in words.

    >>> _how(-9, WorkerLimits())
    'was killed by SIGKILL (out of memory, perhaps)'
    """
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why: dict[int, str] = {
        signal.SIGKILL: " (out of memory, perhaps)",
        signal.SIGXCPU: f" (it used its {limits.cpu_s} s of processor time)",
    }
    return f"was killed by {name}{why.get(-code, '')}"


def _readable(fd: int, timeout_s: float, other: int = -1) -> bool:
    """Whether one of the descriptors can be read within that time. A pidfd can once its process has ended."""
    poll = select.poll()
    for one in (fd, other):
        if one >= 0:
            poll.register(one, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _kill_group(pid: int) -> None:
    """Kill a process and its group. It is not reaped yet, so its id cannot have become another's."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
