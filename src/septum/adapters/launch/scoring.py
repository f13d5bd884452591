"""What does a model say of rows that nobody trained on? An app's inputs and predict, for a table without a target.

Nothing of it leaves the silo: the table is made there, the process is the sandbox of training, the logits come back to
who asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from septum.adapters.launch.station import Made
from septum.adapters.tables import read_table
from septum.errors import AppError
from septum.ports.launcher import WorkerSpec
from septum.protocol import payload
from septum.protocol.contents import LOGITS
from septum.protocol.tensors import Tensors
from septum.sdk import harness
from septum.sdk.package import LoadedApp, digest_of, load_app


@dataclass(frozen=True, slots=True)
class Scoring:
    """An app that is kept ready. `columns`: of its contract, without the target."""

    loaded: LoadedApp
    hyper: object
    columns: tuple[str, ...]

    def score(self, model: Tensors, rows: Path) -> Made:
        """The logits, one a row."""
        parameters, sums = payload.split_model(model)
        table = read_table(rows, self.columns)
        logits = harness.score(self.loaded.app, self.hyper, table, parameters, sums)
        return Made({LOGITS: np.ascontiguousarray(logits, np.float64)}, 0)


def scoring_of(spec: WorkerSpec) -> Scoring:
    """The app that a spec names, ready."""
    loaded, hyper = approved(spec)
    manifest = loaded.manifest
    return Scoring(loaded, hyper, tuple(name for name in manifest.columns if name != manifest.target))


def approved(spec: WorkerSpec) -> tuple[LoadedApp, object]:
    """The approved app and its hyper-parameters. Raises AppError for a folder that is not as it was approved."""
    _check_digest(spec.app_dir, spec.app_digest, digest_of(spec.app_dir))
    loaded = load_app(spec.app_dir)
    _check_digest(spec.app_dir, spec.app_digest, loaded.digest)  # of the bytes that were really imported
    return loaded, loaded.app.resolve(dict(spec.hyper))


def _check_digest(folder: Path, approved: str, found: str) -> None:
    if found != approved:
        raise AppError(
            f"the app in {folder} has the digest {found}, but {approved} was approved for this run",
            hint="it was changed since the agent started; restore it, or restart the agent to approve it as it is",
        )
