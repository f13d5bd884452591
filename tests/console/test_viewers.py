"""Fifty watch one run at work, in browsers and by programs: none misses a round, and the coordinator hardly notices."""

import sys
import time
from contextlib import ExitStack

import pytest
from benchmarks.processes import cpu_s
from benchmarks.viewers import Crowd
from tests.console.pages import Console
from tests.console.runs import plan_of

from septum.client import Client

pytestmark = pytest.mark.console
BROWSERS, PROGRAMS = 20, 30
ROUNDS = 6  # that are measured, without viewers and with them
WORK = ("epochs=100", "batch_size=2")  # rounds of about a second, which is short for a training round
MOST_PERCENT = 2.0  # of a core, for all viewers together, on a quiet machine
PATIENCE = 4  # times that, before a busy machine is no excuse: there the same work takes more of a processor
DONE = "rounds => Number(document.querySelector('[data-testid^=chart-]')?.dataset.points ?? 0) >= rounds"


def cost_of(client, run, pid, rounds):
    """Processor seconds of the coordinator and seconds on the clock that so many rounds take, from one round's end."""

    def wait(finished):
        while (now := client.run(run).finished_rounds) < finished:
            time.sleep(0.1)  # on another process: there is nothing to wait on that does not cost it more
        return now

    first = wait(client.run(run).finished_rounds + 1)
    used, began = cpu_s(pid), time.monotonic()
    last = wait(first + rounds)
    return (cpu_s(pid) - used) / (last - first), (time.monotonic() - began) / (last - first)


def test_fifty_viewers_miss_no_round_and_cost_the_coordinator_little(console, browser, hospitals, capsys):
    pid = hospitals.federation.pid("coordinator")
    with Client(hospitals.admin) as client, ExitStack() as windows:
        plan = plan_of(client, rounds=1000, name="seen by fifty", overrides=WORK)
        run = client.submit(plan, key="seen by fifty").id
        alone_cpu_s, _ = cost_of(client, run, pid, ROUNDS)
        client.pause(run)  # nothing is at work while they open
        pages = []
        for _ in range(BROWSERS):
            window = Console(browser, hospitals.federation.console_url, storage_state=console.context.storage_state())
            windows.callback(window.context.close)
            window.page.goto(f"{window.url}/runs/{run}")
            pages.append(window.page)
        for page in pages:
            page.locator("[data-testid^='chart-'] canvas").first.wait_for()
            page.evaluate("() => { window.sameWindow = true; }")
        with Crowd(hospitals.operator, run, PROGRAMS) as crowd:
            client.resume(run)
            watched_cpu_s, round_s = cost_of(client, run, pid, ROUNDS)
            client.stop(run)
            numbers = crowd.numbers()
        journal = client.journal(run)
        measured = {entry.fact.round for entry in journal if type(entry.fact).__name__ == "ModelMeasured"}
        assert numbers == [list(range(1, len(journal) + 1))] * PROGRAMS
        for page in pages:
            page.wait_for_function(DONE, arg=len(measured))
            page.get_by_text("stopped", exact=True).first.wait_for()
            assert page.evaluate("() => window.sameWindow") is True
    percent = 100 * (watched_cpu_s - alone_cpu_s) / round_s
    with capsys.disabled():
        sys.stdout.write(
            f"\n{BROWSERS} browsers and {PROGRAMS} programs watch rounds of {round_s:.2f} s: {percent:.1f} % of a core "
            f"({1000 * alone_cpu_s:.0f} ms of the coordinator a round without them, {1000 * watched_cpu_s:.0f} with)\n"
        )
    assert percent <= PATIENCE * MOST_PERCENT
