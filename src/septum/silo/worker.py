"""What runs in a training process? `python -m septum.silo.worker FD`: limits itself, then does one task at a time.

The agent starts it (adapters/launch/subprocess.py). Only after the limits are set is the app's code imported, or any
package that may come from the app's own environment. When the agent goes away, a second small process ends this one and
its process group, also in the middle of a task; with `sandboxed` after FD, the kernel ends the whole sandbox instead.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING

from septum.adapters.launch.confine import confine
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
from septum.errors import MessageError, VersionError
from septum.sdk.search_path import search_path

if TYPE_CHECKING:
    from septum.adapters.launch.tasks import Workplace


def main(arguments: list[str]) -> None:
    """Serve the agent at the other end of the socket with descriptor `arguments[0]`."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    if arguments[1:] != ["sandboxed"]:
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
    sys.path[:] = search_path(sys.path, start.paths)
    from septum.adapters.launch.tasks import Workplace  # imports numpy, which may be the app's own

    workplace = Workplace(start.spec())
    send(control, Ready())
    while True:
        task = receive(control, ToWorker, TO_WORKER)
        if not isinstance(task, Perform):
            raise MessageError(f"a worker that has started is told Perform, not {type(task).__name__}")
        _perform(control, workplace, task)


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
    from septum.adapters.launch.tasks import bytes_of, pieces_of, worker_error  # as above: not before the limits

    try:
        made = workplace.perform(message.task())
    except Exception as error:  # noqa: BLE001  whatever an app raises is told to the agent, with its traceback
        told = worker_error(error)
        send(control, Failed.of(told.message, told.hint, told.details))
        return
    sizes = bytes_of(made.large), bytes_of(made.state)
    send(control, Done(made.weight, made.durations_s, made.small, *sizes, made.attested, made.train_loss))
    send_pieces(control, pieces_of(made.large))
    send_pieces(control, pieces_of(made.state))


if __name__ == "__main__":
    main(sys.argv[1:])
