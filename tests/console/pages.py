"""What a person does with the console: windows, clicks and keys. What the page may never do is checked on the way."""

import re
from pathlib import Path

from playwright.sync_api import Error, TimeoutError, expect

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)
WINDOWS = []  # that are open, for a failure's report


class Console:
    """A window. Requests to another host, and what the policy had to forbid, are kept in `wrong`."""

    def __init__(self, browser, url, also="", **context):
        """`also`: another host that it may ask."""
        self.url = url
        self.hosts = tuple(filter(None, (url, also, "data:", "blob:")))
        self.wrong = []
        place = {"viewport": WIDE, "locale": "en-GB", "timezone_id": "Europe/Zurich", "reduced_motion": "reduce"}
        self.context = browser.new_context(**place, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._asked)
        WINDOWS.append(self)

    def _said(self, message):
        text = message.text
        if "Content Security Policy" in text or (message.type == "error" and "Failed to load resource" not in text):
            self.wrong.append(f"console: {text}")

    def _asked(self, request):
        if not request.url.startswith(self.hosts):
            self.wrong.append(f"asked another host: {request.url}")

    def enter(self, link):
        self.page.goto(link)
        try:
            self.heading("Hello")
        except TimeoutError as error:
            raise AssertionError(
                f"the link led to {self.page.url}: {self.page.inner_text('body')} {self.wrong}"
            ) from error

    def go(self, path):
        self.page.goto(self.url + path)
        self.page.locator("main h1").wait_for()

    def heading(self, name):
        self.page.get_by_role("heading", level=1, name=re.compile(name)).wait_for()

    def shown(self):
        """What one reads in it, for a failure's report."""
        try:
            return "\n".join([self.page.inner_text("body", timeout=2_000), *self.wrong])
        except Error as error:
            return f"not to be read: {error}"

    def settled(self):
        """Until nothing on the page is waited for any more. Its streams stay open: the network is never idle."""
        self.page.wait_for_function("() => !document.querySelector('[aria-busy=true], [aria-label=Loading]')")

    def press(self, name, role="button"):
        self.page.get_by_role(role, name=name, exact=True).first.click()

    def fill(self, label, value):
        self.page.get_by_label(label, exact=True).fill(value)

    def see(self, text):
        self.page.get_by_text(text).first.wait_for()

    def violations(self):
        """What axe-core finds that is serious or worse."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("() => axe.run({resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def close(self):
        """Leave, and sign out: one person has a limited number of sessions, and all of these windows are one's."""
        for page in self.context.pages:
            page.close()
        session = self.context.request.get(f"{self.url}/api/v1/session")
        if session.ok:
            headers = {"x-septum-csrf": session.json()["csrf"]}
            self.context.request.delete(f"{self.url}/api/v1/session", headers=headers)
        self.context.close()
        WINDOWS.remove(self)
        assert self.wrong == []
