"""How does one machine become a federation? A coordinator and silos as real processes that share a loopback port only.

Every silo has its own folder (mode 0700) with its own data, its own copy of the app and its own state. Started as root,
each silo also runs under its own user id.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from septum.adapters.identity.keys import load_private_key, make_private_key
from septum.adapters.identity.roster_keys import make_roster, public_text
from septum.cli.process import Process
from septum.client import Access, Client, operator_access
from septum.coordinator.config import FILE_NAME
from septum.protocol.roster import write_roster
from septum.silo.config import CONFIG_NAME
from septum.silo.line import KEY_NAME
from septum.silo.packages import Packages
from septum.silo.roster import Rosters
from septum.silo.section import toml_value

if TYPE_CHECKING:
    from septum.cli.demo_tracker import DemoTracking

START_S = 60.0  # a cold disk may need it; a process that exits is noticed at once
FIRST_UID = 61_184  # systemd's range for dynamic users: not given to people or packages
COORDINATOR = "coordinator"
APP = "app"


@dataclass(frozen=True, slots=True)
class Site:
    """One silo of the federation: its name, the file with its records, its folder, and its user (None: ours)."""

    name: str
    records: Path
    folder: Path
    uid: int | None


class Federation:
    """A coordinator and silos, running. Leave the context to end them all.

    `sandbox`: the level of the silos' training processes; None for the best that this machine has. `policy`: what the
    silos' stewards change in the rules that a new silo has, by the key in silo.toml. `package`: the app as a
    package, which the coordinator offers and every steward has approved. `console`: it is served on loopback as well.
    `tracking`: in which trackers all of them store their part in runs.
    """

    def __init__(
        self,
        base: Path,
        app_dir: Path,
        app_name: str,
        records: Mapping[str, Path],
        *,
        sandbox: int | None = None,
        policy: Mapping[str, object] = MappingProxyType({}),
        package: Path | None = None,
        console: bool = False,
        tracking: DemoTracking | None = None,
    ) -> None:
        self._changes = {rf"^{key} = .*$": f"{key} = {toml_value(value)}" for key, value in policy.items()}
        if sandbox is not None:
            self._changes[r"^\[limits\]$"] = f"[limits]\nsandbox = {sandbox}"
        self.base = base.resolve()
        self._app_dir = app_dir
        self._app_name = app_name
        self._package = package
        self._console_port = 0 if console else -1
        self._tracking = tracking
        self._passed = {} if tracking is None else tracking.environment
        if tracking is not None:
            self._changes[r"^tracking_hosts = .*$"] = f"tracking_hosts = {toml_value(list(tracking.hosts))}"
        self.console_url = ""  # of this machine's own console, once the coordinator is up
        uids = own_uids(self.base, len(records))
        self.sites = tuple(
            Site(name, path, self.base / name, uid)
            for (name, path), uid in zip(sorted(records.items()), uids, strict=True)
        )
        self._processes: dict[str, Process] = {}

    @property
    def separate_users(self) -> bool:
        """Whether each silo runs under its own user id."""
        return all(site.uid is not None for site in self.sites)

    @property
    def operator_dir(self) -> Path:
        """The coordinator's data directory, where the operator's access lies."""
        return self.base / COORDINATOR

    def pid(self, name: str) -> int:
        """The process of a silo's agent, or of the coordinator."""
        return self._processes[name].pid

    def site(self, silo: str) -> Site:
        """A silo's place in the federation."""
        return next(site for site in self.sites if site.name == silo)

    def process(self, name: str) -> Process:
        """That process."""
        return self._processes[name]

    def log(self, name: str) -> Path:
        """What that process said, in all its lives."""
        return self._processes[name].log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, route: Callable[[str, str], str] | None = None) -> Access:
        """Start the coordinator, enrol every silo, start the agents; how to reach the coordinator.

        `route` says by which URL a silo reaches the coordinator, given the silo's name and the coordinator's own URL.
        """
        self.operator_dir.mkdir(mode=0o700, exist_ok=True)  # it may hold a coordinator.toml
        if self._tracking is not None:
            with (self.operator_dir / FILE_NAME).open("a") as file:
                file.write(self._tracking.toml())
        self.start_coordinator(port=0)
        access = operator_access(self.operator_dir)
        with Client(access) as client:
            tokens = {site.name: client.invite(site.name).token for site in self.sites}
            if self._package is not None:
                client.push_app(self._package, f"sha256:{hashlib.sha256(self._package.read_bytes()).hexdigest()}")
        for site in self.sites:
            self._furnish(site)
        urls = {site.name: route(site.name, access.url) if route else access.url for site in self.sites}
        for process in [self._enroll(site, urls[site.name], tokens[site.name]) for site in self.sites]:
            process.wait_for_exit(START_S)
        self._pin_roster()
        self._approve_package()
        for site in self.sites:
            config = site.folder / "state" / CONFIG_NAME
            for pattern, line in self._changes.items():
                config.write_text(re.sub(pattern, line, config.read_text(), flags=re.MULTILINE))
            if self._tracking is not None:
                config.write_text(config.read_text() + self._tracking.toml())
        for site in self.sites:
            self.start_agent(site.name)
        return access

    def _pin_roster(self) -> None:
        """As the silos' administrators would: one key of theirs signs who takes part, and each silo pins that."""
        folders = {site.name: site.folder / "state" for site in self.sites}
        keys = {name: public_text(load_private_key(folder / KEY_NAME)) for name, folder in folders.items()}
        signed = make_roster("demo", {"admin": make_private_key(self.base / "admin.key")}, keys)
        for site in self.sites:
            Rosters(folders[site.name]).approve(signed.roster.digest, write_roster(signed))
            if site.uid is not None:
                _give(folders[site.name] / "roster", site.uid)
        if self.console_url:  # where people look at it
            with Client(operator_access(self.operator_dir)) as client:
                client.put_roster(write_roster(signed))

    def _approve_package(self) -> None:
        """As the silos' stewards would, once they have read it."""
        if self._package is None:
            return
        for site in self.sites:
            packages = Packages(site.folder / "state")
            packages.approve(packages.add(self._package).package.digest, "demo")
            with (site.folder / "state" / CONFIG_NAME).open("a") as config:
                records = toml_value(str(site.folder / "data" / site.records.name))
                config.write(f"\n[apps.{self._app_name}]\ndata = {records}\n")
            if site.uid is not None:
                _give(site.folder / "state" / "packages", site.uid)

    def start_coordinator(self, port: int) -> None:
        """Start the coordinator on its data directory, also again after it ended; port 0 takes a free one."""
        where = ["--data-dir", str(self.operator_dir), "--listen", f"127.0.0.1:{port}"]
        if self._console_port >= 0:
            where += ["--console-port", str(self._console_port)]
        process = Process(
            ["coordinator", "start", "--json", *where], self.base / f"{COORDINATOR}.log", more=self._passed
        )
        self._processes[COORDINATOR] = process
        ready = process.wait_for_event("ready", START_S)
        self.console_url = str(ready.get("console_url", ""))
        if self.console_url:  # where browsers look for it again after a restart
            self._console_port = int(self.console_url.rpartition(":")[2])

    def start_agent(self, silo: str) -> None:
        """Start a silo's agent, also again after it ended."""
        site = self.site(silo)
        arguments = ["silo", "start", "--dir", str(site.folder / "state")]
        self._processes[silo] = Process(arguments, self.base / f"{silo}.log", site.uid, self._passed)

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        self._processes[name].kill()

    def stop(self) -> None:
        """End every process: agents first, so that they can take their leave."""
        processes = list(reversed(self._processes.values()))
        for process in processes[:-1]:
            process.ask_to_end()
        for process in processes:
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

    def _enroll(self, site: Site, url: str, token: str) -> Process:
        app, data = site.folder / APP, site.folder / "data" / site.records.name
        where = ["--dir", str(site.folder / "state"), "--url", url, "--send-error-texts"]
        what = ["--app", f"{self._app_name}={app}", "--data", f"{self._app_name}={data}"]
        secret = {"SEPTUM_INVITATION": token}  # an argument would show in the process list
        if self._package is not None:  # which is approved by its digest, and not as a folder
            what = []
        return Process(["silo", "enroll", *where, *what], self.base / f"{site.name}.log", site.uid, secret)


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
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)
