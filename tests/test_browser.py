"""Where there is no browser, `make test` installs one if it may, and says so out loud if it may not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes
ROOT = Path(__file__).parents[1]


@pytest.fixture
def path(tmp_path):
    """A PATH on which there is a shell and nothing else; programs are put beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to(shutil.which("sh"))
    return folder


def put(folder, name, script):
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def run(path, *command, **more):
    environment = {"PATH": str(path), "HOME": str(path), **more}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_root_on_debian_gets_a_chromium_once(path, tmp_path):
    put(path, "id", "echo 0")
    put(path, "apt-get", f'echo "$@" >> {tmp_path}/asked')
    assert run(path, ".ci/browser").returncode == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith("update")
    assert " chromium " in asked[1]
    put(path, "chromium", "exit 0")
    assert run(path, ".ci/browser").returncode == 0
    assert (tmp_path / "asked").read_text().splitlines() == asked


@pytest.mark.parametrize("why", ["is not root", "has no apt-get", "has no network"])
def test_who_cannot_install_one_is_told_out_loud_and_goes_on(path, why):
    put(path, "id", "echo 1000" if why == "is not root" else "echo 0")
    if why != "has no apt-get":
        put(path, "apt-get", "exit 100")
    said = run(path, ".ci/browser")
    assert said.returncode == 0
    assert "THE TESTS OF THE CONSOLE ARE SKIPPED" in said.stderr


def test_a_chromium_elsewhere_is_named_by_the_environment(path, tmp_path):
    put(path, "id", "echo 0")
    put(path, "apt-get", "exit 100")
    put(tmp_path, "my-chromium", "exit 0")
    assert run(path, ".ci/browser", SEPTUM_CHROMIUM=str(tmp_path / "my-chromium")).stderr == ""


def test_tests_of_the_console_that_do_not_run_say_so(path):
    command = [sys.executable, "-m", "pytest", "-q", "-m", "console", "tests/console/test_timeline.py"]
    said = run(path, *command, "-p", "no:cacheprovider", TMPDIR=os.environ.get("TMPDIR", "/tmp"))
    assert said.returncode == 0, said.stdout
    assert "1 skipped" in said.stdout
    assert "THE CONSOLE IS NOT TESTED: there is no Chromium: apt-get install chromium" in said.stderr
