"""What would the silos answer? The same counting and the same sums, over files on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from septum.cli import stats_views
from septum.cli.asking import Asked, query_of
from septum.cli.output import Answer
from septum.cli.silo_files import silo_files
from septum.protocol.answering import answer
from septum.protocol.counting import Values, count
from septum.protocol.noisy_answering import noisy_answer
from septum.protocol.noisy_counting import count_with_noise
from septum.protocol.plan import check_silo_name
from septum.protocol.query import Query
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
        sums += _numbers(query, table.columns)
    silos = sorted(data)
    answered = answer(query, silos, rows, sums) if query.noise is None else noisy_answer(query, silos, sums)
    return stats_views.statistics("simulated", query, answered)


def _numbers(query: Query, table: Mapping[str, Values]) -> Values:
    """What one silo sends. Noise is the operating system's here too; there is no ledger, and no budget."""
    return count(query, table) if query.noise is None else count_with_noise(query, table, os.urandom)
