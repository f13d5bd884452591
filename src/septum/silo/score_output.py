"""How do predictions come out? As CSV or Parquet, beside the ids of their rows; what made them is in a file beside it.

Both are for the user who asked alone: mode 0600, whole or not at all.
"""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from septum.adapters.files import replace_file
from septum.errors import ConfigError, MissingExtraError, StorageError
from septum.protocol.codec import Json, dumps
from septum.sdk.data import Float64
from septum.silo.deployed import Held

PREDICTION = "probability"
ROW = "row"


def write_predictions(path: Path, ids: Mapping[str, Sequence[str]], values: Float64, held: Held, now: float) -> Path:
    """Write both files; the path of the one that says what made them. Raises StorageError, ConfigError.

    Without ids the rows are numbered, from 1. `now`: Unix time, seconds.
    """
    columns: dict[str, Sequence[str]] = dict(ids) or {ROW: [str(row) for row in range(1, len(values) + 1)]}
    if PREDICTION in columns:
        raise ConfigError(
            f"a column {PREDICTION!r} is there already", hint="--id COLUMN names those that are to be kept"
        )
    about = path.with_name(f"{path.name}.model.json")
    content = _parquet(columns, values) if path.suffix.lower() == ".parquet" else _csv(columns, values)
    try:
        replace_file(about, dumps(about_json(held, len(values), now)) + b"\n")
        replace_file(path, content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {path.parent}") from error
    return about


def about_json(held: Held, rows: int, now: float) -> dict[str, Json]:
    """What made some predictions."""
    order = held.order
    return {
        "model": order.name,
        "version": order.version,
        "digest": order.model.digest,
        "deployment": order.deployment,
        "run": order.run,
        "round": order.round,
        "app": order.app.name,
        "app_version": order.app.version,
        "app_digest": order.app.digest,
        "rows": rows,
        "at": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
    }


def _csv(ids: Mapping[str, Sequence[str]], values: Float64) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ids, PREDICTION])
    for *row, value in zip(*ids.values(), values.tolist(), strict=True):
        writer.writerow([*row, f"{value:.6g}"])
    return text.getvalue().encode()


def _parquet(ids: Mapping[str, Sequence[str]], values: Float64) -> bytes:
    try:
        pyarrow: Any = importlib.import_module("pyarrow")  # an optional extra of 100 MB
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            "Parquet files need pyarrow, which is not installed", hint="pip install 'septum[parquet]'"
        ) from error
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(
        pyarrow.table({**{name: list(column) for name, column in ids.items()}, PREDICTION: values}), sink
    )
    return bytes(sink.getvalue())
