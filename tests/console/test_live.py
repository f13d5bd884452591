"""What one sees of others' work, as it happens: lists, the feed, logs. And one's own programs, which come and go."""

import pytest
from tests.console.runs import plan_of

from septum.client import Access, Client
from septum.errors import AuthError, ForbiddenError
from septum.protocol.people_views import NewPerson

pytestmark = pytest.mark.console
SOON_MS = 8_000  # far sooner than a list is asked for again beside the feed


def test_what_others_do_shows_in_every_list_at_once_over_one_stream(console, hospitals):
    streams = []
    console.page.on("request", lambda request: streams.append(request.url) if "/api/v1/events" in request.url else None)
    console.go("/silos")
    console.page.get_by_role("link", name="cleveland").wait_for()
    console.page.evaluate("() => { window.sameWindow = true; }")
    with Client(hospitals.admin) as client:
        client.invite("lausanne")
        console.page.get_by_role("link", name="lausanne").wait_for(timeout=SOON_MS)
        console.press("People", "link")
        console.heading("People")
        client.people.invite(NewPerson("grace", "Grace Hopper"))
        console.page.get_by_text("grace").first.wait_for(timeout=SOON_MS)
    assert console.page.evaluate("() => window.sameWindow") is True
    assert len(streams) == 1


def test_what_has_happened_is_found_by_filters_followed_live_and_leads_to_the_thing(console, hospitals):
    with Client(hospitals.admin) as client:
        client.invite("geneva")
        console.go("/activity?kind=silo.invited")
        row = console.page.get_by_test_id("silo.invited")
        row.filter(has_text="geneva was invited.").filter(has_text="admin").wait_for()
        assert console.page.get_by_test_id("silo.enrolled").count() == 0, "the filter of the address does not hold"
        console.page.get_by_test_id("feed").get_by_text("live").wait_for()
        client.invite("lugano")
        row.filter(has_text="lugano was invited.").wait_for(timeout=SOON_MS)
    console.page.get_by_label("Silo", exact=True).first.click()
    console.page.get_by_role("option", name="geneva").click()
    console.page.wait_for_url("**/activity?kind=silo.invited&silo=geneva")
    row.filter(has_text="lugano").wait_for(state="detached")
    console.press("geneva", "link")
    console.heading("geneva")


def test_a_log_is_read_as_it_comes_held_still_and_sent_on_by_its_address(console, hospitals):
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=200), key="read live").id
        console.go(f"/runs/{run}/logs")
        mode = console.page.get_by_test_id("log-mode")
        mode.get_by_text("live").wait_for()
        line = console.page.locator(".log-line")
        line.first.wait_for()
        console.press("Stop following")
        mode.get_by_text("not followed").wait_for()
        held = line.count()
        client.stop(run)  # of which the silos tell
        list(client.watch(run))
    assert held
    console.page.get_by_test_id("log-mode").wait_for(state="detached")
    console.page.get_by_role("combobox", name="Silo").click()
    console.page.get_by_role("option", name="cleveland").click()
    console.page.wait_for_url("**/logs?silo=cleveland")
    console.page.reload()
    line.first.wait_for()
    silos = console.page.locator(".log-silo").all_inner_texts()
    assert set(silos) == {"cleveland"}


def test_a_token_is_made_works_with_the_rights_it_was_given_and_is_revoked(console, hospitals):
    console.go("/account")
    console.press("New token")
    console.fill("Title", "nightly")
    console.fill("Days", "30")
    console.page.get_by_role("combobox", name="Rights").click()
    console.page.get_by_role("option", name="run.read").click()
    console.page.keyboard.press("Tab")
    console.see("septum token create nightly --days 30 --right run.read")
    console.press("Make the token")
    secret = console.page.get_by_role("dialog").locator("pre").inner_text()
    program = Access(hospitals.operator.url, secret, hospitals.operator.ca_file)
    with Client(program) as client:
        assert client.people.who().name == "admin"
        with pytest.raises(ForbiddenError):
            client.silos()
    console.press("I have kept it")
    console.press("Revoke nightly")
    console.see("septum token revoke")
    console.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    console.page.get_by_text("nightly", exact=True).wait_for(state="detached")
    with Client(program) as client, pytest.raises(AuthError):
        client.people.who()
