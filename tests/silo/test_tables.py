"""An app's rows are read once, again when their source has changed, and stay the same for a run that has begun."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.silo.private_app import write_private_app
from tests.silo.small_app import admission, allowing, approved, write_app, write_data

from septum.adapters.tables import read_table
from septum.errors import DataError
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy
from septum.protocol.query import Noise, Query, QueryColumn
from septum.protocol.silo import Denied
from septum.sdk.contract import Column, Role
from septum.sdk.package import read_manifest
from septum.silo.admission import UNREADABLE
from septum.silo.consent import Granted
from septum.silo.datasets import plain_file
from septum.silo.policy import Policy
from septum.silo.tables import Tables, key_of

pytestmark = pytest.mark.processes

COLUMNS = {"x": Column(), "y": Column(Role.TARGET)}
ROWS = "x,y\n1,0\n2,1\n3,1\n"
QUERY = Query((QueryColumn("x"),), min_cell=1, noise=Noise(1.0))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(ROWS)
    return path


def test_a_table_is_made_once_for_a_source_that_stays_as_it_is(tmp_path, source):
    first = Tables(tmp_path / "tables").get(plain_file(source), COLUMNS)
    inode = first.path.stat().st_ino
    again = Tables(tmp_path / "tables").get(plain_file(source), COLUMNS)
    assert (again, again.path.stat().st_ino) == (first, inode)
    assert first.rows == 3
    assert read_table(first.path, ("x", "y"), "y")["x"].tolist() == [1, 2, 3]
    assert first.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("changed", ["x,y\n1,0\n2,1\n3,0\n", ROWS + "4,1\n"])
def test_a_changed_source_is_read_again_also_with_the_old_time_on_it(tmp_path, source, changed):
    tables, before = Tables(tmp_path / "tables"), source.stat()
    first = tables.get(plain_file(source), COLUMNS)
    source.write_text(changed)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert tables.get(plain_file(source), COLUMNS).digest != first.digest


def test_another_contract_has_another_table(tmp_path, source):
    tables = Tables(tmp_path / "tables")
    whole = tables.get(plain_file(source), COLUMNS)
    part = tables.get(plain_file(source), {"y": COLUMNS["y"]})
    assert whole.path != part.path
    assert whole.digest != part.digest
    tables.keep({key_of(plain_file(source), COLUMNS)})
    assert (whole.path.exists(), part.path.exists()) == (True, False)


def test_a_source_that_breaks_leaves_no_old_rows_in_use(tmp_path, source):
    tables = Tables(tmp_path / "tables")
    tables.get(plain_file(source), COLUMNS)
    source.write_text("x,y\n1,two\n")
    with pytest.raises(DataError):
        tables.get(plain_file(source), COLUMNS)
    with pytest.raises(DataError):
        tables.get(plain_file(source), COLUMNS)


# --- admission: the rows of one run ---


@pytest.fixture
def silo(tmp_path):
    app = approved(write_app(tmp_path / "app"), write_data(tmp_path / "data.csv"))
    plan = Plan("p", AppRef("small", "1", app.digest), {}, ("north", "south"), rounds=1)
    tables = Tables(tmp_path / "tables")

    def admit(run: str, policy: Policy | None = None) -> Granted | Denied:
        made = admission(tmp_path, app, policy, table=lambda app, keep: tables.get(app.dataset, app.columns, keep))
        return made.admit(run, plan, tmp_path / "runs" / run / "table")

    return admit


def test_a_run_keeps_the_rows_with_which_it_began(silo, tmp_path):
    first = silo("r1")
    content = first.table.path.read_bytes()
    (tmp_path / "data.csv").write_text("x,y\n9,0\n8,1\n7,1\n6,0\n")
    again, other = silo("r1"), silo("r2")
    assert again == first
    assert again.table.path.read_bytes() == content
    assert (other.table.rows, other.table.digest != first.table.digest) == (4, True)
    (tmp_path / "data.csv").unlink()
    assert silo("r1") == first


def test_rules_that_were_tightened_since_hold_for_a_run_that_has_begun(silo):
    assert isinstance(silo("r1"), Granted)
    denied = silo("r1", allowing(max_rounds=1, min_cohort=3))
    assert isinstance(denied, Denied)
    assert denied.rule == "policy.min_cohort"


def test_rows_without_a_receipt_are_not_used(silo, tmp_path):
    silo("r1")
    (tmp_path / "receipts.jsonl").unlink()
    (tmp_path / "data.csv").unlink()
    denied = silo("r1")
    assert isinstance(denied, Denied)
    assert denied.rule == "data"


@pytest.mark.parametrize("open_", [True, False])
def test_why_the_data_cannot_be_used_is_told_only_where_texts_may_leave(silo, tmp_path, open_, caplog):
    (tmp_path / "data.csv").write_text("x,y\nMüller,0\n")
    denied = silo("r1", allowing(send_error_texts=open_))
    assert isinstance(denied, Denied)
    assert denied.rule == "data"
    assert ("its own log says why" in denied.reason) is not open_
    assert "Müller" not in denied.reason
    assert [record.message for record in caplog.records if record.message == "data_not_usable"]


@pytest.mark.parametrize("privacy", [{"privacy": Privacy(5.0)}, {"query": QUERY, "masking": Masking()}])
def test_why_the_data_cannot_be_used_is_never_told_to_a_run_whose_privacy_is_accounted_for(tmp_path, privacy):
    app = approved(write_private_app(tmp_path / "app"), write_data(tmp_path / "data.csv"))
    app = replace(app, trains=read_manifest(app.path).trains)
    (tmp_path / "data.csv").write_text("x,y\nMüller,0\n")
    tables = Tables(tmp_path / "tables")
    policy = allowing(send_error_texts=True, queries=("small",))
    admit = admission(tmp_path, app, policy, table=lambda app, keep: tables.get(app.dataset, app.columns, keep)).admit
    plan = Plan("p", AppRef("small", "1", app.digest), {}, ("north", "south"), rounds=1, **privacy)
    assert admit("r1", plan, tmp_path / "runs" / "r1" / "table") == Denied("data", UNREADABLE)
