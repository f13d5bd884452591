"""The whole way from a package to a model on one's disk, by mouse, as docs/how-to/use-the-console.md has it."""

import os
import re
import signal

import pytest
from blake3 import blake3
from safetensors.numpy import load_file
from tests.console.guide import ROOT, Guide, Mouse, typed
from tests.console.pages import Console

pytestmark = pytest.mark.console
SILOS = ("cleveland", "hungary", "long-beach-va", "switzerland")
ROUNDS = 60


def test_the_whole_reference_flow_goes_by_mouse_as_the_guide_says(browser, hospitals, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "septum-demo").symlink_to(hospitals.federation.base)
    window = Console(browser, hospitals.federation.console_url)
    guide = Guide("Train a model by mouse")
    mouse = Mouse(window.page, guide)
    assert guide.shell() == "septum demo --console --keep"  # as test_console.py starts it
    window.page.goto(window.url)  # the one address that is typed

    sign_in(mouse, hospitals)
    upload(mouse, guide, tmp_path)
    make_a_preset(mouse)
    typed(guide.shell(), tmp_path)
    make_a_group_and_a_project(mouse)
    start(mouse)
    watch(mouse, hospitals)
    look_at_the_time(mouse)
    path = save_the_best_model(mouse, tmp_path)
    assert all(array.size for array in load_file(path).values())
    assert guide.clicks_left() == []
    window.close()


def sign_in(mouse, hospitals):
    mouse.write("Name", "admin")
    mouse.write("Password", hospitals.password)
    mouse.click("Sign in")
    mouse.page.get_by_role("heading", level=1, name=re.compile("Hello")).wait_for()


def upload(mouse, guide, folder):
    page = mouse.page
    typed(guide.shell(), folder)
    file = folder / "dist" / "heart-disease-1.1.0.septum"
    cut = folder / "cut.septum"
    cut.write_bytes(file.read_bytes()[:-100])
    mouse.click("Apps", "link")
    mouse.click("Upload a package")
    dialog = page.get_by_role("dialog")
    with page.expect_file_chooser() as asked:
        mouse.click("Choose a file", within=dialog)
    asked.value.set_files(cut)
    dialog.get_by_role("button", name="Upload").click()
    dialog.get_by_role("alert").wait_for()  # what is wrong with it
    with page.expect_file_chooser() as asked:
        dialog.get_by_role("button", name="Choose a file").click()
    asked.value.set_files(file)
    guide.next("`dist/heart-disease-1.1.0.septum`")
    mouse.click("Upload", within=dialog)
    page.get_by_role("heading", name="heart-disease 1.1.0").wait_for()
    for part in ("What may leave a silo", "What can be set", "What it reads"):
        page.get_by_role("region", name=part).wait_for()
    page.get_by_text("Not signed").wait_for()


def make_a_preset(mouse):
    page = mouse.page
    mouse.click("New preset")
    dialog = page.get_by_role("dialog")
    mouse.write("Name", "careful", within=dialog)
    mouse.write("lr", "-1", within=dialog)
    dialog.get_by_text("At least").first.wait_for()
    mouse.write("lr", "0.0005", within=dialog)
    mouse.click("Make the preset", within=dialog)
    page.get_by_role("row", name=re.compile("careful lr=0.0005")).wait_for()


def make_a_group_and_a_project(mouse):
    page = mouse.page
    dialog = page.get_by_role("dialog")
    mouse.click("Projects", "link")
    mouse.click("New group")
    mouse.write("Name", "heart-clinics", within=dialog)
    mouse.choose("Silos", *SILOS, within=dialog)
    mouse.click("Make the group", within=dialog)
    dialog.wait_for(state="detached")
    mouse.click("New project")
    mouse.write("Name", "fed-heart-disease", within=dialog)
    mouse.choose("Group of silos", "heart-clinics", within=dialog)
    mouse.click("Make the project", within=dialog)
    page.get_by_text(f"group heart-clinics: {', '.join(SILOS)}").wait_for()


def start(mouse):
    page = mouse.page
    frame = page.locator(".mantine-Paper-root", has_text="fed-heart-disease")
    mouse.click("New run", "link", within=frame)
    page.get_by_role("heading", name="New run").wait_for()
    mouse.choose("App", "heart-disease 1.1.0")
    mouse.write("Name of the run", "by mouse alone")
    page.get_by_role("checkbox", name="switzerland").click()
    page.get_by_text("over 3 silos").wait_for()
    page.get_by_role("checkbox", name="switzerland").click()
    page.get_by_text("careful", exact=True).click()
    mouse.write("rounds", str(ROUNDS))
    mouse.click("Masked", "text")
    page.get_by_text(re.compile(rf"--project fed-heart-disease --preset careful --set rounds={ROUNDS} ")).wait_for()
    mouse.click("Start the run")
    page.get_by_role("heading", name="by mouse alone").wait_for()


def points(page):
    return int(page.locator("[data-testid^='chart-']").first.get_attribute("data-points"))


def watch(mouse, hospitals):
    """Live: curves that grow, a silo that keeps the others waiting, a pause, and the end."""
    page, guide = mouse.page, mouse.guide
    page.get_by_test_id("mode").get_by_text("live").wait_for()
    page.locator("[data-testid^='chart-']").first.wait_for()
    before = points(page)
    slow = hospitals.federation.pid("hungary")
    os.kill(slow, signal.SIGSTOP)
    try:
        page.get_by_text("Waiting for hungary", exact=True).wait_for()
        page.get_by_role("row", name=re.compile("hungary works, ")).wait_for()
    finally:
        os.kill(slow, signal.SIGCONT)
    mouse.click("Pause")
    page.get_by_text("Paused: no work is handed out").wait_for()
    mouse.click("Resume")
    guide.next("**Stop**")
    page.wait_for_function(
        "([before]) => Number(document.querySelector('[data-testid^=chart-]').dataset.points) > before + 5",
        arg=[before],
    )
    page.get_by_test_id("rounds").get_by_text(f"{ROUNDS} of {ROUNDS} rounds").wait_for(timeout=60_000)
    page.locator(f"[data-testid^='chart-'][data-points='{ROUNDS + 1}']").first.wait_for()
    assert before < ROUNDS


def look_at_the_time(mouse):
    page = mouse.page
    mouse.click("Timeline", "tab")
    page.get_by_role("button", name=re.compile("^hungary, round ")).first.click()
    page.get_by_label("The chosen span").get_by_text(re.compile(r", [\d.]+ m?s")).wait_for()
    page.get_by_role("button", name=re.compile(r"^coordinator, round \d+: combines")).first.wait_for()
    mouse.click("System", "tab")
    page.get_by_role("button", name="Everything").click()
    for chart in ("Processor, % of all cores", "Memory, MB"):
        page.get_by_role("region", name=chart).wait_for()


def save_the_best_model(mouse, folder):
    page = mouse.page
    mouse.click("Models", "tab")
    for silo in SILOS:
        page.get_by_role("row", name=re.compile(f"^{silo}.*never left the silo")).wait_for()
    best = page.get_by_role("row").filter(has=page.get_by_text("best", exact=True))
    best.get_by_text("blake3:").hover()
    shown = page.get_by_role("tooltip").inner_text()
    with page.expect_download() as begun:
        mouse.click("Download the best model", "link")
    path = folder / "model.safetensors"
    begun.value.save_as(path)
    assert begun.value.suggested_filename == f"{shown.removeprefix('blake3:')[:16]}.safetensors"
    assert shown == f"blake3:{blake3(path.read_bytes()).hexdigest()}"
    return path
