"""What is in a sandbox, when is there one, and what may a worker be given to read?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.silo.small_app import payload_of, spec_for, train_task

from septum.adapters.launch import sandbox as sandboxes
from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.launch.interpreter import interpreter
from septum.adapters.launch.sandbox import View, command, lacking, level_for
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import ConfigError, WorkerError
from septum.ports.launcher import Level, Worker, WorkerLimits, WorkerSpec

pytestmark = pytest.mark.processes


def seen(view: View, script: str) -> str:
    """What a shell script prints in a sandbox."""
    line = command(["sh", "-c", script], view)
    return subprocess.run(line, capture_output=True, text=True, check=True, cwd="/").stdout


def view(*readable: Path, hidden: tuple[Path, ...] = ()) -> View:
    return View(readable, hidden, 1_000_000)


def test_a_machine_that_runs_a_sandbox_starts_workers_in_one(tmp_path: Path, sandbox: None) -> None:
    worker = SubprocessLauncher().start(spec_for(tmp_path), WorkerLimits())
    worker.close()
    assert worker.level is level_for(None) is Level.SANDBOX


def test_a_machine_without_bubblewrap_says_so_and_offers_what_it_has(monkeypatch, tmp_path: Path) -> None:
    without = lacking.__wrapped__
    monkeypatch.setenv("PATH", str(tmp_path))
    assert without() == "there is no program bwrap"
    monkeypatch.setattr(sandboxes, "lacking", without)
    assert sandboxes.detect.__wrapped__() is Level.PROCESS
    with pytest.raises(ConfigError, match="level 2 is not available here: there is no program bwrap") as refused:
        level_for(Level.SANDBOX)
    assert "apt install bubblewrap" in refused.value.hint
    assert level_for(Level.PROCESS) is Level.PROCESS


@pytest.mark.parametrize("says", ["bwrap: No permissions to create new namespace", "bwrap: Unknown option --size"])
def test_a_bubblewrap_that_may_not_or_cannot_is_found_out_by_trying(monkeypatch, tmp_path: Path, says: str) -> None:
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho 'usage' >&2\necho '{says}' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lacking.__wrapped__() == says


def test_only_what_is_named_is_there(tmp_path: Path, sandbox: None) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "file").write_text("here")
    (tmp_path / "other").mkdir()
    assert seen(view(tmp_path / "named"), f"ls {tmp_path}; cat {tmp_path}/named/file") == "named\nhere"
    assert seen(view(), "ls /") == "bin\ndev\netc\nlib\nlib64\nproc\nsbin\ntmp\nusr\n"
    assert seen(view(), "ls /dev") == "fd\nfull\nnull\nrandom\nshm\nurandom\nzero\n"
    assert seen(view(), "hostname; id -u; ls /home /root /var /run /sys /work 2>/dev/null || true") == "septum\n65534\n"


def test_what_is_hidden_is_empty_but_for_what_is_readable_in_it(tmp_path: Path, sandbox: None) -> None:
    silo = tmp_path / "project" / "silo"
    (silo / "app").mkdir(parents=True)
    for path in (silo / "silo.key", silo / "app" / "app.py", tmp_path / "project" / "package.py"):
        path.write_text("text")
    around = view(tmp_path / "project", silo / "app", hidden=(silo,))
    assert seen(around, f"cd {tmp_path}/project; ls . silo silo/app; touch silo/new 2>/dev/null || echo no") == (
        ".:\npackage.py\nsilo\n\nsilo:\napp\n\nsilo/app:\napp.py\nno\n"
    )


def test_a_folder_that_would_show_the_silos_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="readable for an app and hidden from it") as refused:
        command(["true"], view(tmp_path / "link", hidden=(tmp_path,)))
    assert "folders of their own" in refused.value.hint


def test_a_link_shows_what_it_leads_to_and_hides_what_is_hidden_there(tmp_path: Path, sandbox: None) -> None:
    (tmp_path / "real" / "silo").mkdir(parents=True)
    (tmp_path / "real" / "silo" / "silo.key").write_text("secret")
    (tmp_path / "real" / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    linked = view(tmp_path / "link", tmp_path / "link" / "file", hidden=(tmp_path / "real" / "silo",))
    assert seen(linked, f"cat {tmp_path}/link/file; ls {tmp_path}/link/silo") == "text"


def test_what_is_not_there_is_left_out(tmp_path: Path, sandbox: None) -> None:
    assert seen(view(tmp_path / "gone"), f"ls {tmp_path} 2>&1 || true").endswith("No such file or directory\n")


@pytest.fixture(params=[Level.PROCESS, Level.SANDBOX], ids=lambda level: level.name.lower())
def launcher(request: pytest.FixtureRequest) -> SubprocessLauncher:
    if request.param is Level.SANDBOX:
        request.getfixturevalue("sandbox")
    return SubprocessLauncher(request.param)


def test_packages_of_the_apps_own_come_right_behind_pythons_library(
    tmp_path: Path, launcher: SubprocessLauncher
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "blake3.py").write_text("whose = 'the app'")
    (packages / "colours.py").write_text("red = 'red'")
    (packages / "json.py").write_text("raise ImportError('not of Python')")
    train = """
        import colours, json
        behind = sys.path.index(os.path.dirname(np.__path__[0]))
        raise ValueError(colours.red, [path for path in sys.path[:behind] if not path.startswith(sys.base_prefix)])
    """
    spec = spec_for(tmp_path, train)
    assert _told(launcher, replace(spec, paths=(packages,))).endswith(f"('red', ['{packages}'])")


def test_an_interpreter_of_the_apps_own_runs_it(tmp_path: Path, launcher: SubprocessLauncher) -> None:
    own = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", own], check=True)
    site = own / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    ours = [path for path in sys.path if "site-packages" in path or path.endswith("/src")]
    (site / "ours.pth").write_text("\n".join(ours))
    spec = spec_for(tmp_path, "raise ValueError(sys.prefix)")
    assert _told(launcher, replace(spec, python=own / "bin" / "python")).endswith(str(own))


def test_an_interpreter_without_septum_is_refused(tmp_path: Path, sandbox: None, monkeypatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    spec = replace(spec_for(tmp_path), python=tmp_path / "env" / "bin" / "python")
    with pytest.raises(ConfigError, match="No module named 'septum'") as refused:
        SubprocessLauncher(Level.SANDBOX).start(spec, WorkerLimits())
    assert "-m pip install septum" in refused.value.hint
    with pytest.raises(ConfigError, match="does not run"):
        interpreter(tmp_path / "gone")


def test_what_is_named_as_readable_can_be_read(tmp_path: Path, sandbox: None) -> None:
    (tmp_path / "codes").write_text("I25")
    spec = spec_for(tmp_path, f"raise ValueError(open({str(tmp_path / 'codes')!r}).read())")
    assert "FileNotFoundError" in _told(SubprocessLauncher(Level.SANDBOX), spec)
    assert _told(SubprocessLauncher(Level.SANDBOX), replace(spec, readable=(tmp_path / "codes",))).endswith("I25")


def test_a_model_that_comes_after_the_worker_started_can_be_read(tmp_path: Path, sandbox: None) -> None:
    for models in (None, tmp_path / "elsewhere"):
        folder = models or tmp_path / "model"
        folder.mkdir()
        spec = replace(spec_for(tmp_path), model_dir=models)
        worker = SubprocessLauncher(Level.SANDBOX).start(spec, WorkerLimits())
        task = train_task(spec)
        task.model.rename(folder / "digest")
        assert worker.perform(replace(task, model=folder / "digest"), payload_of(spec)).weight == 6
        worker.close()


def test_each_kind_of_worker_says_how_far_it_is_kept_apart(tmp_path: Path) -> None:
    assert InlineLauncher().start(spec_for(tmp_path), WorkerLimits()).level is Level.NONE
    worker: Worker = SubprocessLauncher(Level.PROCESS).start(spec_for(tmp_path), WorkerLimits())
    assert worker.level is Level.PROCESS
    worker.close()


def _told(launcher: SubprocessLauncher, spec: WorkerSpec) -> str:
    worker = launcher.start(spec, WorkerLimits())
    with pytest.raises(WorkerError) as told:
        worker.perform(train_task(spec), payload_of(spec))
    worker.close()
    return told.value.message
