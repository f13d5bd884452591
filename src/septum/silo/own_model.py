"""What is a silo's own in one run: what its private parameters start from, and which model it keeps at the end?

The worker makes it, beside what leaves; it comes back as what the app carries does, and stays here. Decision 0015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.files import replace_file
from septum.algorithms.partition import is_private
from septum.errors import SeptumError, TensorError
from septum.protocol.contents import CHOSEN, OWN, PRIVATE, STATISTICS
from septum.protocol.facts import Metrics
from septum.protocol.layout import TensorSpec
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import Start
from septum.protocol.silo import Held, Job, SiloRun
from septum.silo.consent import ApprovedApp
from septum.silo.kept import Chosen, KeptModel, KeptModels, layout_digest
from septum.silo.log import Log
from septum.silo.measured import metrics_in, small_tensor
from septum.silo.outgoing import layout_in
from septum.silo.run_files import RunFiles
from septum.silo.tensor_file import Piece, pieces_of, write

_ORDER = tuple(Chosen)  # as the worker's number counts them


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A silo's own model in one run. `kept`: None where the policy lets nothing be kept."""

    state: SiloRun
    files: RunFiles
    kept: KeptModels | None
    log: Log
    unix: Callable[[], float]

    def start(self, app: ApprovedApp, job: Job, model: Path | bytes | None) -> Path | None:
        """The private parameters that the silo kept, where the run is to continue from them; None for fresh ones.

        What was found first holds for the whole run, also after a restart, and whatever else is kept meanwhile.
        """
        private = self.state.plan.private
        if private is None or private.start is Start.FRESH or model is None or job.stage is Stage.PREPARE:
            return None
        path = self.files.start
        if not path.exists():
            self._begin(app, model, path)
        return path if path.stat().st_size else None

    def _begin(self, app: ApprovedApp, model: Path | bytes, path: Path) -> None:
        layout, name = layout_digest(layout_in(model)), self.state.plan.app.name
        found = self.kept and self.kept.newest(name, app.dataset.name, layout, app.private, self.log)
        if not found:
            self.log.info("private_parameters_fresh", reason="this silo kept none that fit")
            replace_file(path, b"")
            return
        own = set(found.own)
        write(path, pieces_of(found.path, lambda tensor: PRIVATE + tensor if tensor in own else None))
        self.log.info("private_parameters_continued", from_run=found.about.run, round=found.about.round)

    def hold(self, job: Job, model: Path | bytes | None) -> None:
        """Keep the run's last model at hand until the run is over. Raises OSError."""
        if self.state.plan.private is None or job.stage is not Stage.EVALUATE or job.model is None:
            return
        if isinstance(model, bytes):
            replace_file(self.files.model(job.model), model)

    def keep(self, ended: SiloRun, app: ApprovedApp | None) -> None:
        """Keep the silo's model of a run that has finished. What cannot be kept is told in the log; the run ends."""
        if ended.plan.private is None or self.kept is None or app is None or self.kept.has(ended.run):
            return
        held, job = ended.held, ended.job
        if held is None or held.job != job or job.stage is not Stage.EVALUATE or job.model is None:
            self.log.warning("model_not_kept", reason="this silo did not take part in the last evaluation")
            return
        own = self.files.carried(job.name) if held.has_state else None
        try:
            about = self._about(ended, app, job.model, _chosen(own), held)
            self.kept.keep(about, _pieces(self.files.model(job.model), own, app.private))
        except (SeptumError, OSError) as error:
            _tell(self.log, error, self.files.folder)
        else:
            self.log.info("model_kept", round=job.round, chosen=about.chosen.value)

    def _about(self, ended: SiloRun, app: ApprovedApp, model: Blob, chosen: Chosen, held: Held) -> KeptModel:
        ref = ended.plan.app
        return KeptModel(
            at=self.unix(),
            run=ended.run,
            round=held.job.round,
            app=ref.name,
            version=ref.version,
            app_digest=ref.digest,
            dataset=app.dataset.name,
            federation=model.digest,
            layout=layout_digest(layout_in(self.files.model(model))),
            private=app.private,
            chosen=chosen,
            metrics=_metrics(held, self.files),
        )


def _tell(log: Log, error: SeptumError | OSError, folder: Path) -> None:
    hint = error.hint if isinstance(error, SeptumError) else f"df -h {folder}"
    log.error("model_not_kept", error=getattr(error, "message", str(error)), hint=hint)


def _pieces(model: Path, own: Path | None, private: tuple[str, ...]) -> list[Piece]:
    """The federation's tensors, and over them the silo's own. The worker made these, so they are looked at."""
    shared = {piece.name: piece for piece in pieces_of(model, lambda name: name)}
    found = [] if own is None else pieces_of(own, lambda name: name.removeprefix(OWN) if name.startswith(OWN) else None)
    for piece in found:
        theirs = shared.get(piece.name)
        is_own = not piece.name.startswith(STATISTICS) and is_private(piece.name, private)
        if not is_own and (theirs is None or _kind(theirs.spec) != _kind(piece.spec)):
            raise TensorError(f"the worker gave a tensor {piece.name!r} as this silo's own, which is not in the model")
    return list({**shared, **{piece.name: piece for piece in found}}.values())


def _kind(spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
    return spec.dtype, spec.shape


def _chosen(own: Path | None) -> Chosen:
    """Where the silo's model came from, as the worker says; the federation's where it says nothing."""
    if own is None:
        return Chosen.FEDERATION
    said = small_tensor(own, CHOSEN)
    number = int.from_bytes(said, "little", signed=True) if said is not None and len(said) == 8 else 0
    if not 0 <= number < len(_ORDER):
        raise TensorError(f"the worker chose model {number} as this silo's own, there are {len(_ORDER)}")
    return _ORDER[number]


def _metrics(held: Held, files: RunFiles) -> Metrics | None:
    """How the model does on the silo's test rows: from the counts of its evaluation, as they were made here."""
    return metrics_in(files.held(held.job.name) if held.payload.inline is None else held.payload.inline)
