"""Without a mouse: from anywhere to anything by a part of its name; and a second factor from a code on the page."""

import re

import pytest
from playwright.sync_api import expect
from tests.console.pages import Console
from tests.console.runs import plan_of

from septum.client import Client
from septum.coordinator.totp import code_at, from_base32
from septum.protocol.people_views import NewPerson

pytestmark = pytest.mark.console
PASSWORD = "a long enough password"


def test_the_coordinator_finds_runs_silos_apps_and_pages_by_a_part_of_their_names(console, hospitals):
    page = console.page
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=1, name="a needle"), key="needle").id
        list(client.watch(run))
        for number in range(12):
            client.stop(client.submit(plan_of(client, rounds=1, name=f"hay {number}"), key=f"hay {number}").id)

    def find(text, heading):
        page.keyboard.press("Control+k")
        page.get_by_role("combobox", name="What to go to").and_(page.locator(":focus")).wait_for()
        page.keyboard.type(text)
        page.keyboard.press("Enter")  # at once: the list comes after it
        console.heading(heading)

    console.go("/")
    find("needle", "a needle")
    assert page.url.endswith(f"/runs/{run}")
    find("silo hung", "hungary")
    find("app heart", "heart-disease 1.0")
    find("roster", "Roster")
    page.keyboard.press("Control+k")
    page.keyboard.type("run hay")
    page.get_by_role("option", name=re.compile("^hay 11")).wait_for()
    page.keyboard.press("Escape")
    console.go("/runs?q=needle")
    expect(page.get_by_role("table", name="Runs").get_by_role("row")).to_have_count(2)
    page.get_by_label("Name, app or submitter").fill("hay 3")
    page.get_by_role("link", name="hay 3").wait_for()
    page.wait_for_url("**/runs?q=hay+3")


def test_a_second_factor_is_set_up_by_keyboard_from_a_code_that_the_page_draws_itself(browser, hospitals):
    with Client(hospitals.admin) as client:
        link = client.people.invite(NewPerson("hedy", "Hedy Lamarr")).link
    made = Console(browser, hospitals.federation.console_url)
    page = made.page
    page.goto(made.url + "/invitation#" + link.partition("#")[2])
    made.fill("New password", PASSWORD)
    made.fill("Once more", PASSWORD)
    made.press("Keep it and sign in")
    made.heading("Hello, Hedy")
    made.go("/account")
    page.get_by_role("button", name="Set it up").focus()
    page.keyboard.press("Enter")
    page.get_by_role("img", name="QR code for an authenticator program").wait_for()
    secret = page.locator("pre").first.inner_text()
    page.get_by_label("Code", exact=True).focus()
    page.keyboard.type(code_at(from_base32(secret), page.evaluate("() => Date.now() / 1000")))
    page.get_by_label("Your password", exact=True).focus()
    page.keyboard.type(PASSWORD)
    page.get_by_role("button", name="Turn it on").focus()
    page.keyboard.press("Enter")
    made.see("Recovery codes")
    made.close()  # nothing was asked of another host
