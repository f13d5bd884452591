"""An app is tried in a process of its own, kept apart as a silo's would be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from septum.adapters.launch.sandbox import detect
from septum.cli.app_template import make_app
from septum.errors import AppError, WorkerError
from septum.ports.launcher import Level
from septum.simulate.rehearsal import _rehearsed, rehearse

pytestmark = pytest.mark.processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_app(tmp_path / "mine", "mine")
    return tmp_path / "mine"


def first_line(folder: Path, line: str) -> Path:
    path = folder / "app.py"
    path.write_text(path.read_text().replace("import numpy as np", f"import numpy as np\n{line}"))
    return folder


@pytest.mark.parametrize("level", [Level.PROCESS, Level.SANDBOX])
def test_an_app_does_a_round(folder: Path, level: Level) -> None:
    if level > detect():
        pytest.skip("no sandbox here")
    found = rehearse(folder, level=level)
    assert found.round is not None
    assert (found.name, found.level, found.round.numbers) == ("mine", level, 4)
    assert found.round.train_rows + found.round.test_rows == 120


def test_an_app_can_be_imported_without_a_round(folder: Path) -> None:
    path = folder / "app.py"
    path.write_text(path.read_text().replace("    steps =", "    raise RuntimeError('trained')\n    steps ="))
    found = rehearse(folder, rows=0)
    assert (found.name, found.round, len(found.fields)) == ("mine", None, 5)
    with pytest.raises(WorkerError, match="trained"):
        rehearse(folder)


def test_an_app_that_hangs_is_ended(folder: Path) -> None:
    with pytest.raises(WorkerError, match="took longer than 2 s"):
        rehearse(first_line(folder, "import time; time.sleep(3600)"), limit_s=2)


@pytest.mark.skipif(detect() < Level.SANDBOX, reason="no sandbox here")
def test_an_app_in_a_sandbox_sees_neither_the_rows_beside_it_nor_the_home_of_its_author(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    found = rehearse(
        first_line(
            folder,
            "import os; print(os.path.exists('/tmp') and "
            f"[os.path.exists({str(tmp_path / 'secret')!r}), os.listdir({str(folder / 'data')!r})])",
        )
    )
    assert "[False, []]" in found.printed


def test_the_environment_of_the_caller_is_not_the_apps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPTUM_TOKEN", "secret-token")
    found = rehearse(first_line(folder, "import os; print('SEPTUM_TOKEN' in os.environ)"), level=Level.PROCESS)
    assert found.printed.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"error": 3}', b'{"name": "x", "schema": {}}', b"[" * 100_000, b'{"name": NaN}']
)
def test_nonsense_from_the_process_is_no_crash(data: bytes) -> None:
    with pytest.raises((AppError, WorkerError)):
        _rehearsed(data, Level.PROCESS, "")


def test_no_process_and_no_descriptor_is_left(folder: Path) -> None:
    rehearse(folder)  # what is cached and imported once
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(WorkerError):
        rehearse(first_line(folder, "import os; os._exit(3)"))
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.torch
def test_the_example_trains_with_torch_in_the_sandbox() -> None:
    """Its libraries, threads and temporary files have to do with what the sandbox leaves them."""
    pytest.importorskip("torch")
    if detect() is not Level.SANDBOX:
        pytest.skip("no sandbox here")
    example = Path(__file__).parents[2] / "examples" / "heart_disease"
    found = rehearse(example, preset="torch", level=Level.SANDBOX)
    assert found.round is not None
    assert (found.level, found.round.numbers, found.notes) == (Level.SANDBOX, 14, ())
