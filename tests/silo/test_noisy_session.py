"""A silo's part in a query with noise, from the first message to the last: what is held to leave, and what stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.silo.private_queries import files_of, plan_of, tools
from tests.silo.scripted import ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import approved, granted, write_app, write_data

from septum.adapters.tables import write_table
from septum.privacy.ledger import Reserved, Settled
from septum.protocol import tensors
from septum.protocol.messages import End, Failure, Outcome, Prepare
from septum.protocol.noisy_counting import units
from septum.protocol.query import Noise, Query, QueryColumn
from septum.protocol.query_combine import SUMMED
from septum.protocol.silo import SiloRun
from septum.sdk.data import Table
from septum.silo.ledger import read
from septum.silo.session import Session

QUERY = Query((QueryColumn("x", cuts=(1.0, 2.0)),), (), 1, Noise(1.0))
ROWS = {"x": np.arange(10) / 2, "y": np.arange(10) % 2.0}
PREPARE = Prepare(1, initial=False)


def play(folder, *script, budget=3.0, purse=True, table=None):
    """Serve until the script is over, with a silo that would let the texts of errors leave."""
    app = approved(write_app(folder / "app"), write_data(folder / "rows.csv"))
    let_in = granted(app)
    write_table(folder / "table", Table(ROWS))
    if table is not None:
        (folder / "table").write_bytes(table)
    let_in = replace(let_in, table=replace(let_in.table, path=folder / "table"))
    channel = ScriptedChannel(ScriptedStop(), *script)
    used = replace(tools_for(channel), send_error_texts=True, privacy=tools(folder, budget) if purse else None)
    Session(used, files_of(folder), SiloRun("r1", "north", plan_of(QUERY)), lambda: let_in).serve()
    return channel


def test_what_is_held_to_leave_is_the_noisy_numbers_no_count_of_rows_and_no_time(tmp_path):
    play(tmp_path, PREPARE)
    held = files_of(tmp_path).load().held
    assert (held.weight, dict(held.durations_s)) == (1, {})
    content = tensors.decode(held.payload.inline)
    assert content.keys() == {SUMMED}
    assert (content[SUMMED] == tensors.decode(files_of(tmp_path).noisy.read_bytes())[SUMMED]).all()
    assert (content[SUMMED] != units(QUERY, ROWS)).all()


def test_once_the_run_has_ended_the_release_is_settled(tmp_path):
    play(tmp_path, PREPARE, End(Outcome.FINISHED))
    reserved, settled = (entry.event for entry in read(tmp_path).entries)
    assert isinstance(reserved, Reserved)
    assert settled == Settled(reserved.id, 1)
    assert not files_of(tmp_path).noisy.exists()


def test_what_the_budget_cannot_pay_for_is_refused_and_says_what_is_left(tmp_path):
    said = play(tmp_path, PREPARE, End(Outcome.FAILED), budget=0.5).said
    (failure,) = (one for one in said if isinstance(one, Failure))
    assert "the budget is 0.5, of which 0 is spent and 0.5 is left" in failure.reason
    assert read(tmp_path).book.spent == {}


def test_a_silo_without_a_ledger_answers_no_such_query(tmp_path):
    said = play(tmp_path, PREPARE, End(Outcome.FAILED), purse=False)
    (failure,) = (one for one in said.said if isinstance(one, Failure))
    assert failure.reason == "this silo takes no part in runs with differential privacy"
    assert not files_of(tmp_path).noisy.exists()


def test_a_table_that_cannot_be_read_is_the_silos_own_business(tmp_path):
    said = play(tmp_path, PREPARE, End(Outcome.FAILED), table=b"no table").said
    (failure,) = (one for one in said if isinstance(one, Failure))
    assert "keeps the reason to itself" in failure.reason
