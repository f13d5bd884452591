"""Will septum work here? Each check looks at one thing, and says what to do when it is not well."""

from __future__ import annotations

import os
import platform
import shutil
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

import httpx

from septum import __version__
from septum.adapters.launch.sandbox import SANDBOX_HINT, lacking
from septum.cli.access import AccessFlags, Found, project_file, resolve_access, settled, user_file
from septum.client import Access, Client
from septum.client.client import API
from septum.errors import SeptumError
from septum.ports.launcher import WorkerLimits

OLDEST_PYTHON = (3, 11)
TIMEOUT_S = 10.0
CLOCK_WARN_S = 5.0
CLOCK_FAIL_S = 60.0  # a silo's signed request is refused when its time is further off
DISK_WARN_BYTES = 5 * 2**30
DISK_FAIL_BYTES = 2**29
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "coordinator": ("alembic", "argon2", "fastapi", "granian", "jwt", "sqlalchemy"),
    "torch": ("torch",),
}


class Level(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and the next command if there is one."""

    name: str
    level: Level
    message: str
    hint: str = ""


def all_checks(reaching: Sequence[Check], data_dir: Path | None) -> tuple[Check, ...]:
    """Every check, in the order in which one would repair things. `reaching`: those about the coordinator."""
    return (
        python_version(sys.version_info[:3]),
        operating_system(),
        *extras(),
        *reaching,
        directory(data_dir or Path.cwd(), private=data_dir is not None),
        free_disk(data_dir or Path.cwd()),
        worker_process(WorkerLimits()),
        sandbox(lacking()),
    )


def python_version(found: tuple[int, ...]) -> Check:
    """Whether this Python is new enough.

    >>> python_version((3, 10, 2)).level
    <Level.FAIL: 'fail'>
    """
    text = ".".join(str(part) for part in found)
    if found[:2] >= OLDEST_PYTHON:
        return Check("python", Level.OK, f"{text}, septum {__version__}")
    needed = ".".join(str(part) for part in OLDEST_PYTHON)
    return Check("python", Level.FAIL, f"{text} is too old", f"install Python {needed} or newer")


def operating_system() -> Check:
    """Whether the limits on training processes exist here."""
    found = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() == "Linux":
        return Check("platform", Level.OK, found)
    return Check("platform", Level.WARN, found, "run coordinators and silos on Linux; this is fine for submitting runs")


def extras() -> tuple[Check, ...]:
    """Which optional parts are installed. None is needed by a silo whose apps use numpy alone."""
    found = []
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if find_spec(name) is None]
        if missing:
            told = f"not installed ({', '.join(missing)})"
            found.append(
                Check(f"extra {extra}", Level.OK, told, f"pip install 'septum[{extra}]', if it is needed here")
            )
        else:
            found.append(Check(f"extra {extra}", Level.OK, "installed"))
    return tuple(found)


def configuration(flags: AccessFlags) -> tuple[Check, ...]:
    """Whether a coordinator is named, answers, and has the same time. None named is no fault of a silo."""
    private = secret_files(Path.cwd(), os.environ)
    try:
        url = settled(flags, os.environ, Path.cwd())[0]
        if not url.value:
            named = Check("coordinator", Level.WARN, "none is named", "septum config show --origin; set SEPTUM_URL")
            return (*private, named)
        found = resolve_access(flags)
    except SeptumError as error:
        return (*private, Check("coordinator", Level.FAIL, error.message, error.hint))
    return (*private, *coordinator(found))


def coordinator(found: Found) -> tuple[Check, ...]:
    """Whether the coordinator answers, with which version, and how far its clock is from this one."""
    try:
        with Client(Access(found.url, found.token, found.ca_file), timeout_s=TIMEOUT_S) as client:
            health = client.health()
    except SeptumError as error:
        return (Check("coordinator", Level.FAIL, error.message, error.hint or "septum config show --origin"),)
    labelled = f", labelled {', '.join(health.labels)}" if health.labels else ""
    told = f"{found.url} runs septum {health.version}{labelled}, {health.silos_online} silos online"
    if health.version == __version__:
        answers = Check("coordinator", Level.OK, told)
    else:
        answers = Check("coordinator", Level.WARN, f"{told}; this is {__version__}", "upgrade the older of the two")
    return (answers, clock(*_dates(found)))


def clock(theirs_unix: float | None, ours_unix: float) -> Check:
    """How far two clocks are apart. The other one is known to a second.

    >>> clock(100.0, 200.0).level
    <Level.FAIL: 'fail'>
    """
    if theirs_unix is None:
        return Check("clock", Level.WARN, "the coordinator did not say its time", "compare `date -u` on both machines")
    offset_s = ours_unix - theirs_unix
    told = f"{abs(offset_s):.0f} s {'ahead of' if offset_s > 0 else 'behind'} the coordinator's"
    if abs(offset_s) <= CLOCK_WARN_S:
        return Check("clock", Level.OK, f"within {CLOCK_WARN_S:.0f} s of the coordinator's")
    level = Level.FAIL if abs(offset_s) > CLOCK_FAIL_S else Level.WARN
    return Check("clock", level, told, "timedatectl set-ntp true, on the machine that is off")


def secret_files(folder: Path, environment: Mapping[str, str]) -> tuple[Check, ...]:
    """Configuration files that other users of this machine can read."""
    open_files = []
    for path in (project_file(folder), user_file(environment)):
        if path is not None and path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            open_files.append(path)
    return tuple(
        Check("secrets", Level.WARN, f"{path} may hold a token and is open to other users", f"chmod 600 {path}")
        for path in open_files
    )


def directory(path: Path, *, private: bool) -> Check:
    """Whether this user can write there and, for a data directory, whether others are kept out."""
    if not path.exists():
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return Check("directory", Level.OK, f"{path} is not there and can be made")
        return Check("directory", Level.FAIL, f"{path} cannot be made: {parent} is not writable", f"ls -ld {parent}")
    if not path.is_dir():
        return Check("directory", Level.FAIL, f"{path} is not a directory", "give another one with --data-dir")
    if not os.access(path, os.W_OK | os.X_OK):
        return Check("directory", Level.FAIL, f"{path} is not writable by this user", f"ls -ld {path}; id")
    mode = stat.S_IMODE(path.stat().st_mode)
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Check("directory", Level.WARN, f"{path} is open to other users (mode {mode:04o})", f"chmod 700 {path}")
    return Check("directory", Level.OK, f"{path} is writable")


def free_disk(path: Path) -> Check:
    """Whether models and updates find room."""
    there = path if path.exists() else next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / 2**30:.1f} GiB free at {there}"
    if free < DISK_FAIL_BYTES:
        return Check("disk", Level.FAIL, told, f"df -h {there}")
    return Check("disk", Level.WARN if free < DISK_WARN_BYTES else Level.OK, told, "")


def worker_process(limits: WorkerLimits) -> Check:
    """Whether this user can start a process that lowers its limits, as a silo's training process does."""
    program = f"import resource as r\nr.setrlimit(r.RLIMIT_NOFILE, ({limits.open_files}, {limits.open_files}))\n" + (
        f"r.setrlimit(r.RLIMIT_FSIZE, ({limits.file_bytes}, {limits.file_bytes}))\n" if limits.file_bytes else ""
    )
    try:
        done = subprocess.run(  # noqa: S603 - this very Python, and a program made of two numbers
            [sys.executable, "-I", "-c", program], capture_output=True, timeout=30, check=False, env={}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("worker", Level.FAIL, f"no process can be started: {error}", "ulimit -u; free -h")
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        return Check(
            "worker", Level.FAIL, f"a training process cannot set its limits: {reason}", "ulimit -Hn; ulimit -Hf"
        )
    return Check("worker", Level.OK, f"processes start, with limits of {limits.open_files} open files each")


def sandbox(missing: str) -> Check:
    """Whether training processes are kept apart from the silo's files and the network; `missing` says why not.

    >>> sandbox("").message
    'level 2: no network, no file but what an app may read'
    """
    if not missing:
        return Check("sandbox", Level.OK, "level 2: no network, no file but what an app may read")
    return Check("sandbox", Level.WARN, f"level 1 only, for apps that one would run oneself: {missing}", SANDBOX_HINT)


def _dates(found: Found) -> tuple[float | None, float]:
    """The coordinator's time by its Date field, and ours: Unix seconds."""
    try:
        trusted = ssl.create_default_context(cafile=found.ca_file or None)
        answer = httpx.get(f"{found.url.rstrip('/')}{API}/health", verify=trusted, timeout=TIMEOUT_S)
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx.HTTPError, OSError, KeyError, ValueError):
        return None, time.time()
    return theirs, time.time()
