"""What docs/how-to/use-the-console.md says one clicks and types, in its order: the test does that and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "use-the-console.md"


class Guide:
    """A section of the page, read from top to bottom."""

    def __init__(self, title):
        found = re.search(rf"^## {title}\n(.*?)^## ", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        self.text = re.sub(r"\n +", "\n", found.group(1))
        self.at = 0

    def next(self, words):
        """Go on to behind these words; they must be there."""
        found = re.search(re.escape(words).replace(r"\ ", r"\s+"), self.text[self.at :])
        assert found, f"{PAGE.name} does not say {words!r} after {self.text[max(0, self.at - 90) : self.at]!r}"
        self.at += found.end()

    def shell(self):
        """The commands of the next block, as a script."""
        found = re.compile(r"```console\n(.*?)```", re.DOTALL).search(self.text, self.at)
        self.at = found.end()
        return "\n".join(line[2:] for line in found.group(1).splitlines())

    def clicks_left(self):
        """What it says one clicks, and was not clicked."""
        return re.findall(r"\*\*(.+?)\*\*", self.text[self.at :])


class Mouse:
    """A person at a page who reads a guide: clicks at what is under the mouse, and types into what has the focus."""

    def __init__(self, page, guide):
        self.page = page
        self.guide = guide

    def click(self, name, role="button", within=None):
        """What the guide has in bold next; `within`: the part of the page where it is looked for."""
        self.guide.next(f"**{name}**")
        place = within or self.page
        (place.get_by_text(name, exact=True) if role == "text" else place.get_by_role(role, name=name)).first.click()

    def write(self, label, text, within=None):
        """Into a field, in place of what is in it."""
        (within or self.page).get_by_label(label, exact=True).click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose(self, field, *options, within=None):
        """Of a list that opens by a click on its field."""
        (within or self.page).get_by_role("combobox", name=field).click()
        for option in options:
            self.page.get_by_role("option", name=option, exact=True).click()
        if len(options) > 1:
            self.page.keyboard.press("Tab")  # the list of one that takes several stays open


def typed(script, folder):
    """The commands as somebody types them in this folder, with this septum."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
