"""A worker trains on a canonical table as on the file that it was made from, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.adapters.launch.tasks import Workplace
from septum.adapters.tables import write_table
from septum.errors import DataError
from septum.ports.launcher import Task, WorkerSpec
from septum.protocol.messages import Stage
from septum.protocol.plan import StrategyRef
from septum.sdk.data import Table
from septum.sdk.package import digest_of, read_manifest
from septum.sdk.table import read_csv

EXAMPLE = Path(__file__).parents[3] / "examples" / "heart_disease"
FILE = EXAMPLE / "data" / "hungary.data"


def prepared(data: Path, folder: Path) -> bytes:
    spec = WorkerSpec(
        run="r-1",
        silo="hungary",
        app_dir=EXAMPLE,
        app_digest=digest_of(EXAMPLE),
        data_path=data,
        hyper={},
        seed=42,
        strategy=StrategyRef("fedavg", {}),
        run_dir=folder,
    )
    return Workplace(spec).perform(Task(Stage.PREPARE, 0, None, True, None, folder / "carry")).small


@pytest.fixture
def table() -> Table:
    manifest = read_manifest(EXAMPLE)
    return read_csv(FILE, tuple(manifest.columns), manifest.missing, manifest.target)


def test_a_canonical_table_gives_what_its_file_gives(tmp_path, table):
    write_table(tmp_path / "x", table)
    assert prepared(tmp_path / "x", tmp_path) == prepared(FILE, tmp_path)


def test_a_table_of_another_contract_is_refused_by_name(tmp_path, table):
    write_table(tmp_path / "x", Table({name: table[name] for name in table.columns if name != "thal"}))
    with pytest.raises(DataError, match="the app's are age, ca, chol"):
        prepared(tmp_path / "x", tmp_path)
