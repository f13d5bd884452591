"""What runs in a training process? `python -m septum.silo.worker FD`: limits itself, then does one task at a time.

The agent starts it (adapters/launch/subprocess.py). Only after the limits are set is the app's code imported. When the
agent goes away, the process ends with everything that the app started, also in the middle of a task.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import resource
import signal
import socket
import sys
import threading

from septum.adapters.launch.frames import Done, Failed, Perform, Ready, Start, ToWorker, receive, send
from septum.adapters.launch.tasks import Workplace, worker_error
from septum.errors import ConnectionFailedError, MessageError
from septum.ports.launcher import WorkerLimits

# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_CPU_GRACE_S = 5  # SIGXCPU, which names the cause, comes this long before SIGKILL


def main(arguments: list[str]) -> None:
    """Serve the agent at the other end of the socket with descriptor `arguments[0]`."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    start = receive(control, ToWorker)
    if not isinstance(start, Start):
        raise MessageError(f"a worker is told Start first, not {type(start).__name__}")
    confine(start.limits)
    sys.dont_write_bytecode = True  # an app's folder is only read
    tasks: queue.SimpleQueue[Perform] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(control, tasks), name="control", daemon=True).start()
    send(control, Ready())
    workplace = Workplace(start.spec())
    while True:
        send(control, _perform(workplace, tasks.get()))


def confine(limits: WorkerLimits) -> None:
    """Give up what the worker does not need, for good: children inherit it."""
    _limit(resource.RLIMIT_CORE, 0)  # a core file would hold the silo's rows
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, _CPU_GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the agent's end of the socket tells as well
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _limit(which: int, wanted: int | None, grace: int = 0) -> None:
    """Lower a limit, never raise it."""
    if wanted is None:
        return
    _, hard = resource.getrlimit(which)
    ceiling = wanted + grace if hard == resource.RLIM_INFINITY else min(wanted + grace, hard)
    resource.setrlimit(which, (min(wanted, ceiling), ceiling))


def _listen(control: socket.socket, tasks: queue.SimpleQueue[Perform]) -> None:
    """Take the agent's frames, all the while: the end of them is the end of the agent, and of this process group."""
    try:
        while isinstance(message := receive(control, ToWorker), Perform):
            tasks.put(message)
    except (ConnectionFailedError, MessageError):
        pass
    finally:
        os.killpg(0, signal.SIGKILL)


def _perform(workplace: Workplace, message: Perform) -> Done | Failed:
    try:
        result = workplace.perform(message.task())
    except Exception as error:  # noqa: BLE001  whatever an app raises is told to the agent, with its traceback
        told = worker_error(error)
        return Failed.of(told.message, told.hint, told.details)
    return Done(result.weight, result.durations_s, result.has_state)


if __name__ == "__main__":
    main(sys.argv[1:])
