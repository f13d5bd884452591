"""Which models does this silo keep for itself? One file a run in `models/`: what predicts here, with its private part.

A file is in the safetensors layout: parameters under their own names, shared and private, and the federation's
statistics; what it is stands in its header. Nothing of it leaves: the agent reads it when a run is to continue from the
private parameters, `septum silo model` when a person asks. Mode 0600, on the disk before the run counts as ended here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from blake3 import blake3

from septum.algorithms.partition import is_private
from septum.errors import MessageError, NotFoundError, SeptumError, StorageError, TensorError, did_you_mean
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.contents import STATISTICS
from septum.protocol.facts import Metrics
from septum.protocol.layout import Layout, header_size, read_layout, read_metadata
from septum.silo.log import Log
from septum.silo.tensor_file import Piece, write

FOLDER = "models"
SUFFIX = ".safetensors"
_KEY = "septum"  # of what the file says of itself


class Chosen(Enum):
    """Which model is this silo's own.

    FEDERATION    the federation's shared parameters with the silo's private ones
    PERSONALISED  the same, trained further here
    LOCAL         one that was trained here alone: it did better on the rows that were held out
    """

    FEDERATION = "federation"
    PERSONALISED = "personalised"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class KeptModel:
    """What a kept model says of itself.

    at          Unix time, seconds, when it was kept
    round       the round that made the federation's model
    federation  that model's digest
    layout      of the shared tensors: a run of another layout does not continue from it
    private     patterns of the private tensors' names
    metrics     how this model does on the silo's own test rows
    """

    at: float
    run: str
    round: int
    app: str
    version: str
    app_digest: str
    dataset: str
    federation: str
    layout: str
    private: tuple[str, ...]
    chosen: Chosen
    metrics: Metrics | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept model's file. `shared`, `own`: names of its parameters, statistics left out."""

    path: Path
    about: KeptModel
    shared: tuple[str, ...]
    own: tuple[str, ...]
    size_bytes: int


def layout_digest(layout: Layout) -> str:
    """The name of a shared model's layout: its parameters' names, dtypes and shapes."""
    parameters = [spec for spec in layout.tensors if not spec.name.startswith(STATISTICS)]
    return f"blake3:{blake3(dumps([[spec.name, spec.dtype, list(spec.shape)] for spec in parameters])).hexdigest()}"


class KeptModels:
    """The kept models of one silo."""

    def __init__(self, silo_dir: Path) -> None:
        self._folder = silo_dir / FOLDER

    def has(self, run: str) -> bool:
        """Whether a run's model is kept."""
        return self._path(run).exists()

    def keep(self, about: KeptModel, pieces: Sequence[Piece]) -> None:
        """Keep a model; one of the same run is replaced. Raises TensorError, StorageError."""
        write(self._path(about.run), pieces, {_KEY: dumps(to_json(about)).decode()})

    def newest(self, app: str, dataset: str, layout: str, private: tuple[str, ...], log: Log) -> Kept | None:
        """The newest model with private parameters of this app, dataset, layout and these patterns; None for none."""
        fitting = []
        for path in self._paths():
            try:
                kept = read(path)
            except SeptumError as error:
                log.warning("kept_model_unreadable", path=str(path), error=error.message)
                continue
            about = kept.about
            if kept.own and (about.app, about.dataset, about.layout, about.private) == (app, dataset, layout, private):
                fitting.append(kept)
        return max(fitting, key=lambda kept: (kept.about.at, kept.about.run), default=None)

    def all(self) -> list[Kept]:
        """Every kept model, oldest first. Raises StorageError, TensorError naming a file that is none."""
        return sorted((read(path) for path in self._paths()), key=lambda kept: (kept.about.at, kept.about.run))

    def get(self, run: str) -> Kept:
        """A run's model. Raises NotFoundError."""
        path = self._path(run)
        if path.parent != self._folder or not path.exists():
            known = [one.name.removesuffix(SUFFIX) for one in self._paths()]
            nearest = f"; {did_you_mean(run, known)}" if known else ""
            raise NotFoundError(
                f"this silo keeps no model of a run {run!r}{nearest}",
                hint=f"septum silo model list --dir {self._folder.parent}",
            )
        return read(path)

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}{SUFFIX}"

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"[!.]*{SUFFIX}"))


def read(path: Path) -> Kept:
    """What a kept model's file holds, by its header. Raises StorageError, TensorError naming the file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            start += file.read(header_size(start) - len(start))
        about = from_json(KeptModel, loads(read_metadata(start).get(_KEY, "").encode()), path.name)
        layout = read_layout(start, size)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    except (TensorError, MessageError) as error:
        raise TensorError(f"{path} is no kept model: {error.message}", hint=f"move it away: {path}") from error
    names = [spec.name for spec in layout.tensors if not spec.name.startswith(STATISTICS)]
    own = tuple(name for name in names if is_private(name, about.private))
    return Kept(path, about, tuple(name for name in names if name not in own), own, size)
