"""How does a deployed model do on this silo's own test rows? Measured in the app's process, as in a run's evaluation.

That it is a model of the app is looked at first: its tensors have to be those of the app's own initial model, name by
name. What the process gives is read here and kept here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import SeptumError, TensorError
from septum.ports.launcher import Launcher, Task, Worker, WorkerLimits, WorkerSpec
from septum.protocol.contents import INITIAL, PRIVATE, STATISTICS
from septum.protocol.deploying import DeploymentOrder
from septum.protocol.facts import Metrics
from septum.protocol.layout import Layout
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import StrategyRef
from septum.silo.consent import ApprovedApp
from septum.silo.kept import Kept, KeptModels, layout_digest
from septum.silo.log import Log
from septum.silo.measured import metrics_in
from septum.silo.outgoing import layout_in
from septum.silo.tables import Table
from septum.silo.tensor_file import pieces_of, write

_FILES = ("rows", "measured", "carried", "own.tensors")
NO_MODEL_OF_THE_APP = "it is no model of this app: {what}"


class WrongModelError(TensorError):
    """A file that is no model of the app that it is said to be of. Its message has names of tensors, and no value."""


@dataclass(slots=True)
class Gauge:
    """Measures models, one at a time. `close`, from another thread, breaks off.

    table  gives an app its rows, under a name of the caller's own
    work   a folder of its own
    """

    silo: str
    launcher: Launcher
    limits: WorkerLimits
    table: Callable[[ApprovedApp, Path], Table]
    kept: KeptModels
    work: Path
    log: Log
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _worker: Worker | None = None
    _closed: bool = False

    def measure(self, order: DeploymentOrder, app: ApprovedApp, model: Path) -> Metrics:
        """The metrics of a model whose file has been checked.

        Raises WrongModelError, WorkerError when the app fails, DataError and the like for its rows.
        """
        self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout = layout_in(model)
        state = self._own(order.app.name, app, layout)
        rows = self.work / "rows"
        self.table(app, rows)
        output, carry = self.work / "measured", self.work / "carried"
        try:
            worker = self._start(self._spec(order, app, rows, model))
            try:
                made = worker.perform(Task(Stage.PREPARE, 0, None, True, None, carry), output)
                _check_fits(layout, layout_in(output if isinstance(made.payload, Blob) else made.payload))
                result = worker.perform(Task(Stage.EVALUATE, order.round, model, False, state, carry), output)
                found = metrics_in(output if isinstance(result.payload, Blob) else result.payload)
            finally:
                worker.close()
                self._worker = None
        finally:
            self.sweep()
        if found is None:
            raise TensorError("the process gave no metrics")
        return found

    def sweep(self) -> None:
        """Remove what an agent that was killed has left: there are rows in it."""
        for name in _FILES:
            (self.work / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Break off what is under way, and measure nothing more."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.close()

    def _start(self, spec: WorkerSpec) -> Worker:
        worker = self.launcher.start(spec, self.limits)
        with self._lock:
            if not self._closed:
                self._worker = worker
                return worker
        worker.close()
        raise SeptumError("the agent is ending")

    def _spec(self, order: DeploymentOrder, app: ApprovedApp, rows: Path, model: Path) -> WorkerSpec:
        return WorkerSpec(
            run=f"deployment-{order.deployment}",
            silo=self.silo,
            app_dir=app.path.absolute(),
            app_digest=app.tree,
            data_path=rows.absolute(),
            hyper=order.hyper,
            seed=order.seed,
            strategy=StrategyRef(),
            run_dir=(self.work / "process").absolute(),
            model_dir=model.parent.absolute(),
            readable=(self.work.absolute(),),
            python=app.python,
            paths=app.paths,
            private=app.private,
        )

    def _own(self, name: str, app: ApprovedApp, layout: Layout) -> Path | None:
        """This silo's own parameters, as a run carries them; None where the app has none."""
        if not app.private:
            return None
        kept = own_parameters(self.kept, name, app, layout, self.log)
        path, names = self.work / "own.tensors", set(kept.own)
        write(path, pieces_of(kept.path, lambda name: PRIVATE + name if name in names else None))
        return path


def own_parameters(kept: KeptModels, name: str, app: ApprovedApp, layout: Layout, log: Log) -> Kept:
    """The newest private parameters of this silo that fit a shared model. Raises WrongModelError for none."""
    found = kept.newest(name, app.dataset.name, layout_digest(layout), app.private, log)
    if found is None:
        raise WrongModelError(
            "this silo has no private parameters that fit it",
            hint="take part in a run of the app; policy.keep_models keeps them: septum silo model list",
        )
    return found


def _check_fits(model: Layout, made: Layout) -> None:
    """Whether a model has the tensors that the app makes, and statistics as it sums them. Raises WrongModelError."""
    wanted = {
        spec.name.removeprefix(INITIAL): (spec.dtype, spec.shape)
        for spec in made.tensors
        if spec.name.startswith((INITIAL, STATISTICS))
    }
    found = {spec.name: (spec.dtype, spec.shape) for spec in model.tensors}
    for name in sorted(wanted.keys() | found.keys()):
        here, there = found.get(name), wanted.get(name)
        if here != there:
            what = " and ".join(
                f"{whose} {'no tensor' if one is None else f'{one[0]} {list(one[1])} as'} {name!r}"
                for whose, one in (("it has", here), ("the app makes", there))
            )
            raise WrongModelError(NO_MODEL_OF_THE_APP.format(what=what))
