"""A database that is down when a run is asked for: the silo neither refuses nor fails the run, it waits and says so."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from functools import partial

import pytest
from tests.silo.scripted import ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import admission, approved, write_app

from septum.protocol.messages import End, Join, Outcome
from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import SiloRun
from septum.silo.datasets import Dataset
from septum.silo.log import JsonFormatter
from septum.silo.run_files import RunFiles
from septum.silo.session import Session
from septum.silo.tables import Tables

pytestmark = pytest.mark.processes
pytest.importorskip("sqlalchemy")


class UpAfterTwoPauses(ScriptedStop):
    """The hospital's database is there after the silo has asked it twice."""

    def __init__(self, database):
        super().__init__()
        self.database = database

    def wait(self, timeout=None):
        if len(self.pauses) == 1:
            with sqlite3.connect(self.database) as connection:
                connection.executescript(
                    "CREATE TABLE patients (x REAL, y REAL);"
                    "INSERT INTO patients VALUES (1, 0), (2, 1), (3, 0), (4, 1), (5, 0), (6, 1), (7, 0), (8, 1);"
                )
            connection.close()
        return super().wait(timeout)


def test_a_run_waits_for_a_database_that_is_down_and_begins_once_it_answers(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonFormatter())
    database, url = tmp_path / "hospital.db", tmp_path / "database.url"
    url.write_text(f"sqlite:///{database}\n")
    url.chmod(0o600)
    query = "SELECT x, y FROM patients ORDER BY x"
    dataset = Dataset("heart", "sql", {"url_file": str(url), "query": query})
    app = replace(approved(write_app(tmp_path / "app"), tmp_path / "none.csv"), dataset=dataset)
    tables = Tables(tmp_path / "tables")
    admit = admission(tmp_path, app, table=lambda one, keep: tables.get(one.dataset, one.columns, keep)).admit

    plan = Plan("p", AppRef("small", "1", app.digest), {}, ("north", "south"), rounds=2)
    files = RunFiles(tmp_path / "runs" / "r1")
    stop = UpAfterTwoPauses(database)
    channel = ScriptedChannel(stop, End(Outcome.FINISHED))
    session = Session(tools_for(channel), files, SiloRun("r1", "north", plan), partial(admit, "r1", plan, files.table))
    session.serve()

    assert len(stop.pauses) == 2
    assert channel.said == [Join(plan.digest)]  # nothing was said of it before, and nothing refused
    waited = [line for line in caplog.text.splitlines() if "not_admitted_yet" in line]
    assert len(waited) == 2
    assert all("there is no such database" in line for line in waited)
