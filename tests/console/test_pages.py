"""Every page, in both colours and at two widths: nothing sticks out, nothing is unreadable, nothing is forbidden."""

import pytest
from tests.console.pages import NARROW, WIDE, Console

from septum.client import Client

pytestmark = pytest.mark.console


@pytest.fixture(scope="module")
def finished(hospitals):
    """A run that has ended, of the package that every hospital has approved."""
    from tests.console.runs import plan_of

    with Client(hospitals.admin) as client:
        view = client.submit(plan_of(client, rounds=12), key="pages")
        for _ in client.watch(view.id):
            pass
        return client.run(view.id).id


PAGES = {
    "home": ("/", "Hello"),
    "runs": ("/runs", "Runs"),
    "run": ("/runs/{run}", "heart-disease"),
    "models": ("/runs/{run}/models", "heart-disease"),
    "privacy": ("/runs/{run}/privacy", "heart-disease"),
    "settings": ("/runs/{run}/settings", "heart-disease"),
    "new-run": ("/runs/new", "New run"),
    "silos": ("/silos", "Silos"),
    "silo": ("/silos/cleveland", "cleveland"),
    "projects": ("/projects", "Projects"),
    "groups": ("/projects?tab=groups", "Projects"),
    "apps": ("/apps", "Apps"),
    "app": ("/apps/{app}", "heart-disease 1.0.0"),
    "people": ("/people", "People"),
    "account": ("/account", "administrator"),
    "nowhere": ("/there-is-no-such-page", "There is no such page"),
}


@pytest.fixture(scope="module")
def window(browser, hospitals):
    made = Console(browser, hospitals.federation.console_url)
    made.enter(hospitals.link())
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(hospitals):
    with Client(hospitals.admin) as client:
        return client.apps()[0].digest


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_both_colours_and_widths(window, app, finished, shots, name):
    path, heading = PAGES[name]
    window.go(path.format(run=finished, app=app))
    window.heading(heading)
    window.page.wait_for_load_state("networkidle")
    for colours in ("light", "dark"):
        window.page.emulate_media(color_scheme=colours)
        for width, viewport in (("narrow", NARROW), ("wide", WIDE)):
            window.page.set_viewport_size(viewport)
            window.page.wait_for_function("() => document.documentElement.scrollWidth <= window.innerWidth")
            if shots:
                window.page.wait_for_timeout(250)
                window.page.screenshot(path=shots / f"{name}-{colours}-{width}.png", full_page=True)
        wrong = window.violations()
        assert not wrong, "\n".join(wrong)
