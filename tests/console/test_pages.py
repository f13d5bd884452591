"""Every page, in both colours and at two widths: nothing sticks out, nothing is unreadable, nothing is forbidden."""

import pytest
from tests.console.pages import NARROW, WIDE
from tests.console.runs import plan_of, question_of

from septum.client import Client

pytestmark = pytest.mark.console


@pytest.fixture(scope="module")
def finished(hospitals):
    """Runs that have ended: masked, one in which the coordinator saw each hospital's own metrics, one that asked."""
    runs = []
    with Client(hospitals.admin) as client:
        for rounds, inspect in ((12, False), (8, True)):
            plan = plan_of(client, rounds=rounds, inspect=inspect, name="inspected" if inspect else "")
            runs.append(client.submit(plan, key=f"pages {inspect}").id)
            list(client.watch(runs[-1]))
        version = client.registered.register(runs[0], "shown").version.version
        runs.append(client.submit(question_of(client), key="pages asks").id)
        list(client.watch(runs[-1]))
    with Client(hospitals.operator) as client:
        client.registered.approve("shown", version)
        client.registered.deploy("shown", version, silos=["cleveland"])
    return runs


PAGES = {
    "home": ("/", "Hello"),
    "runs": ("/runs", "Runs"),
    "run": ("/runs/{run}", "heart-disease"),
    "models": ("/runs/{run}/models", "heart-disease"),
    "card": ("/runs/{run}/models?round=3", "heart-disease"),
    "registered": ("/models", "Models"),
    "version": ("/models/shown/1", "shown 1"),
    "deploying": ("/models/shown/1?do=deploy", "shown 1"),
    "timeline": ("/runs/{run}/timeline", "heart-disease"),
    "logs": ("/runs/{run}/logs", "heart-disease"),
    "system": ("/runs/{run}/system", "heart-disease"),
    "privacy": ("/runs/{run}/privacy", "heart-disease"),
    "settings": ("/runs/{run}/settings", "heart-disease"),
    "inspected": ("/runs/{other}", "inspected"),
    "compare": ("/runs/compare?runs={run},{other}", "Compare 2 runs"),
    "new-run": ("/runs/new", "New run"),
    "statistics": ("/statistics", "Statistics"),
    "ask": ("/statistics/new", "Ask for statistics"),
    "answer": ("/statistics/{asked}", "statistics of heart-disease"),
    "asked-run": ("/runs/{asked}", "statistics of heart-disease"),
    "silos": ("/silos", "Silos"),
    "silo": ("/silos/cleveland", "cleveland"),
    "projects": ("/projects", "Projects"),
    "groups": ("/projects?tab=groups", "Projects"),
    "apps": ("/apps", "Apps"),
    "app": ("/apps/{app}", "heart-disease 1.0.0"),
    "activity": ("/activity", "Activity"),
    "audit": ("/audit", "Audit"),
    "roster": ("/roster", "Roster"),
    "people": ("/people", "People"),
    "account": ("/account", "administrator"),
    "nowhere": ("/there-is-no-such-page", "There is no such page"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_both_colours_and_widths(window, app, finished, shots, name):
    path, heading = PAGES[name]
    window.go(path.format(run=finished[0], other=finished[1], asked=finished[2], app=app))
    window.heading(heading)
    window.settled()
    for colours in ("light", "dark"):
        window.page.emulate_media(color_scheme=colours, reduced_motion="reduce")  # colours are there at once
        for width, viewport in (("narrow", NARROW), ("wide", WIDE)):
            window.page.set_viewport_size(viewport)
            window.page.wait_for_function("() => document.documentElement.scrollWidth <= window.innerWidth")
            if shots:
                window.page.wait_for_timeout(250)
                window.page.screenshot(path=shots / f"{name}-{colours}-{width}.png", full_page=True)
        wrong = window.violations()
        assert not wrong, "\n".join(wrong)
