"""`septum demo`: does a federation of four hospitals work on this machine, and how good is it?"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.coordinator import need_coordinator
from septum.cli.demo_console import built, greet, need_console, stay
from septum.cli.demo_tracker import DemoTracking, tracking_of, wait_until_stored
from septum.cli.output import Answer
from septum.errors import ConfigError, RunFailedError

if TYPE_CHECKING:
    from septum.cli.federation import Federation
    from septum.client import Client
    from septum.protocol.facts import ModelMeasured
    from septum.protocol.plan import Plan
    from septum.protocol.views import JournalView, RunView
    from septum.sdk.harness import Prepared
    from septum.sdk.package import LoadedApp
    from septum.silo.private_receipts import PrivateReceipt

OUTPUT = Path("septum-demo")
MODEL_FILE = "heart-disease.safetensors"
GATHER_S = 60.0
DEADLINE_S = 120.0
SETTLE_S = 60.0  # each agent computes what the run cost once it has heard of its end


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo was asked for."""

    rounds: int
    seed: int
    keep: bool
    compare: bool
    data_dir: Path | None
    backend: str
    inspect: bool
    target_epsilon: float | None
    metrics_epsilon: float | None
    console: bool = False
    open_browser: bool = False
    tracking: DemoTracking | None = None

    @property
    def network(self) -> bool:
        """Whether a network is trained, by torch and with differential privacy."""
        return self.target_epsilon is not None and self.backend == "torch"


@dataclass(frozen=True, slots=True)
class Finished:
    """A federated run that went through: its journal, the model's file, and what it cost each silo's records.

    tracked  the experiments that it is stored in, by the tracker's name
    """

    run: RunView
    journal: tuple[JournalView, ...]
    model_path: Path
    folder: Path | None
    separate_users: bool
    costs: Mapping[str, PrivateReceipt] = field(default_factory=dict)
    tracked: Mapping[str, list[str]] = field(default_factory=dict)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(
    call: Invocation,
    *,
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=1000, help="How many rounds to train.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Initial model and order of the rows.")] = 42,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep every process's folder and log beside the model file.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Also train each hospital alone, and all records pooled.")
    ] = True,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", exists=True, file_okay=False, help="A folder with your own hospitals: one file each."
        ),
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="numpy, or torch (needs the torch extra).")] = "numpy",
    inspect: Annotated[
        bool, typer.Option("--inspect", help="Without masking: the coordinator sees each hospital's own numbers.")
    ] = False,
    target_epsilon: Annotated[
        float | None,
        typer.Option("--target-epsilon", metavar="EPSILON", help="Train with differential privacy, at this cost."),
    ] = None,
    metrics_epsilon: Annotated[
        float | None,
        typer.Option(
            "--metrics-epsilon",
            metavar="EPSILON",
            help="Of that, for metrics with noise that the hospitals tell of the last model.",
        ),
    ] = None,
    console: Annotated[
        bool, typer.Option("--console", help="Serve the web console, and stay up until Ctrl-C; without --compare.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="With --console: open it in your browser.")] = False,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            metavar="NAME",
            help="Store the run, and each hospital's part, in mlflow (MLFLOW_TRACKING_URI) or sagemaker (AWS_...).",
        ),
    ] = None,
) -> Answer:
    """Four hospitals train one heart-disease model over HTTPS, on this machine, in nine processes."""
    from septum.cli.demo_report import answer  # numpy: 100 ms that `--help` does not pay

    need_coordinator()
    signal.signal(signal.SIGTERM, _interrupt)  # or its processes would outlive it
    began = time.monotonic()
    asked = (data_dir, backend, inspect, target_epsilon, metrics_epsilon, console, open_browser)
    options = Options(rounds, seed, keep, compare and not console, *asked, tracking_of(tracker or ()))
    if open_browser and not console:
        raise ConfigError("--open opens the console, which is not served", hint="septum demo --console --open")
    if console:
        need_console()
    loaded, plan, files = _plan(options)
    finished = _federate(call, options, loaded, plan, files)
    compared = _compared(call, loaded, plan, files, finished.model_path, baselines=options.compare)
    return answer(finished, plan, compared, wall_s=time.monotonic() - began)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _plan(wanted: Options) -> tuple[LoadedApp, Plan, dict[str, Path]]:
    from septum.cli.options import RunOptions
    from septum.cli.planning import described, load, make_plan
    from septum.cli.shipped import HEART_DISEASE, example
    from septum.cli.silo_files import silo_files
    from septum.sdk.package import DATA_FOLDER

    loaded = load(_app_dir(wanted))
    files = silo_files(wanted.data_dir or example(HEART_DISEASE) / DATA_FOLDER)
    hyper: tuple[str, ...] = (f"seed={wanted.seed}",)
    if not wanted.network:
        hyper += (f"backend={wanted.backend}",)
    options = RunOptions(
        overrides=hyper,
        rounds=wanted.rounds,
        gather_s=GATHER_S,
        deadline_s=DEADLINE_S,
        inspect=wanted.inspect,
        target_epsilon=wanted.target_epsilon,
        metrics_epsilon=wanted.metrics_epsilon,
    )
    return loaded, make_plan(described(loaded), tuple(files), options), files


def _app_dir(wanted: Options) -> Path:
    """The heart-disease app; with privacy by torch the one that declares a network."""
    from septum.cli.shipped import HEART_DISEASE, HEART_DISEASE_NETWORK, example

    return example(HEART_DISEASE_NETWORK if wanted.network else HEART_DISEASE)


def _federate(call: Invocation, options: Options, loaded: LoadedApp, plan: Plan, files: Mapping[str, Path]) -> Finished:
    from septum.cli.federation import Federation
    from septum.silo.policy import Policy

    target = _target(options.keep)
    base = target if options.keep else Path(tempfile.mkdtemp(prefix="septum-demo-"))
    base.chmod(0o711)  # each silo may reach its own folder in it, and list none
    packaged = options.console or options.tracking is not None  # of a package a tracker stores a model that predicts
    package = built(_app_dir(options), loaded, base / "packages") if packaged else None
    if package is not None:
        plan = replace(plan, app=replace(plan.app, digest=package.digest))
    path = package.path if package else None
    policy: dict[str, object] = {
        "require_masking": not options.inspect,
        "min_cohort": min(len(files), Policy().min_cohort),
        "queries": [loaded.app.name] if options.console else [],
    }
    with Federation(
        base,
        _app_dir(options),
        loaded.app.name,
        files,
        policy=policy,
        package=path,
        console=options.console,
        tracking=options.tracking,
    ) as federation:
        call.output.note(f"starting a coordinator and {len(files)} hospitals: {', '.join(sorted(files))}")
        finished = _run(call, options, federation, plan, target, base if options.keep else None)
        if options.console:
            stay(call)
    if not options.keep:  # after a failure the logs stay: its hint names them
        shutil.rmtree(base, ignore_errors=True)
    return finished


def _target(keep: bool) -> Path:
    """Where the model goes: `septum-demo/`; with --keep a new folder, since the processes' folders go there too."""
    target = OUTPUT
    number = 2
    while keep and target.exists() and any(target.iterdir()):
        target = OUTPUT.with_name(f"{OUTPUT.name}-{number}")
        number += 1
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{target.resolve()}: {error.strerror}", hint="go to a folder that you may write to"
        ) from error
    return target


def _run(
    call: Invocation, options: Options, federation: Federation, plan: Plan, target: Path, folder: Path | None
) -> Finished:
    from septum.client import Client

    access = federation.start()
    if options.console:
        greet(call, federation, open_browser=options.open_browser)
    with Client(access) as client:
        run = client.submit(plan, key=str(uuid.uuid4()))
        journal = _follow(call, client, run.id, plan)
        ended = client.run(run.id)
        if ended.status.value != "finished" or ended.model is None:
            problems = "; ".join(f"{silo.name} {silo.problem}" for silo in ended.silos if silo.problem)
            why = f"{ended.reason}; {problems}" if problems else ended.reason
            raise RunFailedError(f"the run {ended.status.value}: {why}", hint=f"tail {federation.base}/*.log")
        path = target / MODEL_FILE
        client.download(ended.model, path)
    costs = {} if plan.privacy is None else _costs(federation, run.id)
    tracked: Mapping[str, list[str]] = {}
    if options.tracking is not None:
        call.output.note(f"waiting until all have stored the run in {', '.join(options.tracking.tables)}")
        tracked = wait_until_stored(options.tracking, federation, run.id, plan, journal[-1].seq)
    return Finished(ended, journal, path, folder, federation.separate_users, costs, tracked)


def _costs(federation: Federation, run: str) -> Mapping[str, PrivateReceipt]:
    """What the run cost, by each silo's own receipt: the demo may read them, a coordinator could not."""
    from septum.silo.private_receipts import PrivateReceipts

    found: dict[str, PrivateReceipt] = {}
    deadline = time.monotonic() + SETTLE_S
    while len(found) < len(federation.sites) and time.monotonic() < deadline:
        for site in federation.sites:
            receipts = [one for one in PrivateReceipts(site.folder / "state").all() if one.run == run]
            found.update((site.name, receipt) for receipt in receipts[-1:])
        threading.Event().wait(0.1)
    return found


def _follow(call: Invocation, client: Client, run_id: str, plan: Plan) -> tuple[JournalView, ...]:
    """The whole journal, shown while it grows."""
    from septum.cli.progress import following

    journal: list[JournalView] = []
    with following(call.output, plan.rounds, plan.silos, stream=False) as show:
        for entry in client.watch(run_id):
            journal.append(entry)
            show(entry.fact)
    return tuple(journal)


def _compared(
    call: Invocation, loaded: LoadedApp, plan: Plan, files: Mapping[str, Path], model: Path, *, baselines: bool
) -> dict[str, ModelMeasured]:
    """The federated model and both baselines hospital by hospital, which a masked run tells nobody."""
    from septum.cli import comparison
    from septum.simulate.run import read_silos

    if not baselines and plan.privacy is None:  # the coordinator's own figures do
        return {}
    rows: dict[str, Prepared] = read_silos(loaded, loaded.app.resolve(plan.hyper), files)
    federated = {"federated": comparison.of_model(loaded, plan, rows, model.read_bytes())}
    if not baselines:
        return federated
    call.output.note("for comparison: each hospital alone, and all records pooled in one place")
    return federated | {
        "alone": comparison.alone(loaded, plan, rows),
        "pooled": comparison.together(loaded, plan, rows),
    }
