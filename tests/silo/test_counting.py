"""A run that asks for statistics counts in the agent: septum's own code, over the run's table, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.silo.small_app import spec_for

from septum.adapters.tables import write_table
from septum.errors import WorkerError
from septum.ports.launcher import Task, WorkerLimits, WorkerSpec
from septum.protocol import tensors
from septum.protocol.counting import count
from septum.protocol.messages import INLINE_LIMIT_BYTES, Blob, Stage, digest_of
from septum.protocol.query import Query, QueryColumn
from septum.protocol.query_combine import SUMMED
from septum.sdk.data import Table
from septum.silo.counting import Counting

X = QueryColumn("x", minimum=0.0, maximum=1.0, moments=True, cuts=(0.25, 0.5))
ROWS = {"x": np.linspace(0, 1, 50), "y": np.arange(50.0)}
PREPARE = Task(Stage.PREPARE, 0, None, initial=False, state=None, carry=Path("nowhere"))


@pytest.fixture
def spec(tmp_path) -> WorkerSpec:
    write_table(tmp_path / "table", Table(ROWS))
    return replace(spec_for(tmp_path / "app"), data_path=tmp_path / "table")


def worker(query: Query, spec: WorkerSpec):
    return Counting(query, ("x", "y")).start(spec, WorkerLimits())


def test_what_it_sends_is_the_count_of_its_rows_and_nothing_more(spec, tmp_path):
    query = Query((X,))
    made = worker(query, spec).perform(PREPARE, tmp_path / "out")
    content = tensors.decode(made.payload)
    assert content.keys() == {SUMMED}
    assert content[SUMMED].tolist() == count(query, ROWS).tolist()
    assert (made.weight, made.has_state) == (50, False)
    assert not (tmp_path / "out").exists()


def test_many_numbers_go_into_a_file(spec, tmp_path):
    fine = tuple(
        QueryColumn(name, minimum=0.0, maximum=50.0, quantiles=(0.5,), cuts=tuple(map(float, range(255))))
        for name in ("x", "y")
    )
    query = Query(fine)
    columns = dict.fromkeys((f"c{place}" for place in range(5)), ROWS["x"])
    many = Query(tuple(replace(fine[0], name=name) for name in sorted(columns)))
    write_table(tmp_path / "table", Table(columns))
    made = Counting(many, tuple(columns)).start(spec, WorkerLimits()).perform(PREPARE, tmp_path / "out")
    assert isinstance(made.payload, Blob)
    data = (tmp_path / "out").read_bytes()
    assert len(data) > INLINE_LIMIT_BYTES > query.size * 8
    assert made.payload == Blob(digest_of(data), len(data))
    assert tensors.decode(data)[SUMMED].tolist() == count(many, columns).tolist()


@pytest.mark.parametrize("stage", [Stage.TRAIN, Stage.EVALUATE])
def test_there_is_no_other_work(spec, tmp_path, stage):
    counter = worker(Query((X,)), spec)
    with pytest.raises(WorkerError, match="asks for statistics"):
        counter.perform(replace(PREPARE, stage=stage, model=b""), tmp_path / "out")
    assert counter.alive


def test_once_closed_it_counts_no_more(spec, tmp_path):
    counter = worker(Query((X,)), spec)
    counter.close()
    assert not counter.alive
    with pytest.raises(WorkerError):
        counter.perform(PREPARE, tmp_path / "out")


def test_a_table_that_breaks_the_contract_is_not_counted(spec, tmp_path):
    with pytest.raises(WorkerError, match=r"'x': 25 values are not from 0 to 0\.5"):
        worker(Query((replace(X, maximum=0.5),)), spec).perform(PREPARE, tmp_path / "out")
