"""What does a process give up, and can another process of the same user look into it afterwards?"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from septum.adapters.launch.confine import confine, keep_out
from septum.ports.launcher import WorkerLimits

pytestmark = pytest.mark.processes

NOBODY = 65534
_PR_SET_DUMPABLE = 4


def outcome_of(work: Callable[[], object]) -> str:
    """What a forked process says in the end."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = str(work())
        except OSError as error:
            said = type(error).__name__
        os.write(there, said.encode())
        os._exit(0)
    os.close(there)
    with open(here) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as it is after a start, which a change of user is not


@pytest.mark.parametrize("shielded", [False, True])
def test_a_shielded_process_cannot_be_read_by_another_of_its_user(shielded: bool) -> None:
    def look() -> str:
        become_nobody()
        if shielded:
            keep_out()
        victim = os.getpid()
        return outcome_of(lambda: (become_nobody(), open(f"/proc/{victim}/mem", "rb").close(), "read")[2])

    assert outcome_of(look) == ("PermissionError" if shielded else "read")


def test_limits_are_lowered_and_never_raised() -> None:
    def lower() -> list[object]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
        confine(WorkerLimits(memory_bytes=10**12, cpu_s=7, file_bytes=5, open_files=100, processes=None))
        names = ("NOFILE", "AS", "CPU", "FSIZE", "CORE")
        return [resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names]

    assert outcome_of(lower) == str([(50, 50), (10**12, 10**12), (7, 12), (5, 5), (0, 0)])


def test_the_kernel_takes_a_worker_first_when_memory_runs_out() -> None:
    def adjusted() -> str:
        confine(WorkerLimits())
        return Path("/proc/self/oom_score_adj").read_text().strip()

    assert outcome_of(adjusted) == "1000"


def test_processes_are_counted_from_what_the_user_has_already() -> None:
    def limited() -> bool:
        before = int(Path("/proc/self/status").read_text().partition("Threads:")[2].split()[0])
        confine(WorkerLimits(processes=100))
        return resource.getrlimit(resource.RLIMIT_NPROC)[0] >= 100 + before

    assert outcome_of(limited) == "True"
