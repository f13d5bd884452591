"""Which commands are there about the models that a silo keeps for itself? They work on its directory alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table
from septum.cli.silo_dir import SiloDir, checked
from septum.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from septum.silo.kept import Kept

app = noun("model", "The models that this silo keeps, with the parameters that never leave it.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `septum silo model list` shows it.")]


@command(app, "list")
def list_(call: Invocation, directory: SiloDir) -> Answer:
    """List the models that this silo keeps: of which run, how good on its own test rows, what in them is its own."""
    del call
    from septum.cli.views import roc_auc_text, when  # protocol: blake3, which `--help` does not load
    from septum.silo.kept import KeptModels

    found = KeptModels(checked(directory)).all()
    rows = tuple(
        (
            when(one.about.at),
            one.about.run,
            f"{one.about.app} {one.about.version}",
            one.about.dataset,
            str(one.about.round),
            one.about.chosen.value,
            f"{len(one.shared)} shared, {len(one.own)} private",
            "" if one.about.metrics is None else roc_auc_text(one.about.metrics),
            "" if one.about.metrics is None else f"{one.about.metrics.accuracy:.4f}",
            str(one.size_bytes),
        )
        for one in reversed(found)
    )
    columns = ("AT", "RUN", "APP", "DATASET", "ROUND", "MODEL", "TENSORS", "ROC-AUC", "ACCURACY", "BYTES")
    empty = "no model is kept here yet: a run of an app with private parameters leaves one, or one with --personalise"
    return Answer({"models": [_json(one) for one in found]}, (Table(columns, rows, empty),))


@command(app, "export")
def export(
    call: Invocation,
    run: RunId,
    directory: SiloDir,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("model.safetensors"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> Answer:
    """Write a kept model, shared and private tensors together, into a safetensors file. Nothing is sent anywhere."""
    del call
    from septum.silo.kept import KeptModels

    kept = KeptModels(checked(directory)).get(run)
    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", hint="give another file with -o, or --force")
    _copy(kept.path, out)
    private = f"; private: {', '.join(kept.own)}" if kept.own else ""
    said = f"{out}: {kept.size_bytes} bytes, readable by you alone{private}"
    return Answer({**_json(kept), "path": str(out)}, (said,))


@command(app, "remove")
def remove(call: Invocation, run: RunId, directory: SiloDir) -> Answer:
    """Delete a model that this silo keeps, for good. Runs that continue start from the newest that is left."""
    del call
    from septum.silo.kept import KeptModels

    kept = KeptModels(checked(directory)).get(run)
    kept.path.unlink()
    return Answer({"run": kept.about.run, "removed": True}, (f"the model of run {kept.about.run} is deleted",))


def _copy(source: Path, target: Path) -> None:
    """For the person who asks alone: it holds what never leaves the silo."""
    try:
        with source.open("rb") as kept, open(target, "wb", opener=_private) as file:
            os.fchmod(file.fileno(), 0o600)
            shutil.copyfileobj(kept, file, 2**20)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}", hint=f"ls -ld {target.parent}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _json(kept: Kept) -> dict[str, Json]:
    from septum.protocol.codec import to_json

    about = to_json(kept.about)
    assert isinstance(about, dict)
    return {
        **about,
        "shared_tensors": list(kept.shared),
        "private_tensors": list(kept.own),
        "size_bytes": kept.size_bytes,
    }
