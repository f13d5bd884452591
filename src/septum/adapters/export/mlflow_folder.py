"""How does a model become a folder that MLflow loads? Its files, septum as the loader, a signature; and no pickle.

`mlflow.pyfunc.load_model` needs septum installed, and what the app needs. The signature's columns are the data
contract's, without the target; all may be missing, for the contract says by itself what may be.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from septum import __version__
from septum.adapters.export.extra import imported
from septum.adapters.export.mlflow_model import ABOUT, APP, MODEL, About
from septum.protocol.codec import dumps, to_json
from septum.sdk.contract import Column, Role

LOADER = "septum.adapters.export.mlflow_model"
FOLDER = "model"


def write_folder(
    target: Path, app: Path, model: Path, about: About, columns: Mapping[str, Column], needs: tuple[str, ...]
) -> None:
    """Write the folder `target`, which is not there yet. `needs`: requirements of the app besides septum.

    Raises MissingExtraError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own type hints
        pyfunc, models, types = (_extra(name) for name in ("mlflow.pyfunc", "mlflow.models", "mlflow.types"))
    features = [name for name, column in columns.items() if column.role is not Role.TARGET]
    number = types.DataType.double
    signature = models.ModelSignature(
        inputs=types.Schema([types.ColSpec(number, name, required=False) for name in features]),
        outputs=types.Schema([types.ColSpec(number, "probability")]),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / FOLDER
        folder.mkdir()
        shutil.copytree(app, folder / APP, ignore=shutil.ignore_patterns("data", "__pycache__", "*.pyc", ".*"))
        shutil.copyfile(model, folder / MODEL)
        (folder / ABOUT).write_bytes(dumps(to_json(about)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for an example of the input, which would be a record
            pyfunc.save_model(
                str(target),
                loader_module=LOADER,
                data_path=str(folder),
                signature=signature,
                pip_requirements=[f"septum=={__version__}", *needs],
            )


def _extra(name: str) -> Any:  # noqa: ANN401  a library without types
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers of each use
    return imported(name, "MLflow models", "mlflow")
