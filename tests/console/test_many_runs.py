"""Ten thousand runs in the table: no slower than ten, since the coordinator pages and filters, and little is asked."""

import re
import sys
from collections import Counter
from statistics import median

import pytest
from benchmarks.api import fill
from benchmarks.connections import Coordinator
from tests.console.pages import Console

from septum.client import Client, operator_access
from septum.protocol.people_views import NewPerson, SignIn
from septum.protocol.rights import Grant, Role
from septum.testing.crowd import enrol_crowd

pytestmark = pytest.mark.console
RUNS = 10_000
PAGE = 25  # rows, whatever there is
MOST_BYTES = 60_000  # of one page of runs
PASSWORD = "a long enough password"
LOADS = 5
GOAL_S = 0.6  # from the start of the page to rows that answer, on a quiet machine
PATIENCE = 4  # times that, before a busy machine is no excuse
PRESSED = "() => document.addEventListener('pointerdown', () => { window.pressedAt = performance.now(); }, true)"
THERE = """(text) => {
  const rows = [...document.querySelectorAll("tbody tr")].filter((row) => row.querySelector("input[type=checkbox]"));
  return rows[0]?.textContent.includes(text) && performance.now() - (window.pressedAt ?? 0);
}"""


@pytest.fixture(scope="module")
def window(browser, tmp_path_factory):
    """Somebody signed in at a coordinator with so many runs."""
    base = tmp_path_factory.mktemp("many-runs")
    coordinator = Coordinator(base)
    enrol_crowd(coordinator.data_dir, 200)
    fill(coordinator.data_dir, RUNS, rounds=1)
    (coordinator.data_dir / "coordinator.toml").write_text("console_port = 0\n")
    coordinator.start()
    access = operator_access(coordinator.data_dir)
    with Client(access) as client:
        invited = client.people.invite(NewPerson("ada", "Ada Lovelace", grants=(Grant(Role.FEDERATION_ADMIN),)))
        client.people.sign_in(SignIn("ada", invited.password, new_password=PASSWORD))
    # over loopback a browser keeps files, as it does where it trusts the certificate
    log = (base / "coordinator.log").read_text()
    made = Console(browser, re.search(r'"console_url": "(http://[^"]+)"', log).group(1))
    made.page.goto(made.url)
    made.fill("Name", "ada")
    made.fill("Password", PASSWORD)
    made.press("Sign in")
    made.heading("Hello")
    yield made
    made.close()
    coordinator.process.stop()


def test_the_table_of_ten_thousand_runs_is_one_small_page_at_a_time(window, capsys):
    page = window.page
    asked = []
    page.on("response", lambda answer: asked.append(answer) if f"/api/v1/runs?limit={PAGE}&" in answer.url else None)
    rows = page.get_by_role("row").filter(has=page.get_by_role("checkbox"))
    took = {}

    def timed(what, action, text):
        """From the press of a key, or the start of a page, to the first row that is like this: on the page's clock."""
        asked.clear()
        with page.expect_response(re.compile(rf"/api/v1/runs\?limit={PAGE}&")):
            action()
        there_ms = page.wait_for_function(THERE, arg=text).json_value()
        took.setdefault(what, []).append(there_ms / 1000)
        window.settled()
        assert rows.count() == PAGE
        assert max(Counter(one.url for one in asked).values()) <= 2  # once more when the feed begins to be heard
        assert len(asked[-1].body()) <= MOST_BYTES

    for _ in range(LOADS):
        page.goto("about:blank")
        timed("opened", lambda: page.goto(f"{window.url}/runs"), "finished")
    rows.first.get_by_role("checkbox").click()  # it answers to the mouse
    assert rows.first.get_by_role("checkbox").is_checked()

    page.evaluate(PRESSED)

    def only_paused():
        page.get_by_role("combobox", name="Status").click()
        page.get_by_role("option", name="paused").click()

    timed("filtered", only_paused, "paused")
    page.keyboard.press("Escape")
    newest = rows.first.locator(".mono").inner_text()
    timed("the next page", lambda: window.press("Older"), "paused")
    page.get_by_text(newest).wait_for(state="detached")
    with capsys.disabled():
        told = ", ".join(f"{what} in {median(seconds):.2f} s" for what, seconds in took.items())
        sys.stdout.write(f"\n{RUNS} runs in the table: {told}\n")
    assert median(took["opened"]) < PATIENCE * GOAL_S
