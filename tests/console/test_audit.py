"""The audit log's page does its one job: what was done is found, all of it is checked, and taken along as a file."""

import re

import pytest
from playwright.sync_api import expect
from tests.console.pages import NARROW, WIDE
from tests.console.runs import plan_of

from septum.cli.main import main
from septum.client import Client

pytestmark = pytest.mark.console


def press(page, button):
    """By keyboard, as whoever has no mouse does."""
    button.focus()
    page.keyboard.press("Enter")


def test_what_a_run_did_is_found_verified_and_exported_by_keyboard(console, hospitals, tmp_path, shots, capsys):
    page = console.page
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=2, name="to audit"), key="to audit").id
        list(client.watch(run))
        silos = [silo.name for silo in client.silos() if silo.enrolled_at]
    console.go("/")
    press(page, page.get_by_role("navigation", name="Pages").get_by_role("link", name="Audit"))
    console.heading("Audit")
    page.get_by_label("Run", exact=True).focus()
    page.keyboard.type(run)
    page.wait_for_url(re.compile(f"run={run}"))
    log = page.get_by_role("table", name="Audit log")
    made = log.get_by_test_id("model.made")
    made.nth(2).wait_for()
    assert [re.search(r"round (\d)", text)[1] for text in made.all_inner_texts()] == ["2", "1", "0"]
    assert run in log.get_by_test_id("sum.unmasked").first.inner_text()
    page.get_by_role("combobox", name="What").focus()
    page.keyboard.type("run.ended")
    expect(page.get_by_role("option")).to_have_text(["run.ended"])
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-combobox-selected]")).to_have_text("run.ended")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"kind=run\.ended"))
    made.first.wait_for(state="detached")
    expect(log.get_by_role("row")).to_have_count(2)  # its names, and the one event
    press(page, log.get_by_role("button"))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("link", name=run).first.wait_for()
    assert "outcome" in dialog.inner_text()
    assert console.violations() == []
    if shots:
        page.screenshot(path=shots / "audit-opened.png")
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")

    press(page, page.get_by_role("button", name="Verify"))
    page.get_by_text(re.compile(r"The audit log holds: [\d,]+ events, [\d,]+ signed heads?")).wait_for()
    assert "Signatures were not checked" not in page.inner_text("main")
    if shots:
        page.screenshot(path=shots / "audit-verified.png")
    for silo in silos:  # each countersigns once a minute
        page.get_by_text(re.compile(f"^{silo} (up to event|nothing lately)")).first.wait_for()
    with page.expect_download() as begun:
        press(page, page.get_by_role("button", name="Export"))
    name = begun.value.suggested_filename
    assert re.fullmatch(r"audit-\d{4}-\d\d-\d\d\.jsonl", name)
    begun.value.save_as(tmp_path / name)
    assert main(["audit", "verify", str(tmp_path / name)]) == 0
    assert "holds" in capsys.readouterr().out
    assert f'"run":"{run}"' in (tmp_path / name).read_text()

    console.go("/audit")
    log.get_by_test_id("audit.read").first.wait_for()
    console.settled()
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")
        for width, viewport in (("narrow", NARROW), ("wide", WIDE)):
            page.set_viewport_size(viewport)
            page.wait_for_function("() => document.documentElement.scrollWidth <= window.innerWidth")
            if shots:
                page.screenshot(path=shots / f"audit-{colours}-{width}.png", full_page=True)
        assert console.violations() == []
