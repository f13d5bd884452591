"""What does a steward read before she says yes? All of a package: in the order of what matters to her."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from septum.cli.output import Table, plain
from septum.sdk.leaves import LEAVES
from septum.sdk.package import Manifest
from septum.silo.packages import Shelved

_NEW_LINE = re.compile(r"\r\n|\r|\n")  # as Python takes them: to it, no other character ends a comment


def pages(shelved: Shelved, before: Shelved | None, directory: Path) -> tuple[str | Table, ...]:
    """The package on screen. `before`: the newest approved version, of which the differences are shown as well."""
    package = shelved.package
    manifest = package.manifest
    head = [
        f"{package.name} {package.version}",
        f"digest   {package.digest}",
        f"signers  {', '.join(shelved.signers) or 'nobody signed it'}",
        f"needs    {_needs(shelved)}",
        *_leaving(manifest),
        "",
        *_stays(manifest.private),
        "WHAT IT READS",
    ]
    columns = tuple(
        (name, column.role.value, column.words(), ", ".join(str(one) for one in column.missing), column.about)
        for name, column in manifest.columns.items()
    )
    table = Table(("COLUMN", "ROLE", "VALUES", "MISSING", "ABOUT"), columns)
    code = [line for name in package.files for line in _listing(shelved, name)]
    changes = [] if before is None else _changes(before, shelved)
    foot = ["", f"next: septum silo app approve {package.digest} --dir {directory}"]
    return "\n".join(head), table, "\n".join(["", *code, *changes, *foot])


def _leaving(manifest: Manifest) -> list[str]:
    """What leaves, by how."""
    opened = [name for name in manifest.leaves if name not in manifest.masked]
    only = "WHAT LEAVES THIS SILO ONLY IN SUMS OVER SILOS, UNDER MASKS: a run without masks is refused"
    also = "WHAT LEAVES THIS SILO: in sums over silos; as it is only in a run without masks, if your policy lets one in"
    if manifest.masked:
        also = "WHAT ELSE LEAVES THIS SILO: in the same sums"
    found = []
    for title, names in ((only, manifest.masked), (also, opened)):
        if names:
            found += ["", title, *(f"  {name:12} {LEAVES[name]}" for name in names)]
    return found


def _stays(private: tuple[str, ...]) -> list[str]:
    if not private:
        return []
    title = "WHAT NEVER LEAVES THIS SILO: parameters of the model with these names; the agent checks all that it sends"
    return [title, *(f"  {pattern}" for pattern in private), ""]


def _needs(shelved: Shelved) -> str:
    package = shelved.package
    wheels = [f"{wheel.name} {wheel.version}" for wheel in package.wheels]
    return ", ".join([*wheels, *(f"{one} (of this silo)" for one in package.preinstalled)]) or "septum and numpy alone"


def _listing(shelved: Shelved, name: str) -> list[str]:
    lines = _lines(shelved, name)
    return [f"--- {name}", *(f"{number:5}  {line}" for number, line in enumerate(lines, 1)), ""]


def _lines(shelved: Shelved, name: str) -> list[str]:
    """A file as text; control characters, which could hide a line on a terminal, are shown as what they are."""
    data = shelved.package.file(name)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return [f"({len(data)} bytes that are no text)"]
    lines = _NEW_LINE.split(text)
    return [plain(line) for line in (lines if lines[-1] else lines[:-1])]


def _changes(before: Shelved, shelved: Shelved) -> list[str]:
    """What is different from the approved version."""
    version = before.package.version
    found = [f"=== changed since {version}, which is approved"]
    for name in sorted({*before.package.files, *shelved.package.files}):
        old = _lines(before, name) if name in before.package.files else []
        new = _lines(shelved, name) if name in shelved.package.files else []
        found += difflib.unified_diff(old, new, f"{version}/{name}", f"{shelved.package.version}/{name}", lineterm="")
    return found if len(found) > 1 else [f"=== nothing is changed since {version}, which is approved"]
