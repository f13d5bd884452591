"""How does a run's model become a folder for other programs?"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.cli.output import Answer, Json
from septum.client import Client
from septum.errors import AppError, ConfigError, ConflictError, did_you_mean
from septum.protocol import model_card, payload, tensors
from septum.protocol.comparing import course_of
from septum.protocol.model_card import Lineage
from septum.sdk.package import LoadedApp, load_app
from septum.sdk.package_file import read_package, unpack

FORMATS = ("safetensors", "onnx", "mlflow")


def export(client: Client, run: str, round_: int, what: str, folder: Path, app: Path | None) -> Answer:
    """Write the folder, whole or not at all. `app`: its folder or package; needed by onnx and mlflow alone.

    Raises ConflictError for a folder that is there, AppError for another app than the run's, and as the formats do.
    """
    if what not in FORMATS:
        raise ConfigError(f"--format {what}: {did_you_mean(what, FORMATS)}", hint=f"one of {', '.join(FORMATS)}")
    if folder.exists():
        raise ConflictError(f"{folder} is there already", hint="give another folder")
    plan = client.plan(run)
    found = model_card.lineage_of(run, plan, course_of(entry.fact for entry in client.whole_journal(run)), round_)
    if plan.private is not None and plan.private.parameters and what != "safetensors":
        raise ConfigError(
            f"the model of run {run} lacks the parameters that are each silo's own, so it predicts nothing by itself",
            hint="--format safetensors; in a silo: septum silo model export",
        )
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=".export-") as temporary:
        part = Path(temporary) / "made"
        model = Path(temporary) / "model.safetensors"
        client.download(found.model, model, run=run)
        data: dict[str, Json] = {**model_card.lineage_json(found), "path": str(folder), "format": what}
        if what == "safetensors":
            part.mkdir()
            shutil.move(model, part / "model.safetensors")
        else:
            with _app(app, found) as (path, loaded):
                data |= (
                    _onnx(part, model, loaded, found) if what == "onnx" else _mlflow(part, model, path, loaded, found)
                )
        (part / "lineage.json").write_text(f"{json.dumps(model_card.lineage_json(found), indent=1, sort_keys=True)}\n")
        (part / "card.md").write_text(model_card.card(found))
        part.chmod(0o755)
        part.rename(folder)
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    return Answer(data, (f"{folder}: {names}; of {found.model}",))


def _onnx(part: Path, model: Path, loaded: LoadedApp, found: Lineage) -> dict[str, Json]:
    from septum.adapters.export import onnx_file  # numpy

    parameters, sums = payload.split_model(tensors.decode(model.read_bytes()))
    about = {"app": found.plan.app.name, "app_digest": found.plan.app.digest, "model": found.model, "run": found.run}
    made = onnx_file.export(loaded.app, loaded.manifest.trains, parameters, sums, about)
    part.mkdir()
    (part / "model.onnx").write_bytes(made.data)
    return {"difference": made.difference}


def _mlflow(part: Path, model: Path, app: Path, loaded: LoadedApp, found: Lineage) -> dict[str, Json]:
    from septum.adapters.export.mlflow_folder import write_folder  # numpy
    from septum.adapters.export.mlflow_model import About

    if loaded.app.inputs_function is None:
        raise AppError(
            f"app {loaded.app.name!r} has no @app.inputs, so its models predict for no new rows",
            hint="its author adds the function: docs/how-to/deploy-a-model.md; or --format safetensors",
        )
    about = About(loaded.digest, found.plan.hyper, found.model, found.run, found.round)
    write_folder(part, app, model, about, loaded.manifest.columns, loaded.manifest.preinstalled)
    return {}


@contextmanager
def _app(path: Path | None, found: Lineage) -> Iterator[tuple[Path, LoadedApp]]:
    """The run's app, from its folder or package. Raises AppError when it is another one."""
    wanted = found.plan.app
    if path is None:
        raise ConfigError(
            f"this format needs the app {wanted.name} {wanted.version}", hint="--app its folder or package"
        )
    with tempfile.TemporaryDirectory() as temporary:
        if path.is_dir():
            folder, digest = path, load_app(path).digest
        else:
            package = read_package(path)
            unpack(package, Path(temporary) / "package")
            folder, digest = Path(temporary) / "package" / "app", package.digest
        if digest != wanted.digest:
            raise AppError(
                f"{path} has the digest {digest}; run {found.run} is of {wanted.name} {wanted.digest}",
                hint="give the app as it was when the run was submitted",
            )
        yield folder, load_app(folder)
