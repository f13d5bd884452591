"""An app's own dependencies: installed from its wheels alone, once, whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sdk.packages import build, make_folder, make_locked, make_wheel, pin

from septum.errors import AppError, ConfigError, SeptumError, TooLargeError
from septum.sdk import wheel_content
from septum.sdk.package_file import Package
from septum.silo.environment import Environments, State, check_preinstalled

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What pip is told from outside must not matter: an index that is nowhere, and wheels of somebody else."""
    evil = tmp_path / "evil"
    evil.mkdir()
    make_wheel(evil, "tiny_one", "1.0", "ANSWER = 666\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", str(evil))
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")


def locked(folder: Path) -> Path:
    """An app with two wheels, that takes nothing for installed."""
    path = make_locked(folder) / "septum.toml"
    path.write_text(path.read_text().replace('preinstalled = ["torch>=2.2"]', ""))
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return build(locked(tmp_path / "packed"), tmp_path / "dist")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    return tmp_path / "packed" / "wheels"


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "silo" / "envs")


def answer(environments: Environments, package: Package) -> str:
    """What a process says that has the environment's folders on its path."""
    paths = [str(path) for path in environments.paths(package)]
    program = f"import sys; sys.path[:0] = {paths}; import tiny_one, tiny_two; print(tiny_one.ANSWER + tiny_two.ANSWER)"
    return subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout


def test_a_packages_wheels_are_there_for_its_process(
    environments: Environments, package: Package, wheels: Path
) -> None:
    assert environments.standing(package).state is State.ABSENT
    environments.prepare(package, wheels)
    assert environments.standing(package).state is State.READY
    assert answer(environments, package) == "84\n"


def test_an_app_without_dependencies_needs_nothing(environments: Environments, tmp_path: Path) -> None:
    package = build(make_folder(tmp_path / "packed"), tmp_path / "dist")
    environments.prepare(package, tmp_path / "nowhere")
    assert (environments.standing(package).state, environments.paths(package)) == (State.READY, ())
    assert not (tmp_path / "silo").exists()


def test_what_is_ready_is_not_made_again(environments: Environments, package: Package, wheels: Path) -> None:
    environments.prepare(package, wheels)
    (site,) = environments.paths(package)
    before = site.stat().st_ino
    environments.prepare(package, wheels)
    assert site.stat().st_ino == before


@pytest.mark.parametrize("content", ['{"state": "preparing", "reason": "", "python": "TAG"}', "{"])
def test_what_was_broken_off_is_made_anew(
    environments: Environments, package: Package, wheels: Path, content: str
) -> None:
    environments.prepare(package, wheels)
    (site,) = environments.paths(package)
    (site / "tiny_one.py").unlink()
    (site.parent / "state.json").write_text(content.replace("TAG", str(sys.implementation.cache_tag)))
    assert environments.standing(package).state is not State.READY
    environments.prepare(package, wheels)
    assert answer(environments, package) == "84\n"


def test_what_was_made_for_another_python_is_made_anew(
    environments: Environments, package: Package, wheels: Path
) -> None:
    environments.prepare(package, wheels)
    path = environments.paths(package)[0].parent / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"python": "cpython-39"}))
    assert environments.standing(package).state is State.ABSENT
    environments.prepare(package, wheels)
    assert environments.standing(package).state is State.READY


def test_preparing_is_seen_while_somebody_is_at_it_and_only_then(
    environments: Environments, package: Package, wheels: Path, tmp_path: Path
) -> None:
    environments.prepare(package, wheels)
    path = environments.paths(package)[0].parent / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "preparing"}))
    (lock,) = (tmp_path / "silo" / "envs").glob(".*.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert environments.standing(package).state is State.PREPARING
    assert environments.standing(package).state is State.ABSENT


def test_a_wheel_that_was_changed_is_named_and_nothing_is_installed(
    environments: Environments, package: Package, wheels: Path, tmp_path: Path
) -> None:
    make_wheel(wheels, "tiny_two", "1.0", "ANSWER = 666\n")
    with pytest.raises(AppError, match=r"tiny_two-1\.0-py3-none-any\.whl was changed"):
        environments.prepare(package, wheels)
    assert not list((tmp_path / "silo").rglob("tiny_*.py"))


def hostile(folder: Path, out: Path, wheel: Path) -> Package:
    """A package that is whole and sound but for what this wheel would do."""
    for old in (folder / "wheels").glob(f"{wheel.name.partition('-')[0]}-*"):
        old.unlink()
    wheel.rename(folder / "wheels" / wheel.name)
    lock = "".join(pin(path) for path in sorted((folder / "wheels").iterdir()))
    (folder / "requirements.lock").write_text(lock)
    return build(folder, out)


@pytest.mark.parametrize("name", ["../evil.py", "tiny_one/../../evil.py", "/tmp/septum-evil.py", "septum/errors.py"])
def test_a_wheel_that_would_write_elsewhere_is_refused(environments: Environments, tmp_path: Path, name: str) -> None:
    folder = locked(tmp_path / "packed")
    package = hostile(folder, tmp_path / "dist", make_wheel(tmp_path, "tiny_one", "1.0", **{name: "evil"}))
    with pytest.raises(AppError, match="tiny_one"):
        environments.prepare(package, folder / "wheels")
    assert not list((tmp_path / "silo").rglob("*.py"))
    assert not Path("/tmp/septum-evil.py").exists()


def test_a_wheel_that_expands_too_much_is_refused(
    environments: Environments, package: Package, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_content, "MAX_BYTES", 100)
    with pytest.raises(TooLargeError, match="would become"):
        environments.prepare(package, wheels)


def test_a_wheel_for_another_system_fails_with_pips_reason(environments: Environments, tmp_path: Path) -> None:
    folder = locked(tmp_path / "packed")
    wheel = make_wheel(tmp_path, "tiny_one", "1.0")
    other = wheel.rename(tmp_path / "tiny_one-1.0-cp27-cp27m-win32.whl")
    package = hostile(folder, tmp_path / "dist", other)
    with pytest.raises(ConfigError, match="pip does not install") as caught:
        environments.prepare(package, folder / "wheels")
    standing = environments.standing(package)
    assert (standing.state, standing.reason) == (State.FAILED, caught.value.message)


def test_nothing_of_a_wheel_runs_while_it_is_installed_or_a_python_starts(
    environments: Environments, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\n"
    names = ("setup.py", "sitecustomize.py", "usercustomize.py", "pip/__init__.py")
    folder = locked(tmp_path / "packed")
    extra = {**dict.fromkeys(names, code), "evil.pth": f"import builtins; exec({code!r})\n"}
    package = hostile(folder, tmp_path / "dist", make_wheel(tmp_path, "tiny_one", "1.0", **extra))
    environments.prepare(package, folder / "wheels")
    assert answer(environments, package) == "84\n"
    assert not ran.exists()


@pytest.mark.parametrize("change", ["a module", "one more", "compiled", "gone"])
def test_what_was_installed_and_changed_since_is_refused_until_it_is_made_again_as_the_hint_says(
    environments: Environments, package: Package, wheels: Path, change: str
) -> None:
    environments.prepare(package, wheels)
    (site,) = environments.paths(package)
    match change:
        case "a module":
            (site / "tiny_one.py").write_text("ANSWER = 666\n")
        case "one more":
            (site / "scipy.py").write_text("")
        case "compiled":
            py_compile.compile(str(site / "tiny_one.py"))
        case "gone":
            (site / "tiny_two.py").unlink()
    for _ in range(2):
        with pytest.raises(AppError, match="site was changed: its digest is blake3:") as caught:
            environments.prepare(package, wheels)
    command = caught.value.hint.partition(";")[0]
    assert command == f"rm -r {site.parent}"
    subprocess.run(command.split(), check=True)
    environments.prepare(package, wheels)
    assert answer(environments, package) == "84\n"


def test_an_environment_of_an_earlier_septum_is_made_anew(
    environments: Environments, package: Package, wheels: Path
) -> None:
    environments.prepare(package, wheels)
    (site,) = environments.paths(package)
    (site / "tiny_one.py").write_text("ANSWER = 666\n")
    path = site.parent / "state.json"
    content = json.loads(path.read_text())
    del content["tree"]
    path.write_text(json.dumps(content))
    assert environments.standing(package).state is State.ABSENT
    environments.prepare(package, wheels)
    assert answer(environments, package) == "84\n"


def test_an_environment_that_is_forgotten_is_gone(environments: Environments, package: Package, wheels: Path) -> None:
    environments.prepare(package, wheels)
    environments.forget(package.digest)
    assert environments.standing(package).state is State.ABSENT
    assert not os.path.exists(environments.paths(package)[0])


@pytest.mark.parametrize("text", ["numpy", "numpy>=1.26", "NumPy>1,<99", "numpy!=1.0", "pip>=9"])
def test_what_a_silo_has_is_enough(text: str) -> None:
    check_preinstalled([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("numpy>=99", "this silo has numpy"),
        ("numpy<1", "this silo has numpy"),
        ("numpy==1.0", "this silo has numpy"),
        ("no-such-thing", "this silo has no no-such-thing"),
    ],
)
def test_what_a_silo_lacks_is_named_with_the_command_that_installs_it(text: str, message: str) -> None:
    with pytest.raises(SeptumError, match=message) as caught:
        check_preinstalled([text])
    assert f"pip install '{text}'" in caught.value.hint
