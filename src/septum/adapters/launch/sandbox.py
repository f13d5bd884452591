"""How is a program run in a sandbox? The command line of bubblewrap, for one that may read what is named and no more.

Namespaces of its own: no network but its own loopback, no processes but its own, no host name. The root is empty but
for the system's programs and libraries, the interpreter, and what the caller names, all read-only. What the program
writes goes into one tmpfs of a fixed size and is gone with it. It has no capability and cannot get one, and when its
parent ends, the kernel ends all that is inside.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.launch import seccomp
from septum.adapters.launch.interpreter import interpreter, where_python_is
from septum.errors import ConfigError, SeptumError
from septum.ports.launcher import Level

PROGRAM = "bwrap"
SCRATCH = Path("/tmp")  # noqa: S108  of the sandbox, where nobody else is
NOBODY = 65534
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr on most systems
_LIBRARIES = ("/etc/ld.so.cache", "/etc/alternatives")  # where libraries are, and which of several is used
_DEVICES = ("null", "zero", "full", "random", "urandom")
_PROBE_S = 60.0
SANDBOX_HINT = (
    "apt install bubblewrap (0.7 or newer); where user namespaces are forbidden: sysctl user.max_user_namespaces=10000"
    " kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
)


@dataclass(frozen=True, slots=True)
class View:
    """What is in a sandbox.

    readable       files and folders; what does not exist is left out
    hidden         folders that are not seen even where they lie in a readable one; what is readable in them is
    scratch_bytes  the size of all that can be written
    """

    readable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    scratch_bytes: int


@functools.cache
def detect() -> Level:
    """The best level that this machine has, found out by running a Python in a sandbox, once."""
    return Level.PROCESS if lacking() else Level.SANDBOX


@functools.cache
def lacking() -> str:
    """Why there is no sandbox on this machine; empty if there is one."""
    try:
        python = interpreter(Path(sys.executable))
        view = View(python.folders, (), 2**20)
        with filter_file() as filtering:
            tried = subprocess.run(  # noqa: S603  our own interpreter
                command([sys.executable, "-P", "-c", "import septum"], view, filtering),
                env=where_python_is(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=filtering,
                timeout=_PROBE_S,
            )
    except FileNotFoundError:
        return f"there is no program {PROGRAM}"
    except (OSError, subprocess.TimeoutExpired, SeptumError) as error:
        return f"{PROGRAM} does not run: {error}"
    if tried.returncode == 0:
        return ""
    return tried.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"{PROGRAM} ended: {tried.returncode}"


def level_for(wanted: Level | None) -> Level:
    """The level to start workers at: the wanted one, else the best. Raises ConfigError for one that is not there."""
    if wanted is None:
        return detect()
    if wanted is Level.SANDBOX and lacking():
        raise ConfigError(f"sandbox level {Level.SANDBOX:d} is not available here: {lacking()}", hint=SANDBOX_HINT)
    return wanted


@contextlib.contextmanager
def filter_file() -> Iterator[tuple[int, ...]]:
    """The descriptor of a file with the filter of system calls, for bubblewrap to inherit; none where there is none."""
    program = seccomp.program()
    if program is None:
        yield ()
        return
    descriptor = os.memfd_create("septum-seccomp")
    try:
        os.write(descriptor, program)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield (descriptor,)
    finally:
        os.close(descriptor)


def command(program: Sequence[str], view: View, filtering: Sequence[int] = ()) -> list[str]:
    """The command line that runs `program` in a sandbox; its environment is what bubblewrap's is.

    `--die-with-parent` ends all that is inside when the thread that started it ends. Raises ConfigError when a folder
    would have to be both readable and hidden.
    """
    seccomp_arguments = [word for descriptor in filtering for word in ("--seccomp", str(descriptor))]
    return [
        PROGRAM,
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "septum"),
        *("--uid", str(NOBODY), "--gid", str(NOBODY)),
        *seccomp_arguments,
        *_system(),
        *("--size", str(view.scratch_bytes), "--tmpfs", str(SCRATCH)),
        *_mounts(view),
        *("--remount-ro", "/", "--chdir", str(SCRATCH), "--"),
        *program,
    ]


def _system() -> list[str]:
    """Programs, libraries, the processes inside, and five devices that anybody may use."""
    words = ["--ro-bind", "/usr", "/usr", "--proc", "/proc"]
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in _LIBRARIES:
        words += ["--ro-bind-try", name, name]
    words += ["--dir", "/dev"]
    for name in _DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in (("fd", "/proc/self/fd"), ("shm", str(SCRATCH))):
        words += ["--symlink", target, f"/dev/{name}"]
    return words


def _mounts(view: View) -> list[str]:
    """What the caller names, outer folders first. A link that leads to it is there as a link."""
    hidden = {path.resolve() for path in view.hidden}
    readable = {path.resolve() for path in view.readable if path.exists()}
    for path in sorted(hidden & readable):
        raise ConfigError(
            f"{path} would have to be readable for an app and hidden from it",
            hint=f"apps, data and models need folders of their own below or outside {path}",
        )
    words: list[str] = []
    masks: list[str] = []
    seen = {Path("/usr"): True}  # whether a folder is shown or hidden
    for path in sorted(hidden | readable, key=lambda path: len(path.parts)):
        shown = _shown(path, seen)
        if path in readable and not shown:
            words += ["--ro-bind", str(path), str(path)]
            seen[path] = True
        elif path in hidden and shown and path.is_dir():
            words += ["--size", "4096", "--tmpfs", str(path)]
            masks += ["--remount-ro", str(path)]
            seen[path] = False
    return words + _links(view.readable, seen) + masks


def _shown(path: Path, seen: dict[Path, bool]) -> bool:
    """What holds for a path, by the nearest folder around it."""
    return next((seen[parent] for parent in (path, *path.parents) if parent in seen), False)


def _links(paths: Sequence[Path], seen: dict[Path, bool]) -> list[str]:
    """For each path that is named through a link: the same link, unless it is there already."""
    words: list[str] = []
    made: set[Path] = set()
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        real = path.resolve()
        if path == real or _shown(path, seen) or made & {path, *path.parents} or not path.exists():
            continue
        words += ["--symlink", str(real), str(path)]
        made.add(path)
    return words
