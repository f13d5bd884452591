"""A model gets a name, somebody else says yes to it, and it goes to silos and back: all of it by mouse."""

import re
from pathlib import Path

import pytest
from tests.console.runs import approved, plan_of

from septum.client import Client
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.console


def test_a_model_is_registered_approved_by_somebody_else_deployed_rolled_back_and_retired(console, hospitals):
    page = console.page
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=3, name="for use"), key="for use").id
        list(client.watch(run))

    for number, which in ((1, "1"), (2, "best")):
        console.go(f"/runs/{run}/models")
        if which == "1":
            console.press("The card of the model of round 1")
            card = page.get_by_role("dialog")
            card.get_by_text("Silos whose reports made it").wait_for()
            card.get_by_role("button", name="Register as …").click()
        else:
            console.press("Register as …")
        page.get_by_role("combobox", name="Name").fill("heart")
        console.see(f"septum model register {run} --name heart")
        console.press("Register")
        console.heading(f"heart {number}")
        console.see("It waits for approval")  # whoever registered it has no button for that
        assert page.get_by_role("button", name="Approve").count() == 0
        with Client(hospitals.operator) as client:
            assert client.registered.approve("heart", number).stage.value == "approved"

    def deploy(version, silos, button):
        console.go(f"/models/heart/{version}")
        console.press(button)
        page.get_by_role("dialog").get_by_role("combobox", name="Silos").click()
        for silo in silos:
            page.get_by_role("option", name=silo).click()
        page.keyboard.press("Escape")

    deploy(2, ["cleveland", "hungary"], "Deploy")
    console.see("cleveland has no version of it, and would get version 2.")
    page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    row = page.get_by_role("row", name=re.compile("cleveland"))
    row.get_by_role("cell", name=re.compile("^its steward has not accepted")).wait_for()  # the silo's own word

    deploy(1, ["cleveland"], "Roll back to this")
    console.see("cleveland goes back from version 2 to version 1.")
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    console.see("hungary is to use 2")

    console.press("Retire")
    console.see("cleveland will use no version of heart any more")
    console.press("Retire for good")
    console.see("No silo uses it any more, and its file may be pruned.")
    console.go("/models?stage=deployed")
    page.get_by_role("link", name="heart 2").wait_for()
    assert page.get_by_role("link", name="heart 1").count() == 0


def test_a_version_that_waits_for_one_s_approval_stands_on_the_first_page_until_it_has_it(console, hospitals):
    with Client(hospitals.operator) as client:
        run = client.submit(plan_of(client, rounds=2, name="to look at"), key="to look at").id
        list(client.watch(run))
        client.registered.register(run, "second-look")
    console.go("/")
    waits = console.page.get_by_role("region", name="What waits for you")
    waits.get_by_text("waits for your approval").wait_for()
    waits.get_by_role("link", name="second-look 1").click()
    console.heading("second-look 1")
    console.press("Approve")
    console.see("no silo gets it by that alone")
    console.page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    console.see("approved by")
    console.press("septum, home", "link")
    console.heading("Hello")
    console.page.get_by_role("link", name="second-look 1").wait_for(state="detached")


def test_a_silos_own_model_is_fetched_where_the_run_keeps_it_and_else_the_row_says_where_it_is(console, hospitals):
    page, runs = console.page, {}
    with Client(hospitals.admin) as client:
        app = approved(client)
        console.go(f"/runs/new?app={app.digest}")
        console.fill("Name of the run", "kept")
        console.fill("rounds", "2")
        assert page.get_by_role("switch", name="Keep each silo's own model").count() == 0
        page.get_by_text("Inspected", exact=True).click()
        page.get_by_role("switch", name="Keep each silo's own model").focus()
        page.keyboard.press("Space")
        console.see("--inspect --keep-silo-models")
        console.press("Start the run")
        page.wait_for_url(re.compile(r"/runs/r-"))
        runs["kept"] = page.url.split("/")[-1]
        runs["sealed"] = client.submit(plan_of(client, rounds=2, name="sealed"), key="sealed").id
        for run in runs.values():
            list(client.watch(run))
        digests = {(one.round, one.silo): one.digest for one in client.silo_models(runs["kept"])}
    own = page.get_by_role("region", name=re.compile("own models"))
    console.go(f"/runs/{runs['kept']}/models")
    own.get_by_role("link", name="Download the model of hungary of round 2").wait_for()
    own.get_by_label("Round", exact=True).select_option("1")
    with page.expect_download() as coming:
        own.get_by_role("link", name="Download the model of hungary of round 1").click()
    assert digest_of(Path(coming.value.path()).read_bytes()) == digests[1, "hungary"]
    assert coming.value.suggested_filename.endswith("-round-1-hungary.safetensors")
    assert console.violations() == []
    console.go(f"/runs/{runs['sealed']}/models")
    row = own.get_by_role("row", name=re.compile("hungary"))
    row.get_by_text("never left the silo").wait_for()
    assert row.get_by_text("septum silo model list").count() == 1
    assert own.get_by_role("link").count() == 0
