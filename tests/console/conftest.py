"""A real Chromium before a real coordinator with four real hospitals. Where one is missing, that is said out loud."""

import json
import os
import secrets
import shutil
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.console.pages import WINDOWS, Console
from tests.console.runs import approved

from septum.cli.demo_console import built
from septum.cli.federation import Federation
from septum.cli.shipped import HEART_DISEASE, example
from septum.cli.silo_files import silo_files
from septum.client import Access, Client
from septum.coordinator.web import FOLDER, INDEX
from septum.protocol.people_views import SignIn
from septum.sdk.package import load_app

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    return os.environ.get("SEPTUM_CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), "")


def lacking() -> str:
    """What these tests need and do not have; empty if they can run."""
    if not chromium():
        return "there is no Chromium: apt-get install chromium, or SEPTUM_CHROMIUM=/path/to/it"
    if not (FOLDER / INDEX).is_file():
        return "the console was not built: make console"
    return ""


def pytest_collection_modifyitems(items):
    ours = [item for item in items if "tests/console" in item.path.as_posix()]
    why = lacking() if ours else ""
    for item in ours:
        if why:
            item.add_marker(pytest.mark.skip(reason=f"THE CONSOLE IS NOT TESTED: {why}"))
    if why:
        sys.stderr.write(f"\n*** THE CONSOLE IS NOT TESTED: {why} ***\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Beside a failure, what stood in the windows at that moment."""
    report = yield
    if report.when == "call" and report.failed:
        report.sections += [(f"window at {window.page.url}", window.shown()) for window in WINDOWS]
    return report


@dataclass
class Hospitals:
    """The federation, and how to come into it."""

    federation: Federation
    operator: Access
    admin: Access
    password: str

    def link(self) -> str:
        with Client(self.admin) as client:
            return f"{self.federation.console_url}/enter#code={client.people.link().code}"


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory):
    base = tmp_path_factory.mktemp("console")
    base.chmod(0o711)
    folder = example(HEART_DISEASE)
    loaded = load_app(folder)
    package = built(folder, loaded, base / "packages")
    federation = Federation(
        base,
        folder,
        loaded.app.name,
        silo_files(folder / "data"),
        policy={
            "require_masking": False,
            "allow_silo_models": True,
            "queries": [loaded.app.name],
            "system_every_s": 1,
        },
        package=package.path,
        console=True,
    )
    with federation:
        operator = federation.start()
        once = (federation.operator_dir / "admin-password.json").read_text()
        password = secrets.token_urlsafe(12)
        with Client(Access(operator.url, "", operator.ca_file)) as client:
            first = json.loads(once)
            session = client.people.sign_in(SignIn(first["name"], first["password"], new_password=password))
        admin = Access(operator.url, session.token, operator.ca_file)
        yield Hospitals(federation, operator, admin, password)


@pytest.fixture(scope="session")
def browser():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            made = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            yield made
            made.close()


@contextmanager
def signed_in(browser, hospitals):
    made = Console(browser, hospitals.federation.console_url)
    made.enter(hospitals.link())
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def console(browser, hospitals):
    """A console in a window of its own, signed in by a link."""
    with signed_in(browser, hospitals) as made:
        yield made


@pytest.fixture(scope="module")
def window(browser, hospitals):
    """The same, for all tests of a file."""
    with signed_in(browser, hospitals) as made:
        yield made


@pytest.fixture(scope="module")
def app(hospitals):
    """The digest of the version that the hospitals let in."""
    with Client(hospitals.admin) as client:
        return approved(client).digest


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots go: SEPTUM_SCREENSHOTS, else nowhere that stays."""
    where = Path(os.environ.get("SEPTUM_SCREENSHOTS", "")) if os.environ.get("SEPTUM_SCREENSHOTS") else None
    if where:
        where.mkdir(parents=True, exist_ok=True)
    return where
