"""What would the silos answer? The same counting and the same sums, over files on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from septum.cli import stats_views
from septum.cli.asking import Asked, query_of
from septum.cli.output import Answer
from septum.cli.silo_files import silo_files
from septum.protocol.answering import answer
from septum.protocol.counting import count
from septum.protocol.plan import check_silo_name
from septum.sdk.package import DATA_FOLDER, read_manifest
from septum.sdk.table import read_csv


def simulate(folder: Path, files: Mapping[str, str], asked: Asked) -> Answer:
    """The answer over the given files, or those in the app's data folder. Raises DataError."""
    manifest = read_manifest(folder)
    query = query_of(manifest.columns, asked)
    data = {check_silo_name(name): Path(path) for name, path in files.items()} or silo_files(folder / DATA_FOLDER)
    rows, sums = 0, np.zeros(query.size)
    for path in data.values():
        table = read_csv(path, tuple(manifest.columns), manifest.missing, target=manifest.target)
        rows += len(table)
        sums += count(query, table.columns)
    return stats_views.statistics("simulated", query, answer(query, sorted(data), rows, sums))
