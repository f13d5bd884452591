"""What does the model in use say of some rows? Asked in the app's own process, which stays warm.

The process is the sandbox of training: the app's code, the model and the rows, no network. What it gives back is looked
at here: one finite number a row.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from septum.adapters.tables import write_table
from septum.errors import AppError, ConfigError, NotFoundError
from septum.ports.launcher import Launcher, Task, Worker, WorkerLimits, WorkerSpec
from septum.protocol import tensors
from septum.protocol.contents import LOGITS
from septum.protocol.messages import AppOffer, Blob, Stage
from septum.protocol.plan import StrategyRef
from septum.protocol.silo import Denied
from septum.sdk.data import Float64, Table
from septum.silo.config import CONFIG_NAME, read_config
from septum.silo.consent import ApprovedApp
from septum.silo.deployed import DeployedModels, Held
from septum.silo.deploying import Deciding
from septum.silo.environment import Environments
from septum.silo.gauge import own_parameters
from septum.silo.kept import Kept, KeptModels
from septum.silo.launchers import launcher
from septum.silo.library import Library, approve_folders
from septum.silo.log import Log
from septum.silo.outgoing import layout_in
from septum.silo.packages import Packages
from septum.silo.tensor_file import pieces_of, write


@dataclass(frozen=True, slots=True)
class Place:
    """What is the silo's, whatever the model. `work`: a folder in which each process gets one of its own."""

    silo: str
    launcher: Launcher
    limits: WorkerLimits
    work: Path


class Scorer:
    """One model in use, and the process that applies it. Use as a context; not by two threads at once.

    `own`: the silo's private parameters, which stand over the federation's (docs/decisions/0015); None for none.
    """

    def __init__(self, place: Place, held: Held, app: ApprovedApp, model: Path, own: Kept | None) -> None:
        self._place = place
        self._worker: Worker | None = None
        place.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(place.work)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=place.work))
        self._model = model if own is None else _whole(self._folder / "model" / "whole", model, own)
        self.held = held
        self.app = app

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and remove what was made for it."""
        if self._worker is not None:
            self._worker.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def logits(self, table: Table) -> Float64:
        """The model's logits, (rows,).

        Raises WorkerError with what the app's code or septum says of a row, in the words of this silo alone.
        """
        if self._worker is None or not self._worker.alive:
            self._worker = self._start()
        rows, output = self._folder / "rows", self._folder / "scores"
        write_table(rows, table)
        try:
            task = Task(Stage.EVALUATE, self.held.order.round, self._model, False, rows, self._folder / "carried")
            made = self._worker.perform(task, output)
            content = output.read_bytes() if isinstance(made.payload, Blob) else made.payload
        finally:
            rows.unlink(missing_ok=True)
            output.unlink(missing_ok=True)
        found = tensors.decode(content).get(LOGITS)
        if found is None or found.dtype != np.float64 or found.shape != (len(table),) or not np.isfinite(found).all():
            raise AppError(f"the process gave no finite number for each of the {len(table)} rows")
        return found.view(np.float64)

    def _start(self) -> Worker:
        order, app = self.held.order, self.app
        spec = WorkerSpec(
            run=f"predict-{order.name}",
            silo=self._place.silo,
            app_dir=app.path.absolute(),
            app_digest=app.tree,
            data_path=app.path.absolute(),
            hyper=order.hyper,
            seed=order.seed,
            strategy=StrategyRef(),
            run_dir=(self._folder / "process").absolute(),
            model_dir=self._model.parent.absolute(),
            readable=(self._folder.absolute(),),
            python=app.python,
            paths=app.paths,
            scores=True,
        )
        return self._place.launcher.start(spec, self._place.limits)


def probabilities(logits: Float64) -> Float64:
    """1 / (1 + exp(-logit)), without overflow.

    >>> probabilities(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    small = np.exp(-np.abs(logits))
    found: Float64 = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return found


def _sweep(work: Path) -> None:
    """Remove what processes that were killed have left: there are rows in it."""
    for folder in work.iterdir():
        pid = folder.name.partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _whole(path: Path, shared: Path, own: Kept) -> Path:
    """The federation's tensors, and over them the silo's own."""
    names = set(own.own)
    pieces = {one.name: one for one in pieces_of(shared, lambda name: name)}
    pieces |= {one.name: one for one in pieces_of(own.path, lambda name: name if name in names else None)}
    write(path, list(pieces.values()))
    return path


@dataclass(frozen=True, slots=True)
class Scoring:
    """The models in use of one silo: what predicts there, as its agent left it.

    Nothing is asked of the coordinator: an app or a model that is not here is an error.
    """

    models: DeployedModels
    deciding: Deciding
    place: Place
    kept: KeptModels
    log: Log = field(default_factory=Log)

    def active(self, name: str = "") -> Held:
        """What predicts under a name; without one the only one. Raises NotFoundError, ConfigError."""
        held = self.models.active(name)
        said = self.deciding.by_name(held.order, self.models.words())
        if said is not None:
            raise NotFoundError(
                f"model {held.order.name!r} is not used here: {said.reason}", hint=self._hint("deploy list")
            )
        return held

    def open(self, name: str = "") -> Scorer:
        """The model in use, ready. Raises ConfigError for an app that may not run here any more, DigestError."""
        held = self.active(name)
        order = held.order
        app = self.deciding.by_app(order)
        if isinstance(app, Denied):
            raise ConfigError(
                f"{order.label} cannot predict here: {app.rule}: {app.reason}", hint=self._hint("app list")
            )
        shared = self.models.checked(order.model.digest)
        own = own_parameters(self.kept, order.app.name, app, layout_in(shared), self.log) if app.private else None
        return Scorer(self.place, held, app, shared, own)

    def _hint(self, command: str) -> str:
        return f"septum silo {command} --dir {self.models.silo_dir}"


class _NoOffers:
    """Nothing is fetched to predict."""

    def offers(self) -> Sequence[AppOffer]:
        return ()

    def offer(self, digest: str) -> AppOffer:
        raise NotFoundError(f"the package {digest} is not here", hint="the agent fetches it: septum silo start")

    def fetch_app(self, offer: AppOffer, path: Path) -> None:
        raise NotFoundError(f"the package {offer.digest} is not here; {path} is not written")


def scoring_in(silo_dir: Path) -> Scoring:
    """What predicts in the silo in this directory. Raises ConfigError."""
    config = read_config(silo_dir / CONFIG_NAME)
    starts, level = launcher(config.launcher, config.limits.level, silo_dir)
    log = Log(silo=config.name)
    library = Library(
        folders=approve_folders(config),
        packages=Packages(silo_dir),
        environments=Environments(silo_dir / "envs"),
        datasets={name: config.dataset_of(app) for name, app in config.apps.items()},
        policy=config.policy,
        offers=_NoOffers(),
        fetch=silo_dir / "fetched",
        log=log,
    )
    models = DeployedModels(silo_dir)
    place = Place(config.name, starts, config.limits.of_worker(), models.folder / "predict")
    return Scoring(
        models, Deciding(config.deploy, config.policy, library.find, int(level)), place, KeptModels(silo_dir), log
    )
