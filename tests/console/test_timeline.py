"""Where did the time go? A run is zoomed into, a span is chosen, and it leads to the log of its silo in its round."""

import re

import pytest
from playwright.sync_api import expect
from tests.console.runs import plan_of

from septum.client import Client

pytestmark = pytest.mark.console


def test_a_span_is_found_by_keyboard_and_leads_to_its_log_and_to_the_load_of_its_machine(console, hospitals):
    page = console.page
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=6), key="where the time went").id
        list(client.watch(run))
    console.go(f"/runs/{run}/timeline?order=time")
    part = page.get_by_test_id("part")
    before = part.inner_text()
    page.get_by_role("group", name=re.compile("Time by silo")).focus()
    page.keyboard.press("+")
    page.wait_for_function("() => /[?&]from=/.test(location.search)")
    expect(part).not_to_have_text(before, use_inner_text=True)
    page.keyboard.press("0")
    page.wait_for_function("() => !/[?&]from=/.test(location.search)")
    expect(part).to_have_text(before, use_inner_text=True)

    third = page.get_by_role("region", name="Round 3", exact=True)
    third.get_by_role("button", name=re.compile("^cleveland, round 3: trains")).focus()
    page.keyboard.press("Enter")
    page.get_by_label("The chosen span").get_by_text(re.compile(r"trains, [\d.]+ m?s")).wait_for()
    page.reload()  # it stands in the address
    page.get_by_label("The chosen span").get_by_role("link", name="Its log of this round").click()
    page.wait_for_url(re.compile(r"/logs\?.*silo=cleveland&round=3"))
    console.press("System", "tab")
    page.wait_for_url(re.compile(r"/system\?.*silo=cleveland"))
    console.see("cleveland")
    console.press("Everything")
    page.wait_for_function("() => location.search === ''")
