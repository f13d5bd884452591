"""How are the patients of four hospitals? Asked in a form, by keyboard; a refusal says why."""

import csv
import re

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.console.runs import APPROVED

from septum.cli.shipped import HEART_DISEASE, example
from septum.cli.silo_files import silo_files
from septum.client import Client
from septum.sdk.package import load_app
from septum.sdk.table import read_csv

pytestmark = pytest.mark.console
FOUR = ["cleveland", "hungary", "long-beach-va", "switzerland"]


@pytest.fixture(scope="module")
def people():
    """All patients, column by column."""
    folder = example(HEART_DISEASE)
    manifest = load_app(folder).manifest
    tables = [
        read_csv(path, tuple(manifest.columns), manifest.missing) for path in silo_files(folder / "data").values()
    ]
    return {name: np.concatenate([table[name] for table in tables]) for name in manifest.columns}


def press(locator, key):
    locator.focus()
    locator.page.keyboard.press(key)


def choose(console, name, option):
    """In a field that opens a list."""
    press(console.page.get_by_role("combobox", name=name, exact=True), "Enter")
    console.page.get_by_role("option", name=option, exact=True).first.wait_for()
    at = console.page.locator("[data-combobox-selected]")
    for _ in range(20):
        before = at.all_inner_texts()
        if option in before:
            break
        console.page.keyboard.press("ArrowDown")
        for _ in range(100):  # a page that has more to do says it later
            if at.all_inner_texts() != before:
                break
            console.page.wait_for_timeout(20)
    expect(at).to_have_text(option)
    console.page.keyboard.press("Enter")
    expect(at).to_have_count(0)


def test_a_question_is_asked_by_keyboard_and_answered_and_saved(console, hospitals, app, people, tmp_path):
    page = console.page
    console.go("/statistics")
    press(page.get_by_role("link", name="Ask a question").first, "Enter")
    console.heading("Ask for statistics")
    console.go(f"/statistics/new?app={app}")  # others may have come in, which no silo lets in
    console.heading("Ask for statistics")
    for name in ("age", "sex", "num"):
        press(page.get_by_role("checkbox", name=re.compile(rf"^{name}\b")), "Space")
    press(page.get_by_role("checkbox", name="Quartiles"), "Space")
    choose(console, "Groups of num", "up to limits")
    page.get_by_label("Where groups of num end").focus()
    page.keyboard.type("0")
    choose(console, "Rows", "sex")
    choose(console, "Columns", "num")
    press(page.get_by_role("button", name="Add the table"), "Enter")
    console.see(
        f"septum stats run heart-disease=={APPROVED} --columns age,sex --quantiles age --cut num:0 --table sex,num"
    )
    press(page.get_by_role("button", name="Ask the silos"), "Enter")
    console.heading("statistics of heart-disease")
    console.see(f"920 rows of {', '.join(FOUR)} together")
    age, ill = people["age"], people["num"] > 0
    row = page.get_by_role("table", name="Columns").get_by_role("row", name=re.compile("^age"))
    row.wait_for()
    assert row.get_by_role("cell").all_inner_texts()[:4] == ["years", "920", "0", f"{age.mean():.6g}"]
    cells = page.get_by_role("table", name="sex by num").get_by_role("row").nth(1).get_by_role("cell").all_inner_texts()
    assert cells[:2] == [str(int(((people["sex"] == 0) & (ill == bad)).sum())) for bad in (False, True)]
    console.see("The sums are exact and cost no epsilon.")
    with page.expect_download() as begun:
        press(page.get_by_role("button", name="Download as CSV"), "Enter")
    begun.value.save_as(tmp_path / "answer.csv")
    with (tmp_path / "answer.csv").open() as file:
        found = {(line["what"], line["column"], line["group"]): line["value"] for line in csv.DictReader(file)}
    assert float(found["quantile", "age", "0.5"]) == np.quantile(age, 0.5, method="inverted_cdf")
    assert found["group", "sex", "1 (male)"] == str(int((people["sex"] == 1).sum()))
    asked = page.url.rpartition("/")[2]
    with Client(hospitals.admin) as client:
        assert client.run(asked).asks
    console.go("/statistics")
    press(page.locator(f"a[href='/statistics/{asked}']"), "Enter")
    console.see("920 rows of")


def test_with_noise_the_answer_says_what_it_cost_and_three_of_four_silos_are_refused_with_the_reason(console, app):
    page = console.page
    console.go(f"/statistics/new?app={app}")
    press(page.get_by_role("checkbox", name=re.compile(r"^sex\b")), "Space")
    page.get_by_role("radio", name="With noise").focus()
    page.keyboard.press("Space")
    page.get_by_label("Epsilon", exact=True).fill("0.5")
    console.see(f"septum stats run heart-disease=={APPROVED} --columns sex --epsilon 0.5")
    console.see("in 3 equal shares")
    press(page.get_by_role("button", name="Ask the silos"), "Enter")
    privacy = page.get_by_role("region", name="Privacy")
    privacy.get_by_text("A count is moved by, about").wait_for()
    assert privacy.get_by_role("definition").all_inner_texts()[:3] == ["0.5", "0.00001", ", ".join(FOUR)]

    console.go(f"/statistics/new?app={app}")
    press(page.get_by_role("checkbox", name=re.compile(r"^chol\b")), "Space")
    press(page.get_by_role("checkbox", name="switzerland"), "Space")
    console.see("--silos cleveland,hungary,long-beach-va")
    press(page.get_by_role("button", name="Ask the silos"), "Enter")
    console.see("There is no answer")
    row = page.get_by_role("table", name="Silos that were asked").get_by_role("row", name=re.compile("^hungary"))
    row.get_by_text("signed a sum over other silos for the same queries before").wait_for()
