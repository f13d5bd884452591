"""How to run an app in a process of its own: its environment cleared, watched, and ended with all its children.

Agent and worker talk over a socket pair (frames.py). The app's output goes through a pipe into a log (app_log.py), and
to whom the launcher was made with. Where there is bubblewrap, the process is in a sandbox (sandbox.py); else it has
limits alone. It dies with the agent: at level 1 by a guard of the worker's (silo/worker.py), at level 2 by the kernel.

Linux only: the end of a process is seen through a pidfd, which a child that inherited the socket cannot hide.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from septum.adapters.launch import starter, watch
from septum.adapters.launch.app_log import LOG_NAME, keep_output
from septum.adapters.launch.frames import TO_AGENT, Done, Failed, FromWorker, Perform, Ready, Start, receive, send
from septum.adapters.launch.interpreter import environment_of_app, interpreter
from septum.adapters.launch.payload_file import PayloadFile
from septum.adapters.launch.process import WorkerProcess, readable, sender_of
from septum.adapters.launch.sandbox import SCRATCH, View, command, filter_file, level_for
from septum.adapters.launch.scratch import wipe
from septum.errors import ConnectionFailedError, MessageError, TimedOutError, VersionError, WorkerError
from septum.ports.launcher import Level, Task, TaskResult, WorkerLimits, WorkerSpec
from septum.protocol.messages import Blob
from septum.sdk.package import DATA_FOLDER

ENTRY = "septum.silo.worker"
START_S = 120.0  # importing numpy from a cold disk, on a busy machine
LAST_WORDS_S = 1.0  # a child that the app hid from us may hold the pipe open
BUFFER_BYTES = 1024 * 1024
SCRATCH_NAME = "scratch"  # in the run's directory: where a worker without a sandbox may write


class SubprocessLauncher:
    """A Launcher whose workers are processes.

    level   how far they are kept apart; None for the best that this machine has
    hidden  folders that no app may read, whatever lies around them: the silo's own. What is readable in them is
    heard   gets what the app of a run prints, piece by piece, from a thread of its own; it must not fail, nor wait
    """

    def __init__(
        self,
        level: Level | None = None,
        hidden: tuple[Path, ...] = (),
        heard: Callable[[str, bytes], None] = lambda run, chunk: None,  # noqa: ARG005
    ) -> None:
        self._level = level
        self._hidden = hidden
        self._heard = heard

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> SubprocessWorker:
        """A new worker process, ready for tasks. Raises WorkerError when it does not come up."""
        level = level_for(self._level)
        spec.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec.run_dir.chmod(0o700)
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_started, theirs:
            unless_started.callback(ours.close)
            if level is Level.SANDBOX:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # tells which process it is
                process = _start_in_sandbox(spec, _view(spec, limits, self._hidden), theirs.fileno())
            else:
                process = _start(spec, theirs.fileno())
            unless_started.pop_all()
        assert process.stdout is not None
        log = keep_output(process.stdout, spec.run_dir, spec.run, partial(self._heard, spec.run))
        worker = SubprocessWorker(spec, limits, WorkerProcess(process, level), ours, log.join)
        worker.begin()
        return worker


def _start(spec: WorkerSpec, control: int) -> subprocess.Popen[bytes]:
    scratch = spec.run_dir / SCRATCH_NAME
    wipe(scratch)
    scratch.mkdir(mode=0o700)
    python = interpreter(spec.python).program if spec.python else sys.executable
    program = [str(python), "-P", "-m", ENTRY, str(control)]
    return _popen(program, scratch, environment_of_app(scratch, os.environ), (control,))


def _start_in_sandbox(spec: WorkerSpec, view: View, control: int) -> subprocess.Popen[bytes]:
    """A new process. Its parent is a thread that lives as long as the agent: when the parent ends, it is killed."""
    program = [str(spec.python or sys.executable), "-P", "-m", ENTRY, str(control), "sandboxed"]
    with filter_file() as filtering:
        line = command(program, view, filtering)
        environment = environment_of_app(SCRATCH, os.environ)
        return starter.call(lambda: _popen(line, Path("/"), environment, (control, *filtering)))


def _popen(
    program: list[str], folder: Path, environment: Mapping[str, str], descriptors: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        program,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=descriptors,
        start_new_session=True,
        umask=0o077,
    )


def _view(spec: WorkerSpec, limits: WorkerLimits, hidden: tuple[Path, ...]) -> View:
    """What an app sees in its sandbox. Other silos' records may lie beside a folder that is no package."""
    python = interpreter(spec.python or Path(sys.executable))
    models = spec.model_dir or spec.run_dir.with_name("model")
    beside = spec.app_dir / DATA_FOLDER
    return View(
        readable=(*python.folders, *spec.paths, spec.app_dir, spec.data_path, spec.run_dir, models, *spec.readable),
        hidden=(*hidden, beside) if beside.is_dir() else hidden,
        scratch_bytes=limits.scratch_bytes,
    )


class SubprocessWorker:
    """A Worker that is a process. `close` may be called from another thread, to break off a task."""

    def __init__(
        self,
        spec: WorkerSpec,
        limits: WorkerLimits,
        process: WorkerProcess,
        control: socket.socket,
        wait_for_log: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._spec = spec
        self._limits = limits
        self._process = process
        self._control = control
        self._wait_for_log = wait_for_log
        self._watch: watch.Watch | None = None
        self._busy = threading.Lock()  # held while a task is under way
        self._ending = threading.Lock()  # held while the process is killed or reaped
        self._closed = False
        self._reaped = False

    @property
    def alive(self) -> bool:
        """Whether it can take another task."""
        with self._ending:
            return not (self._closed or self._reaped or self._process.ended())

    @property
    def level(self) -> Level:
        """How far the app's code is kept apart, for real."""
        return self._process.level

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def begin(self) -> None:
        """Tell the new process what it is for, and wait until it has limited itself."""
        with self._busy:
            sandboxed = self._process.level is Level.SANDBOX
            with self._watched(START_S, "its start") as deadline:
                self._say(Start.of(self._spec, self._limits), deadline)
                worker = sender_of(self._control) if sandboxed else 0
                answer = self._answer(deadline)
            if not isinstance(answer, Ready):
                self._reap()
                raise _failed(answer) if isinstance(answer, Failed) else self._nonsense("its start")
            if sandboxed:
                self._take_hold(worker)
            self._watch = watch.Watch(self._excess, self._kill, self._spec.run)

    def _take_hold(self, worker: int) -> None:
        try:
            self._process.look_inside(worker)
        except WorkerError:
            self._reap()
            raise

    def _excess(self) -> str:
        if self._process.level is Level.SANDBOX:
            return watch.sandbox(self._process.inside, self._limits)
        return watch.files(self._spec.run_dir / SCRATCH_NAME, self._limits)

    def perform(self, task: Task, output: Path) -> TaskResult:
        """Do one task. A large payload comes through the control channel into `output`."""
        doing = f"{task.stage.value} of round {task.round}"
        with self._busy:
            if self._reaped:
                raise WorkerError(f"the worker of {self._where} has ended", hint=self._log_hint)
            with self._watched(self._limits.task_s, doing) as deadline:
                self._say(Perform.of(task), deadline)
                answer = self._answer(deadline)
                if isinstance(answer, Failed):
                    raise _failed(answer)
                if not isinstance(answer, Done):
                    raise MessageError(f"{type(answer).__name__}, not Done")
                answer.check()
                return self._taken(answer, task, output, deadline)

    def _taken(self, answer: Done, task: Task, output: Path, deadline: float) -> TaskResult:
        """The result, with what follows its frame put into files."""
        coming: dict[Path, int] = {}
        if answer.follow_bytes:
            coming[output] = answer.follow_bytes
        if answer.state_bytes:
            coming[task.carry.with_name(f"{task.carry.name}.part")] = answer.state_bytes
        began = time.monotonic()
        blobs = self._take(coming, deadline)
        if answer.state_bytes:  # whole or not at all: a killed agent leaves no half file under the name
            task.carry.with_name(f"{task.carry.name}.part").replace(task.carry)
        encode_s = answer.durations_s.get("encode", 0.0) + time.monotonic() - began
        payload = blobs.get(output, answer.payload)
        durations = {**answer.durations_s, "encode": encode_s}
        has_state = answer.state_bytes > 0
        return TaskResult(answer.weight, durations, has_state, payload, answer.attested, answer.train_loss)

    def close(self) -> None:
        """End the process and everything it started."""
        self._closed = True
        self._kill()  # a task that is under way sees it, and ends
        with self._busy:
            self._reap()

    def _kill(self) -> None:
        with self._ending:
            if not self._reaped:
                self._process.kill()

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

    def _say(self, message: Start | Perform, deadline: float) -> None:
        """Send a frame, and wait until something comes back."""
        self._control.settimeout(max(0.001, deadline - time.monotonic()))
        send(self._control, message)
        self._wait(deadline)

    def _answer(self, deadline: float) -> object:
        return receive(self._control, FromWorker, TO_AGENT, timeout_s=deadline - time.monotonic())

    def _wait(self, deadline: float) -> None:
        """Until there is something to read. Its writer may have ended since, or its child may hold the socket open."""
        control = self._control.fileno()
        if not self._process.wait(deadline - time.monotonic(), control):
            raise TimedOutError("no answer")
        if not readable(control, 0):
            raise ConnectionFailedError("the process has ended")

    def _take(self, coming: Mapping[Path, int], deadline: float) -> dict[Path, Blob]:
        """What follows a frame, each part into its file. A file that cannot be written is told once all has come."""
        limit = self._limits.file_bytes
        for size_bytes in coming.values():
            if limit is not None and size_bytes > limit:
                self._reap()
                raise WorkerError(
                    f"the worker of {self._where} was killed: its payload has {size_bytes} bytes, the limit is {limit}",
                    hint="limits.file_mb in silo.toml",
                )
        buffer = memoryview(bytearray(min(max(coming.values(), default=0), BUFFER_BYTES)))
        with contextlib.ExitStack() as stack:
            files = {path: stack.enter_context(PayloadFile(path)) for path in coming}
            for path, missing in coming.items():
                while missing:
                    self._wait(deadline)
                    count = self._control.recv_into(buffer[:missing])
                    if not count:
                        raise ConnectionFailedError("the control channel was closed")
                    files[path].add(buffer[:count])
                    missing -= count
            return {path: file.blob() for path, file in files.items()}

    def _end(self) -> str:
        """How the process ended, which may be just now."""
        ended = self._process.ended(1.0)
        self._reap()
        if self._closed:
            return "was closed"
        if self._watch and self._watch.found:
            return f"was killed: {self._watch.found},"
        return self._process.how(self._limits) if ended else "closed its control channel and was killed"

    def _reap(self) -> None:
        """Make sure that the process and all that it started have ended, and let go of them."""
        if self._watch:
            self._watch.stop()
        with self._ending:
            if self._reaped:
                return
            self._process.reap()
            self._wait_for_log(LAST_WORDS_S)  # whoever is told of the end may look at the log next
            self._reaped = True
            self._control.close()
        if self._process.level is Level.PROCESS:
            wipe(self._spec.run_dir / SCRATCH_NAME)

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
