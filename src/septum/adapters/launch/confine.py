"""What does a training process give up before any code of the app runs? Its children inherit it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path

from septum.ports.launcher import WorkerLimits

_CPU_GRACE_S = 5  # SIGXCPU, which names the cause, comes this long before SIGKILL
# <linux/prctl.h>
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522  # <linux/capability.h>
_MAX_CAPABILITIES = 64


def confine(limits: WorkerLimits) -> None:
    """Give up what a worker does not need, for good."""
    _limit(resource.RLIMIT_CORE, 0)  # a core file would hold the silo's rows
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, _CPU_GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.processes is not None:
        _limit(resource.RLIMIT_NPROC, _tasks_of_this_user() + limits.processes)
    with contextlib.suppress(OSError):  # when memory runs out, the kernel shall end this process and not the agent
        Path("/proc/self/oom_score_adj").write_text("1000")
    _drop_privileges()


def keep_out() -> None:
    """Let no other process of this user read the memory or the environment of this one, nor trace it."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _limit(which: int, wanted: int | None, grace: int = 0) -> None:
    """Lower a limit, never raise it."""
    if wanted is None:
        return
    _, hard = resource.getrlimit(which)
    ceiling = wanted + grace if hard == resource.RLIM_INFINITY else min(wanted + grace, hard)
    resource.setrlimit(which, (min(wanted, ceiling), ceiling))


def _tasks_of_this_user() -> int:
    """Processes and threads, for that is what RLIMIT_NPROC counts: of the user, or in a sandbox of the sandbox.

    The kernel does not hold root to it.
    """
    count = 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):  # a process that ended meanwhile
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += len(os.listdir(f"{entry.path}/task"))
    return count


def _drop_privileges() -> None:
    """No capability is left, and none comes back: root's own right to pass over file modes neither."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_MAX_CAPABILITIES):
        _prctl(_PR_CAPBSET_DROP, capability)  # refused to those who have none to drop
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(AttributeError):  # where there is no capset
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).capset(header, none)


def _prctl(what: int, value: int) -> None:
    with contextlib.suppress(AttributeError):  # where there is no prctl
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)
