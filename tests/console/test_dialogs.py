"""What opens over a page can be read in both colours, and Escape closes it. And a run that is started by keys alone."""

import re

import pytest

from septum.client import Client

pytestmark = pytest.mark.console
DIALOGS = {
    "invite a silo": ("/silos", "Invite a silo"),
    "invite somebody": ("/people", "Invite somebody"),
    "new group": ("/projects", "New group"),
    "new project": ("/projects", "New project"),
    "upload": ("/apps", "Upload a package"),
    "new preset": ("/apps/{app}", "New preset"),
    "new token": ("/account", "New token"),
    "go to": ("/", "Go to"),
}
MOST_TABS = 60  # from the top of a page to any field of it


@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_is_readable_in_both_colours_and_closes_by_escape(window, app, name):
    path, button = DIALOGS[name]
    window.go(path.format(app=app))
    window.page.get_by_role("button", name=button).first.click()
    dialog = window.page.get_by_role("dialog")
    dialog.wait_for()
    for colours in ("light", "dark"):
        window.page.emulate_media(color_scheme=colours, reduced_motion="reduce")
        wrong = window.violations()
        assert not wrong, "\n".join(wrong)
    window.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


def tab_to(page, described):
    """Tab until this has the focus."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const at = document.activeElement;"
            " return [at.labels?.[0]?.textContent ?? '', at.ariaLabel ?? '', at.textContent].join('|') }"
        )
        if re.search(described, focused):
            return
    raise AssertionError(f"no Tab leads to {described}")


def test_a_run_is_started_by_keys_alone(console, hospitals):
    page = console.page
    page.keyboard.press("Control+k")
    page.get_by_label("What to go to").wait_for()
    page.keyboard.type("action new run")
    page.keyboard.press("Enter")
    console.heading("New run")
    page.get_by_label("Name of the run").wait_for()
    tab_to(page, "^Name of the run")
    page.keyboard.press("Control+a")
    page.keyboard.type("by keys alone")
    tab_to(page, "^rounds")
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    tab_to(page, "Start the run$")
    page.keyboard.press("Enter")
    console.heading("by keys alone")
    with Client(hospitals.admin) as client:
        run = client.run(page.url.rpartition("/")[2])
    assert (run.name, run.rounds, run.masked) == ("by keys alone", 3, True)
