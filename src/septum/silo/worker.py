"""What runs in a training process? `python -m septum.silo.worker FD`: limits itself, then does one task at a time.

The agent starts it (adapters/launch/subprocess.py). Only after the limits are set is the app's code imported. When the
agent goes away, a second small process ends this one and everything that the app started, also in the middle of a task.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import sys

from septum.adapters.launch.frames import (
    TO_WORKER,
    Done,
    Failed,
    Perform,
    Ready,
    Start,
    ToWorker,
    receive,
    send,
    send_pieces,
)
from septum.adapters.launch.tasks import Workplace, worker_error
from septum.errors import MessageError, VersionError
from septum.ports.launcher import WorkerLimits
from septum.protocol import tensors

_PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>
_CPU_GRACE_S = 5  # SIGXCPU, which names the cause, comes this long before SIGKILL


def main(arguments: list[str]) -> None:
    """Serve the agent at the other end of the socket with descriptor `arguments[0]`."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    _guard(control)
    try:
        start = receive(control, ToWorker, TO_WORKER)
    except VersionError as error:  # the agent cannot read this either, and says what both of them speak
        send(control, Failed.of(error.message, error.hint, ""))
        return
    if not isinstance(start, Start):
        raise MessageError(f"a worker is told Start first, not {type(start).__name__}")
    confine(start.limits)
    sys.dont_write_bytecode = True  # an app's folder is only read
    send(control, Ready())
    workplace = Workplace(start.spec())
    while True:
        task = receive(control, ToWorker, TO_WORKER)
        if not isinstance(task, Perform):
            raise MessageError(f"a worker that has started is told Perform, not {type(task).__name__}")
        _perform(control, workplace, task)


def confine(limits: WorkerLimits) -> None:
    """Give up what the worker does not need, for good: children inherit it."""
    _limit(resource.RLIMIT_CORE, 0)  # a core file would hold the silo's rows
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, _CPU_GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    with contextlib.suppress(OSError, AttributeError):  # where there is no prctl
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(which: int, wanted: int | None, grace: int = 0) -> None:
    """Lower a limit, never raise it."""
    if wanted is None:
        return
    _, hard = resource.getrlimit(which)
    ceiling = wanted + grace if hard == resource.RLIM_INFINITY else min(wanted + grace, hard)
    resource.setrlimit(which, (min(wanted, ceiling), ceiling))


def _guard(control: socket.socket) -> None:
    """Leave a child behind that waits for the agent to go, and then kills the process group, itself included.

    A thread could not: the app may hold the interpreter's lock for ever. Nor could PR_SET_PDEATHSIG: it ends this
    process alone, and what the app started lives on.
    """
    if os.fork():
        return
    hang_up = select.poll()
    hang_up.register(control, 0)  # POLLHUP is reported unasked: the agent's end was closed, if only by its death
    hang_up.poll()
    os.killpg(0, signal.SIGKILL)


def _perform(control: socket.socket, workplace: Workplace, message: Perform) -> None:
    try:
        made = workplace.perform(message.task())
    except Exception as error:  # noqa: BLE001  whatever an app raises is told to the agent, with its traceback
        told = worker_error(error)
        send(control, Failed.of(told.message, told.hint, told.details))
        return
    follow_bytes = sum(len(piece) for piece in tensors.pieces(made.large)) if made.large else 0
    send(control, Done(made.weight, made.durations_s, made.has_state, made.small, follow_bytes))
    if follow_bytes:
        send_pieces(control, tensors.pieces(made.large))


if __name__ == "__main__":
    main(sys.argv[1:])
