"""Installed for real on a machine without Node: what is distributed has the console, or a page says how to build it."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.wheels import ROOT

pytestmark = pytest.mark.e2e
TIMEOUT_S = 300  # of one command, on a slow line to the index
INSIDE = "septum/coordinator/console/"


def fresh() -> bool:
    """Whether the console was built from the sources as they are."""
    spec = importlib.util.spec_from_file_location("septum_web_build", ROOT / "web" / "build.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    return builder.fresh()


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> dict[str, str]:
    """The environment of a machine that has no program but Python and a shell: where its indexes are stays as it is."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "sh").symlink_to("/bin/sh")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEPTUM_", "PYTHON"))}
    return {**kept, "PATH": str(programs)}


@pytest.fixture(scope="module")
def python(tmp_path_factory, bare) -> Path:
    """The Python of a virtual environment with what builds packages, and nothing else."""
    folder = tmp_path_factory.mktemp("fresh") / "environment"
    venv.create(folder, with_pip=True, symlinks=True)
    run([folder / "bin" / "python", "-m", "pip", "install", "-q", "hatchling>=1.27"], bare)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory, bare, python) -> Path:
    """The source distribution of this repository."""
    if not fresh():
        pytest.skip("WHAT IS DISTRIBUTED IS NOT TESTED: the console was not built from these sources: make console")
    folder = tmp_path_factory.mktemp("sdist")
    run([python, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], bare, cwd=ROOT)
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory, sdist) -> Path:
    """A source tree as a clone has it: nobody has built its console."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    for path in sorted((tree / "src" / INSIDE).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return tree


def run(command, environment, cwd=None) -> str:
    """A command that has to succeed; what it said."""
    done = subprocess.run(
        [*map(str, command)],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wheel_of(what: Path, folder: Path, environment: Mapping[str, str]) -> Path:
    """The wheel that pip makes of it, with a build environment of its own."""
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, what], environment)
    (made,) = folder.glob("*.whl")
    return made


def console_in(wheel: Path) -> dict[str, bytes]:
    """The files of the console in a wheel, by their names in it."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(INSIDE)]
        return {name.removeprefix(INSIDE): archive.read(name) for name in names}


@contextmanager
def coordinator(python: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address at which a coordinator of this environment serves the console."""
    where = ["--data-dir", folder, "--listen", "127.0.0.1:0", "--console-port", "0"]
    command = [python.with_name("septum"), "coordinator", "start", "--json", *where]
    with subprocess.Popen([*map(str, command)], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            events = (json.loads(line) for line in process.stdout)
            yield next(event["console_url"] for event in events if event.get("event") == "ready")
        finally:
            process.terminate()


def got(url: str, path: str) -> tuple[int, str]:
    """What a browser is answered."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=15)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_of_a_source_distribution_pip_makes_a_wheel_with_the_console_and_takes_no_node(tmp_path, bare, sdist):
    made = console_in(wheel_of(sdist, tmp_path, bare))
    folder = ROOT / "src" / INSIDE
    built = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(made) == {name for name in built if not name.startswith(".")}
    assert made["index.html"] == built["index.html"].read_bytes()


def test_of_a_clone_pip_brings_node_for_the_build_and_the_console_is_built(tmp_path, bare, source):
    made = console_in(wheel_of(source, tmp_path, bare))
    assert {"assets/program", "assets/Run", "index.html"} <= {re.sub(r"-[\w-]{8}\.js$", "", name) for name in made}


def test_an_installed_coordinator_serves_the_console_or_a_page_that_says_how_to_build_it(
    tmp_path, bare, python, sdist, source
):
    """From the index with all that a coordinator needs, then the same with the console."""
    pip = [python, "-m", "pip", "install", "-q"]
    without = wheel_of(source, tmp_path / "without", {**bare, "SEPTUM_SKIP_WEB": "1"})
    assert console_in(without) == {}
    run([*pip, f"{without}[coordinator]"], bare)
    with coordinator(python, tmp_path / "one", bare) as url:
        status, page = got(url, "/runs")
    assert status == 404
    assert "make console" in page

    run([*pip, "--no-deps", "--force-reinstall", wheel_of(sdist, tmp_path / "with", bare)], bare)
    with coordinator(python, tmp_path / "two", bare) as url:
        status, page = got(url, "/runs")
        assets = set(re.findall(r"/assets/[\w.-]+", page))
        answers = {asset: got(url, asset)[0] for asset in assets}
    assert status == 200
    assert len(assets) > 20
    assert set(answers.values()) == {200}
