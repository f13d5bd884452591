"""How does a benchmark run a real federation? A coordinator, agents and workers as processes; the public client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Pids, cpu_s, descendants
from septum.cli.federation import COORDINATOR, Federation
from septum.cli.shipped import example
from septum.cli.silo_files import silo_files
from septum.client import Client, operator_access
from septum.coordinator.config import FILE_NAME
from septum.errors import RunFailedError, TimedOutError
from septum.protocol.facts import RunEnded
from septum.protocol.plan import AppRef, Plan
from septum.protocol.views import JournalView, RunStatus, RunView
from septum.sdk.package import DATA_FOLDER, load_app

GATHER_S = 600.0  # 64 workers that start on two cores
LOOK_EVERY_S = 0.2  # how often the client asks whether the run has ended; a stream would cost the coordinator more
HEART_DISEASE = "heart_disease"
ECHO = Path(__file__).parent / "apps" / "echo"
ECHO_ROWS = 20
READY = '"event": "ready"'
QUIET_CPU_S = 0.02
STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that went through, and when it was handed over (Unix time)."""

    run: RunView
    journal: tuple[JournalView, ...]
    submitted_at: float

    @property
    def ended_at(self) -> float:
        """When it was over, Unix time."""
        return next(entry.at for entry in reversed(self.journal) if isinstance(entry.fact, RunEnded))


def hospitals(count: int) -> dict[str, Path]:
    """`count` silos with the example's records. Beyond four, hospitals are repeated under numbered names.

    >>> sorted(hospitals(4)) == sorted(silo_files(example(HEART_DISEASE) / DATA_FOLDER)), len(hospitals(9))
    (True, 9)
    """
    files = sorted(silo_files(example(HEART_DISEASE) / DATA_FOLDER).items())
    named = [
        (name if number < len(files) else f"{name}-{number // len(files) + 1}", path)
        for number in range(count)
        for name, path in (files[number % len(files)],)
    ]
    return dict(named)


def echo_silos(count: int, folder: Path) -> dict[str, Path]:
    """`count` silos with a few made-up records for the echo app, in a folder of the caller's."""
    folder.chmod(0o755)  # silos may run under users of their own
    files = {f"silo-{number:02}": folder / f"silo-{number:02}.csv" for number in range(count)}
    for number, path in enumerate(files.values()):
        path.write_text("x,y\n" + "".join(f"{row / 2 + number},{row % 2}\n" for row in range(ECHO_ROWS)))
    return files


def plan_for(app_dir: Path, silos: Mapping[str, Path], rounds: int, **hyper: float) -> Plan:
    """The app's own settings over these silos; it waits for all of them."""
    loaded = load_app(app_dir)
    values = loaded.app.resolve({"rounds": rounds, **hyper})
    return Plan(
        name="benchmark",
        app=AppRef(loaded.app.name, loaded.manifest.version, loaded.digest),
        hyper=loaded.app.hyper_values(values),
        silos=tuple(sorted(silos)),
        rounds=rounds,
        seed=loaded.app.seed(values),
        gather_s=GATHER_S,
        deadline_s=GATHER_S,
    )


@contextmanager
def federation_of(app_dir: Path, silos: Mapping[str, Path], settings: str = "") -> Iterator[Federation]:
    """A federation whose agents all wait for a run. Its folder goes when it does, unless something went wrong.

    `settings`: the coordinator's coordinator.toml.
    """
    base = Path(tempfile.mkdtemp(prefix="septum-benchmark-"))
    base.chmod(0o711)  # each silo may reach its own folder in it
    if settings:
        (base / COORDINATOR).mkdir(mode=0o700)
        (base / COORDINATOR / FILE_NAME).write_text(settings)
    with Federation(
        base, app_dir, load_app(app_dir).app.name, silos, policy={"require_masking": False, "min_cohort": 1}
    ) as federation:
        federation.start()
        wait_until_quiet(federation)
        yield federation
    shutil.rmtree(base)


def wait_until_quiet(federation: Federation, timeout_s: float = 300.0) -> None:
    """Return when every agent is up and waits: nobody has used a processor for a second."""
    sites, pids = federation.sites, [pid for role in pids_of(federation).values() for pid in role()]
    until(lambda: all(READY in federation.log(s.name).read_text() for s in sites), timeout_s, f"{len(sites)} agents")
    wait_until_idle(pids, timeout_s)


def wait_until_idle(pids: Sequence[int], timeout_s: float = 300.0) -> None:
    """Return when none of these has used a processor for a second."""
    used = [-1.0]

    def quiet() -> bool:
        used.append(sum(cpu_s(pid) for pid in pids))
        return used[-1] - used[-2] <= QUIET_CPU_S

    until(quiet, timeout_s, "the federation to be quiet", every_s=1.0)


@contextmanager
def program(module: str, arguments: Sequence[str], log: Path) -> Iterator[int]:
    """A module of this folder as a process, until the end of the context; its id. What it says goes to the log."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "NO_PROXY": "127.0.0.1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_S)


@contextmanager
def client_of(federation: Federation) -> Iterator[Client]:
    """The operator's client."""
    with Client(operator_access(federation.operator_dir)) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that was handed over, and when (Unix time, before the request)."""

    run: str
    at: float


def submit(client: Client, plan: Plan) -> Submitted:
    """Start a run."""
    at = time.time()
    return Submitted(client.submit(plan, key=str(uuid.uuid4())).id, at)


def finish(
    client: Client, submitted: Submitted, timeout_s: float = 3600.0, ask_every_s: float = LOOK_EVERY_S
) -> Finished:
    """Wait for a run's end and read its journal. Raises RunFailedError when it did not finish."""
    run_id = submitted.run
    until(lambda: client.run(run_id).status.ended, timeout_s, f"the end of run {run_id}", ask_every_s)
    ended = client.run(run_id)
    if ended.status is not RunStatus.FINISHED:
        raise RunFailedError(f"run {run_id} {ended.status.value}: {ended.reason}", hint="see the federation's logs")
    return Finished(ended, journal_of(client, run_id), submitted.at)


def run_to_end(client: Client, plan: Plan) -> Finished:
    """Submit, wait for the end, read the journal."""
    return finish(client, submit(client, plan))


def journal_of(client: Client, run_id: str) -> tuple[JournalView, ...]:
    """All of a run's journal."""
    entries: list[JournalView] = []
    while page := client.journal(run_id, after=entries[-1].seq if entries else 0):
        entries += page
    return tuple(entries)


def until(condition: Callable[[], bool], timeout_s: float, what: str, every_s: float = LOOK_EVERY_S) -> None:
    """Wait for a condition. Raises TimedOutError."""
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimedOutError(f"waited {timeout_s:g} s for {what}", hint="is the machine very busy? uptime")
        pause.wait(every_s)


def pids_of(federation: Federation) -> Mapping[str, Pids]:
    """The processes of a federation by role."""
    coordinator = federation.pid(COORDINATOR)
    agents = [federation.pid(site.name) for site in federation.sites]
    return {
        "coordinator": lambda: [coordinator],
        "agents": lambda: agents,
        "workers": lambda: [pid for agent in agents for pid in descendants(agent)],
    }
