"""What one takes along: charts, metrics, a log, an app's package. The files are what their names say."""

import csv
import re
import struct
from hashlib import sha256

import pytest
from tests.console.runs import APPROVED, approved, plan_of

from septum.client import Client

pytestmark = pytest.mark.console
ROUNDS = 4


def saved(console, folder, press):
    """What arrives as a file: its name and its bytes."""
    with console.page.expect_download() as begun:
        press()
    path = folder / begun.value.suggested_filename
    begun.value.save_as(path)
    return path


def test_charts_metrics_logs_and_packages_arrive_as_the_files_they_are_said_to_be(console, hospitals, tmp_path):
    page = console.page
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=ROUNDS, name="to take along"), key="to take along").id
        list(client.watch(run))
        measured = [entry.fact for entry in client.journal(run) if type(entry.fact).__name__ == "ModelMeasured"]
        app = approved(client)
    console.go(f"/runs/{run}")
    page.get_by_test_id(f"chart-{run}-roc-auc").wait_for()

    def menu(item):
        console.press("ROC-AUC: scale, smoothing, download")
        console.press(item, "menuitem")

    picture = saved(console, tmp_path, lambda: menu("Download as PNG"))
    data = picture.read_bytes()
    assert (picture.name, data[:8]) == (f"{run}-roc-auc.png", b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert (width > 400, height) == (True, 520)  # twice what is on the page

    table = saved(console, tmp_path, lambda: menu("Download as CSV"))
    assert table.name == f"{run}-roc-auc.csv"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][0] == "round"
    assert [(int(row[0]), float(row[1])) for row in rows[1:]] == [
        (one.round, pytest.approx(one.metrics.roc_auc)) for one in sorted(measured, key=lambda one: one.round)
    ]

    table = saved(console, tmp_path, lambda: console.press("All metrics as CSV"))
    assert table.name == f"{run}-metrics.csv"
    with table.open(newline="") as file:
        found = [row for row in csv.DictReader(file) if not row["silo"]]
    assert [(row["run"], int(row["round"]), float(row["log_loss"]), int(row["rows"])) for row in found] == [
        (run, one.round, pytest.approx(one.metrics.log_loss), one.metrics.rows)
        for one in sorted(measured, key=lambda one: one.round)
    ]

    console.go(f"/runs/compare?runs={run},{run}")
    both = saved(console, tmp_path, lambda: console.press("All metrics as CSV"))
    assert both.name == "compare-metrics.csv"
    assert len(both.read_text().splitlines()) == 1 + 2 * (len(table.read_text().splitlines()) - 1)

    console.go(f"/runs/{run}/logs?level=debug")
    log = saved(console, tmp_path, lambda: console.press("Download"))
    assert log.name == f"{run}.log"
    texts = [re.split(r" round \d+ ", line, maxsplit=1)[1] for line in log.read_text().splitlines()]
    with Client(hospitals.admin) as client:
        told = [line.text for line in client.logs.page(run, limit=1000)]
    assert texts
    assert texts == told[: len(texts)]  # others may have come since

    console.go(f"/apps/{app.digest}")
    package = saved(console, tmp_path, lambda: console.press("Download", "link"))
    assert package.name == f"heart-disease-{APPROVED}.septum"
    assert f"sha256:{sha256(package.read_bytes()).hexdigest()}" == app.digest
