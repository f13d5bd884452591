"""How does one machine become a federation? A coordinator and silos as real processes that share a loopback port only.

Every silo has its own folder (mode 0700) with its own data, its own copy of the app and its own state. Started as root,
each silo also runs under its own user id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Self

from septum.client import Access, Client, operator_access
from septum.errors import ConnectionFailedError, TimedOutError

START_S = 60.0  # a cold disk may need it; a coordinator that exits is noticed at once
STOP_S = 10.0
FIRST_UID = 61_184  # systemd's range for dynamic users: not given to people or packages
APP = "app"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Site:
    """One silo of the federation: its name, the file with its records, its folder, and its user (None: ours)."""

    name: str
    records: Path
    folder: Path
    uid: int | None


class Federation:
    """A coordinator and silos, running. Leave the context to end them all."""

    def __init__(self, base: Path, app_dir: Path, app_name: str, records: Mapping[str, Path]) -> None:
        self.base = base.resolve()
        self._app_dir = app_dir
        self._app_name = app_name
        uids = own_uids(self.base, len(records))
        self.sites = tuple(
            Site(name, path, self.base / name, uid)
            for (name, path), uid in zip(sorted(records.items()), uids, strict=True)
        )
        self._processes: list[_Process] = []

    @property
    def separate_users(self) -> bool:
        """Whether each silo runs under its own user id."""
        return all(site.uid is not None for site in self.sites)

    @property
    def pids(self) -> tuple[int, ...]:
        """The coordinator's process, and one agent per silo."""
        return tuple(process.pid for process in self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Access:
        """Start the coordinator, enrol every silo, start the agents; how to reach the coordinator."""
        folder = self.base / "coordinator"
        folder.mkdir(mode=0o700)
        where = ["--data-dir", str(folder), "--listen", "127.0.0.1:0"]
        self._launch("coordinator", ["coordinator", "start", "--json", *where])
        self._processes[0].wait_for_event("ready", START_S)
        access = operator_access(folder)
        with Client(access) as client:
            tokens = {site.name: client.invite(site.name).token for site in self.sites}
        for site in self.sites:
            self._furnish(site)
        enrolling = [self._enroll(site, access.url, tokens[site.name]) for site in self.sites]
        for process in enrolling:
            process.wait_for_exit(START_S)
        for site in self.sites:
            self._launch(site.name, ["silo", "start", "--dir", str(site.folder / "state")], site.uid)
        return access

    def stop(self) -> None:
        """End every process: agents first, so that they can take their leave."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def _furnish(self, site: Site) -> None:
        """The silo's own folder: its records and its own copy of the app."""
        site.folder.mkdir(mode=0o700)
        (site.folder / "data").mkdir(mode=0o700)
        shutil.copyfile(site.records, site.folder / "data" / site.records.name)
        copy_app(self._app_dir, site.folder / APP)
        if site.uid is not None:
            _give(site.folder, site.uid)

    def _enroll(self, site: Site, url: str, token: str) -> _Process:
        app, data = site.folder / APP, site.folder / "data" / site.records.name
        where = ["--dir", str(site.folder / "state"), "--url", url]
        what = ["--app", f"{self._app_name}={app}", "--data", f"{self._app_name}={data}"]
        return _Process(
            f"{site.name}-enroll", ["silo", "enroll", *where, *what], self.base, site.uid, {"SEPTUM_INVITATION": token}
        )

    def _launch(self, name: str, arguments: Sequence[str], uid: int | None = None) -> None:
        self._processes.append(_Process(name, arguments, self.base, uid))


class _Process:
    """One septum process; what it says goes to `<base>/<name>.log`."""

    def __init__(
        self, name: str, arguments: Sequence[str], base: Path, uid: int | None, more: Mapping[str, str] = NOTHING
    ) -> None:
        self._name = name
        self._log = base / f"{name}.log"
        self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
            [sys.executable, "-m", "septum", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**_environment(), **more},
            cwd="/",
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends its processes in order
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        self.pid = self._popen.pid
        self._said = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        assert self._popen.stdout is not None
        threading.Thread(target=self._copy, args=(self._popen.stdout,), daemon=True).start()

    def wait_for_event(self, event: str, timeout_s: float) -> None:
        """Wait until the process logs `event`. Raises when it exits before, or is too slow."""
        wanted = f'"event": "{event}"'
        self._wait(lambda: any(wanted in line for line in self._lines), timeout_s)
        if not any(wanted in line for line in self._lines):
            raise self._failure("ended before it was ready" if self._ended else f"was not ready in {timeout_s:g} s")

    def wait_for_exit(self, timeout_s: float) -> None:
        """Wait until the process has ended well. Raises otherwise."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise TimedOutError(f"{self._name} did not end within {timeout_s:g} s", hint=f"cat {self._log}") from None
        if code != 0:
            raise self._failure(f"ended with exit code {code}")

    def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        with suppress(ProcessLookupError):
            self._popen.terminate()
        try:
            self._popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _failure(self, what: str) -> ConnectionFailedError:
        self._wait(lambda: self._ended, STOP_S if self._popen.poll() is not None else 0)
        last = "".join(self._lines[-10:]).strip()
        return ConnectionFailedError(f"{self._name} {what}: {last}", hint=f"cat {self._log}")

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        with self._said:
            self._said.wait_for(lambda: self._ended or condition(), timeout_s)

    def _copy(self, output: IO[bytes]) -> None:
        with self._log.open("wb") as log:
            for line in output:
                log.write(line)
                log.flush()
                with self._said:
                    self._lines = [*self._lines[-99:], line.decode(errors="replace")]
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


def _environment() -> dict[str, str]:
    """What a service needs of ours, and nothing that could steer it: no proxy stands before the loopback."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ}
    return {**kept, "HOME": "/", "NO_PROXY": "127.0.0.1,localhost", "PYTHONDONTWRITEBYTECODE": "1"}


def copy_app(app_dir: Path, target: Path) -> None:
    """The app without its data folder and caches: what its digest covers."""
    shutil.copytree(app_dir, target, ignore=shutil.ignore_patterns("data", "__pycache__", "*.pyc", ".*"))


def own_uids(base: Path, count: int) -> list[int] | list[None]:
    """A user id for each silo when we are root and such a user can run septum; otherwise None for each: ours."""
    if os.geteuid() != 0:
        return [None] * count
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    free = [uid for uid in range(FIRST_UID, FIRST_UID + 100 + count) if uid not in taken][:count]
    return free if _can_run(base, free[0]) else [None] * count


def _can_run(base: Path, uid: int) -> bool:
    """Whether another user can reach our interpreter, our package and `base`: a home of mode 0700 stands in the way."""
    command = [sys.executable, "-c", "import os, sys, septum.errors; os.stat(sys.argv[1] + '/.')", str(base)]
    try:
        probe = subprocess.run(command, user=uid, group=uid, extra_groups=[], capture_output=True, check=False, cwd="/")  # noqa: S603
    except OSError:
        return False
    return probe.returncode == 0


def _give(folder: Path, uid: int) -> None:
    for path in (folder, *_below(folder)):
        os.chown(path, uid, uid)


def _below(folder: Path) -> Iterable[Path]:
    return folder.rglob("*")
