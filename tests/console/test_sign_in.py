"""How somebody comes in, to where they wanted: by the identity provider, with a second factor, by a recovery code."""

import base64
import json
import re
import time

import pytest
from tests.console.pages import Console
from tests.coordinator.oidc_provider import OidcProvider
from tests.coordinator.running import Running

from septum.client import Client
from septum.coordinator.config import load_config
from septum.coordinator.totp import STEP_S, code_at
from septum.protocol.people_views import NewPerson, SignIn

pytestmark = pytest.mark.console
PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    found = OidcProvider(tmp_path_factory.mktemp("provider"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("coordinator")
    (folder / "coordinator.toml").write_text(provider.settings(folder))
    running = Running(folder, oidc=load_config(folder).oidc)
    yield running
    running.stop()


@pytest.fixture
def stranger(browser, coordinator, provider):
    """A window in which nobody has signed in."""
    made = Console(browser, coordinator.url, also=provider.issuer, ignore_https_errors=True)
    yield made
    made.close()


def by_provider(window, provider):
    window.press(re.compile("Sign in with localhost"))
    window.page.wait_for_url(re.compile(re.escape(provider.issuer)))
    window.page.get_by_role("link", name="Agree").click()


def test_whom_the_provider_knows_comes_in_to_where_one_wanted(stranger, provider):
    provider.person = {"sub": "ada", "preferred_username": "ada", "name": "Ada Lovelace", "groups": ["researchers"]}
    stranger.page.goto(f"{stranger.url}/runs?status=failed")
    by_provider(stranger, provider)
    stranger.heading("Runs")
    assert stranger.page.url == f"{stranger.url}/runs?status=failed"
    cookies = {one["name"]: one for one in stranger.context.cookies(stranger.url)}
    assert set(cookies) == {"__Host-septum"}
    stranger.press("septum, home", "link")
    stranger.heading("Hello, Ada")


def test_whom_nobody_invited_is_told_so_on_a_page(stranger, provider):
    provider.person = {"sub": "eve", "preferred_username": "eve", "groups": []}
    stranger.page.goto(f"{stranger.url}/silos")
    by_provider(stranger, provider)
    stranger.see("ask for an invitation")
    stranger.page.get_by_label("Password", exact=True).wait_for()


def test_a_second_factor_is_set_up_asked_for_and_replaced_by_a_recovery_code_once(stranger, coordinator):
    once = json.loads((coordinator.config.data_dir / "admin-password.json").read_text())
    with Client(coordinator.access) as client:
        client.people.sign_in(SignIn(once["name"], once["password"], new_password=PASSWORD))
        invited = client.people.invite(NewPerson("lise", "Lise Meitner"))
    stranger.page.goto(f"{stranger.url}/account")
    signs_in(stranger, invited.password)
    stranger.fill("New password", PASSWORD)
    stranger.fill("Once more", PASSWORD)
    stranger.press("Keep it and sign in")
    stranger.heading("Lise Meitner")  # where she wanted
    stranger.press("Set it up")
    secret = base64.b32decode(stranger.page.locator("pre", has_text=re.compile("^[A-Z2-7=]{20,}$")).inner_text())
    stranger.fill("Code", code_at(secret, time.time()))
    stranger.fill("Your password", PASSWORD)
    stranger.press("Turn it on")
    stranger.see("Recovery codes")
    recovery = stranger.page.locator("pre").first.inner_text().split()[0]
    stranger.press("I have kept them")
    stranger.page.get_by_role("button", name="Turn it off").wait_for()

    signs_out(stranger)
    signs_in(stranger, PASSWORD)
    stranger.fill("Code", recovery)
    stranger.press("Sign in")
    stranger.heading("Hello, Lise")
    signs_out(stranger)
    signs_in(stranger, PASSWORD)
    stranger.fill("Code", recovery)
    stranger.press("Sign in")
    stranger.page.get_by_role("alert").wait_for()  # each works once
    stranger.fill("Code", code_at(secret, time.time() + STEP_S))  # the one before was used to set it up
    stranger.press("Sign in")
    stranger.heading("Hello, Lise")


def signs_in(window, password):
    window.fill("Name", "lise")
    window.fill("Password", password)
    window.press("Sign in")


def signs_out(window):
    window.page.get_by_role("button", name="Your menu").click()
    window.press("Sign out", "menuitem")
    window.page.get_by_label("Password", exact=True).wait_for()
