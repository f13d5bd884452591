"""Which process does a worker run in, and how is it ended with all that it started?

At level 1 it leads a session and a process group of its own, which one signal ends; what left the session lives on. At
level 2 it is the first program in a pid namespace, below two processes of bubblewrap: when the namespace's own first
process is killed, the kernel kills all that is in it, and that process has ended only once they all have.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
from pathlib import Path

from septum.errors import ConnectionFailedError, WorkerError
from septum.ports.launcher import Level, WorkerLimits

_END_S = 20.0  # for a process that the kernel cannot end at once, such as one that waits for a disk
_BY_SIGNAL = 128  # and the signal's number: how bubblewrap, like a shell, tells that a program was killed
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group


class WorkerProcess:
    """A process and its end. The methods are not for two threads at once, but for `wait` and `ended`."""

    def __init__(self, process: subprocess.Popen[bytes], level: Level = Level.PROCESS) -> None:
        self.level = level
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._inner: int | None = None  # the worker's own process id in a sandbox, as seen from here
        self._first = -1  # a pidfd of the first process of the namespace
        self.inside = -1  # a descriptor of the sandbox's own /proc, in which its processes are alone

    @property
    def pid(self) -> int:
        """The worker, for people who look."""
        return self._inner or self._process.pid

    def look_inside(self, worker: int) -> None:
        """Take hold of the sandbox around a process, by its id: called once, before any code of the app runs.

        Raises WorkerError when it is not in the sandbox that was started.
        """
        try:
            self._first = _child_of(self._process.pid, _parent_of(worker))
            self.inside = os.open(f"/proc/{worker}/root/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise WorkerError(f"the processes in the sandbox cannot be seen: {error}", hint="septum doctor") from error
        self._inner = worker

    def wait(self, timeout_s: float, other: int = -1) -> bool:
        """Whether the process ended, or `other` can be read, within that time."""
        return readable(self._pidfd, timeout_s, other)

    def ended(self, timeout_s: float = 0.0) -> bool:
        """Whether the process has ended, or does within that time."""
        return readable(self._pidfd, timeout_s)

    def kill(self) -> None:
        """Kill it and what belongs to it. Not after `reap`, for then its id can have become another's."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._first >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    def reap(self) -> None:
        """Kill it, wait until all that belonged to it have ended, and let go of it."""
        self.kill()
        self._process.wait()
        if self._first >= 0:
            readable(self._first, _END_S)
        for descriptor in (self._pidfd, self._first, self.inside):
            if descriptor >= 0:
                os.close(descriptor)

    def how(self, limits: WorkerLimits) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if self.level is Level.SANDBOX and code > _BY_SIGNAL:
            code = _BY_SIGNAL - code
        return how(code, limits)


def sender_of(control: socket.socket) -> int:
    """Which process sent what waits to be read: the kernel says it, and in the ids that are used here.

    For a socket with SO_PASSCRED, which this ends. 0 when nothing waits. Raises ConnectionFailedError.
    """
    try:
        _, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_PEEK)
        control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    except OSError as error:
        raise ConnectionFailedError(f"the control channel broke: {error}") from error
    told = [data for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
    return int(_CREDENTIALS.unpack(told[0])[0]) if told else 0


def how(code: int, limits: WorkerLimits) -> str:
    """The end of a process, in words.

    >>> how(-9, WorkerLimits())
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


def readable(fd: int, timeout_s: float, other: int = -1) -> bool:
    """Whether one of the descriptors can be read within that time. A pidfd can once its process has ended."""
    poll = select.poll()
    for one in (fd, other):
        if one >= 0:
            poll.register(one, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))


def _child_of(parent: int, pid: int) -> int:
    """A pidfd of the process; its parent is asked for after that, for an id may be given to another process."""
    pidfd = os.pidfd_open(pid)
    if _parent_of(pid) != parent:
        os.close(pidfd)
        raise ValueError(f"process {pid} is not below {parent}")
    return pidfd


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
