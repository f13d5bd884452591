"""What people do in the console, to the end: come in, start a run and watch it, fetch its model, bring others in."""

import json
import signal
import subprocess
import sys

import pytest
from blake3 import blake3
from tests.console.pages import Console
from tests.console.runs import plan_of

from septum.cli.demo_console import built
from septum.cli.shipped import HEART_DISEASE, example
from septum.client import Client
from septum.sdk.package import load_app

pytestmark = pytest.mark.console
ROUNDS = 40
PASSWORD = "a long enough password"


def points(console):
    """How many models the first chart shows."""
    chart = console.page.locator("[data-testid^='chart-']").first
    return int(chart.get_attribute("data-points")) if chart.count() else 0


def wait_for_points(console, least):
    console.page.wait_for_function(
        "least => Number(document.querySelector('[data-testid^=chart-]')?.dataset.points ?? 0) >= least", arg=least
    )


def wait_for_end(console, rounds):
    console.page.wait_for_function(
        "text => document.querySelector('[data-testid=rounds]')?.textContent === text",
        arg=f"{rounds} of {rounds} rounds",
        timeout=60_000,
    )


def test_a_run_is_started_by_a_form_watched_live_and_its_best_model_fetched(console, hospitals, tmp_path):
    console.go("/runs")
    console.press("New run", "link")
    console.heading("New run")
    console.see("septum run submit heart-disease==1.0.0 --watch")
    console.fill("Name of the run", "by mouse")
    console.fill("rounds", "2000")
    console.see("At most 1000")
    assert console.page.get_by_role("button", name="Start the run").is_disabled()
    console.fill("rounds", str(ROUNDS))
    console.fill("lr", "0.002")
    console.see(f"--name 'by mouse' --set rounds={ROUNDS} --set lr=0.002")
    console.press("Start the run")
    console.heading("by mouse")
    wait_for_points(console, 2)
    assert points(console) < ROUNDS + 1, "the curve was whole at once: this was not live"
    assert console.page.get_by_test_id("mode").inner_text() == "live"
    wait_for_end(console, ROUNDS)
    wait_for_points(console, ROUNDS + 1)
    with Client(hospitals.admin) as client:
        run = client.run(console.page.url.rpartition("/")[2])
        assert run.hyper["lr"] == 0.002
        assert run.masked
        wanted = max(client.models(run.id), key=lambda model: model.metrics.roc_auc)
    console.press("Models", "tab")
    with console.page.expect_download() as begun:
        console.page.get_by_role("link", name="Download the best model").click()
    path = tmp_path / "model.safetensors"
    begun.value.save_as(path)
    assert f"blake3:{blake3(path.read_bytes()).hexdigest()}" == wanted.digest
    assert begun.value.suggested_filename.endswith(".safetensors")
    console.page.go_back()
    console.heading("by mouse")
    assert console.page.get_by_role("tab", name="Overview").get_attribute("aria-selected") == "true"


def test_a_coordinator_that_is_killed_and_comes_back_is_noticed_and_nobody_reloads(console, hospitals):
    federation = hospitals.federation
    with Client(hospitals.admin) as client:
        run = client.submit(plan_of(client, rounds=ROUNDS), key="killed").id
    console.go(f"/runs/{run}")
    wait_for_points(console, 2)
    console.page.evaluate("() => { window.sameWindow = true; }")
    federation.kill("coordinator")
    banner = console.page.get_by_test_id("connection")
    banner.get_by_text("has not answered").wait_for()
    seen = points(console)
    assert seen >= 2, "what was there has gone from the page"
    federation.start_coordinator(int(hospitals.operator.url.rpartition(":")[2]))
    banner.get_by_text("answers again").wait_for()
    wait_for_end(console, ROUNDS)
    wait_for_points(console, ROUNDS + 1)
    assert console.page.evaluate("() => window.sameWindow") is True
    banner.wait_for(state="detached")


def test_a_page_that_is_opened_while_the_coordinator_is_away_comes_by_itself(console, hospitals):
    console.go("/runs")
    hospitals.federation.kill("coordinator")
    console.page.get_by_test_id("connection").get_by_text("has not answered").wait_for()
    console.page.get_by_role("link", name="Roster").click()  # whose file is not here yet
    console.page.wait_for_url("**/roster")
    hospitals.federation.start_coordinator(int(hospitals.operator.url.rpartition(":")[2]))
    console.heading("Roster")


def test_a_session_that_ends_gives_way_to_a_sign_in_and_the_page_comes_back(console, hospitals):
    console.go("/activity?kind=silo.enrolled&silo=cleveland")
    session = console.page.request.get(f"{console.url}/api/v1/session").json()
    ended = console.page.request.delete(
        f"{console.url}/api/v1/session", headers={"x-septum-csrf": session["csrf"]}, fail_on_status_code=True
    )
    assert ended.status == 204
    console.page.get_by_text("Your session has ended").wait_for(timeout=40_000)  # the page finds that out by itself
    assert console.page.url.endswith("/activity?kind=silo.enrolled&silo=cleveland")
    console.fill("Name", "admin")
    console.fill("Password", "not the password")
    console.press("Sign in")
    console.see("do not belong together")
    console.fill("Password", hospitals.password)
    console.press("Sign in")
    console.heading("Activity")
    console.page.get_by_test_id("silo.enrolled").get_by_text("cleveland").first.wait_for()
    assert console.page.url.endswith("/activity?kind=silo.enrolled&silo=cleveland")


def test_by_its_own_port_one_signs_in_over_tls_with_a_cookie_that_no_page_reads(browser, hospitals):
    made = Console(browser, hospitals.operator.url, ignore_https_errors=True)
    made.page.goto(f"{made.url}/runs")
    made.fill("Name", "admin")
    made.fill("Password", hospitals.password)
    made.press("Sign in")
    made.heading("Runs")
    cookies = {one["name"]: one for one in made.context.cookies()}
    assert set(cookies) == {"__Host-septum"}
    kept = cookies["__Host-septum"]
    assert (kept["secure"], kept["httpOnly"], kept["sameSite"]) == (True, True, "Strict")
    assert made.page.evaluate("() => document.cookie") == ""
    made.close()


def test_whoever_is_invited_chooses_a_password_and_is_offered_what_the_role_allows(console, browser, hospitals):
    console.go("/people")
    console.press("Invite somebody")
    console.fill("Name", "ada")
    console.fill("Full name", "Ada Lovelace")
    console.press("Make the invitation")
    link = console.page.locator("pre", has_text="#name=ada").inner_text()
    theirs = Console(browser, hospitals.federation.console_url)
    theirs.page.goto(f"{theirs.url}/invitation#{link.partition('#')[2]}")
    theirs.see("Welcome, ada")
    assert "password" not in theirs.page.url
    theirs.fill("New password", PASSWORD)
    theirs.fill("Once more", PASSWORD)
    theirs.press("Keep it and sign in")
    theirs.heading("Hello, Ada")
    assert theirs.page.get_by_role("link", name="New run").count() == 0
    assert theirs.page.get_by_role("link", name="People").count() == 0
    theirs.go("/silos")
    theirs.see("cleveland")
    assert theirs.page.get_by_role("button", name="Invite a silo").count() == 0
    theirs.go("/runs/new")
    theirs.see("You may not submit runs")
    theirs.close()


def test_a_silo_a_group_a_project_and_a_package_come_in(console, tmp_path):
    console.go("/silos")
    console.press("Invite a silo")
    console.fill("Name", "st-marys")
    console.press("Make the invitation")
    command = console.page.locator("pre", has_text="septum silo enroll").inner_text()
    assert "SEPTUM_INVITATION=septum1_" in command
    assert "--url https://" in command
    console.press("Done")
    console.page.get_by_role("link", name="st-marys").wait_for()

    console.go("/projects")
    console.see("No project yet")
    console.press("New group")
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("cardiology")
    dialog.get_by_role("combobox", name="Silos").click()
    for name in ("cleveland", "hungary"):
        console.page.get_by_role("option", name=name).click()
    console.page.keyboard.press("Tab")
    console.press("Make the group")
    dialog.wait_for(state="detached")
    console.page.get_by_role("button", name="New project").first.click()
    dialog.get_by_label("Name").fill("hearts")
    dialog.get_by_role("combobox", name="Group of silos").click()
    console.page.get_by_role("option", name="cardiology").click()
    console.press("Make the project")
    console.see("group cardiology: cleveland, hungary")

    folder = tmp_path / "app"
    folder.mkdir()
    for file in example(HEART_DISEASE).iterdir():
        if file.is_file():
            text = file.read_text()
            (folder / file.name).write_text(text.replace('version = "1.0.0"', 'version = "1.0.1"'))
    package = built(folder, load_app(folder), tmp_path / "packages")
    console.go("/apps")
    console.press("Upload a package")
    with console.page.expect_file_chooser() as asked:
        console.press("Choose a file")
    asked.value.set_files(package.path)
    console.press("Upload")
    console.heading("heart-disease 1.0.1")
    console.see("Not signed")


def test_everything_is_gone_to_by_keyboard(console):
    console.page.keyboard.press("Control+k")
    console.page.get_by_label("What to go to").wait_for()
    console.page.keyboard.type("silo hung")
    console.page.keyboard.press("Enter")
    console.heading("hungary")
    console.page.keyboard.press("Control+j")
    assert console.page.evaluate("() => document.documentElement.dataset.mantineColorScheme") == "dark"


def test_the_demo_prints_a_link_that_signs_in_once_and_stays_until_it_is_told_to_end(browser, tmp_path):
    """Here one process more: `septum demo --console` itself."""
    command = [sys.executable, "-m", "septum", "demo", "--console", "--rounds", "3", "--json"]
    demo = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        told = json.loads(demo.stdout.readline())
        window = Console(browser, told["url"])
        window.enter(told["link"])
        window.close()
        again = Console(browser, told["url"])
        again.page.goto(told["link"])
        again.see("This link does not open the console")
        again.close()
        assert json.loads(demo.stdout.readline())["event"] == "staying"
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(30) == 0
        assert json.loads(rest.splitlines()[-1])["data"]["rounds"] == 3
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
