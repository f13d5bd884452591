"""Who else looks: more tabs than a browser has connections, and two people before a run that is stopped and resumed."""

import re
import sys
import time

import pytest
from benchmarks.processes import cpu_s
from tests.console.pages import Console
from tests.console.runs import plan_of

from septum.client import Client

pytestmark = pytest.mark.console
TABS = 7  # more than the connections to one host that a browser opens
STREAMS = 4  # of which so many are streams, at most
QUIET_S = 3.0
POLL_MS = 2_000  # web/src/api/follow.ts


class Streams:
    """How many streams a window's tabs hold open."""

    def __init__(self, context):
        self.open = set()
        context.on("request", self._begun)
        context.on("requestfinished", self._ended)
        context.on("requestfailed", self._ended)

    def _begun(self, request):
        if re.search(r"/events$|/logs/stream", request.url):
            self.open.add(request)

    def _ended(self, request):
        self.open.discard(request)


def mode_of(page):
    return page.get_by_test_id("mode").inner_text()


def settled(pages, streams):
    """How each tab follows, once as many as may have a stream: one that ends is taken before its own tab says so."""
    modes = []
    for _ in range(100):
        modes = [mode_of(page) for page in pages]
        if modes.count("live") == STREAMS == len(streams.open):
            break
        pages[0].wait_for_timeout(100)
    return modes


def test_more_tabs_than_a_browser_has_connections_are_all_up_to_date(browser, hospitals, capsys):
    window = Console(browser, hospitals.federation.console_url)
    window.enter(hospitals.link())
    streams = Streams(window.context)
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=1000, name="in many tabs"), key="in many tabs").id
        pages = [window.page, *(window.context.new_page() for _ in range(TABS - 1))]
        pages[0].goto(f"{window.url}/runs/{run}")
        pages[0].locator("[data-testid^='chart-']").first.wait_for()
        client.pause(run)  # nothing else is at work while the others open
        for page in pages[1:]:
            page.goto(f"{window.url}/runs/{run}")
        for page in pages:
            page.locator("[data-testid^='chart-']").first.wait_for()
        modes = settled(pages, streams)
        assert set(modes) == {"live", "asked every 2 s"}
        assert modes.count("live") == STREAMS == len(streams.open)
        pid = hospitals.federation.pid("coordinator")
        used, began = cpu_s(pid), time.monotonic()
        pages[0].wait_for_timeout(1000 * QUIET_S)
        percent = 100 * (cpu_s(pid) - used) / (time.monotonic() - began)
        pages.pop(modes.index("live")).close()
        pages[0].wait_for_timeout(3 * POLL_MS)
        assert settled(pages, streams).count("live") == STREAMS, "nobody took the place that is free"
        client.resume(run)
        before = client.run(run).finished_rounds
        for page in pages:
            page.wait_for_function(
                "least => Number(document.querySelector('[data-testid^=chart-]').dataset.points) > least",
                arg=before + 2,
            )
        client.stop(run)
    with capsys.disabled():
        sys.stdout.write(f"\n{TABS} tabs: {STREAMS} streams, {percent:.1f} % of a core while the run is paused\n")
    window.close()


def test_two_people_see_the_same_and_a_run_that_is_resumed_goes_on_before_their_eyes(console, browser, hospitals):
    other = Console(browser, hospitals.operator.url, ignore_https_errors=True)
    other.page.goto(other.url)
    other.fill("Name", "admin")
    other.fill("Password", hospitals.password)
    other.press("Sign in")
    other.heading("Hello")
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=500, name="seen by two"), key="seen by two").id
        for window in (console, other):
            window.go(f"/runs/{run}")
            window.page.locator("[data-testid^='chart-']").first.wait_for()
        console.press("Stop")
        console.page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
        for window in (console, other):
            window.page.get_by_text("stopped", exact=True).first.wait_for()
        done = client.run(run).finished_rounds
        assert done < 500
        other.press("Resume")
        for window in (console, other):
            window.page.wait_for_function(
                "least => Number(document.querySelector('[data-testid^=chart-]').dataset.points) > least", arg=done + 3
            )
        client.stop(run)
        ended = client.run(run).finished_rounds
    for window in (console, other):
        window.page.get_by_test_id("rounds").get_by_text(f"{ended} of 500 rounds").wait_for()
    other.close()
