"""An app whose library is nowhere but in its own wheels: locked, checked, built, signed, read, approved. No index."""

import json

import pytest
from tests.sdk.packages import make_wheel

from septum.errors import ExitCode
from septum.sdk.package_file import read_package

pytestmark = pytest.mark.processes

USES_TINY = "import numpy as np\nfrom tiny import ANSWER\nassert ANSWER == 42"


@pytest.fixture
def made(septum, home):
    folder = home / "apps" / "mine"
    assert septum("app", "new", folder).code == 0
    return folder


@pytest.fixture
def index(home, monkeypatch):
    """The author's pip finds these wheels and reaches nothing else."""
    folder = home / "index"
    folder.mkdir()
    make_wheel(folder, "tiny", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def locked(made, index, septum):
    assert septum("app", "lock", made, "tiny").code == 0
    with (made / "septum.toml").open("a") as file:
        file.write('[dependencies]\nlock = "requirements.lock"\n')
    path = made / "app.py"
    path.write_text(path.read_text().replace("import numpy as np", USES_TINY))
    return made


def test_a_lock_pins_what_pip_found_by_hash_and_leaves_numpy_to_the_silo(made, index, septum):
    make_wheel(index, "numpy", "99.0")
    done = septum("app", "lock", made, "tiny", "numpy", "--json")
    assert [wheel["file"] for wheel in done.envelope["data"]["wheels"]] == ["tiny-1.0-py3-none-any.whl"]
    assert [path.name for path in (made / "wheels").iterdir()] == ["tiny-1.0-py3-none-any.whl"]
    assert "tiny==1.0 --hash=sha256:" in (made / "requirements.lock").read_text()


def test_a_lock_that_cannot_be_made_leaves_the_last_one_as_it_was(locked, septum):
    before = {path: path.read_bytes() for path in locked.rglob("*") if path.is_file()}
    done = septum("app", "lock", locked, "no-such-thing-anywhere")
    assert done.code == ExitCode.USAGE
    assert "no-such-thing-anywhere" in done.err
    assert {path: path.read_bytes() for path in locked.rglob("*") if path.is_file()} == before


def test_an_option_of_pip_cannot_pass_for_a_requirement(made, septum):
    assert septum("app", "lock", made, "--", "--index-url=https://index.example").code == ExitCode.USAGE


def test_an_app_is_checked_and_built_with_wheels_that_are_installed_nowhere(locked, septum, home):
    checked = septum("app", "check", locked, "--json")
    assert checked.envelope["data"]["wheels"] == ["tiny-1.0-py3-none-any.whl"]
    assert septum("app", "build", locked, "--out", home / "dist").code == 0
    assert [wheel.name for wheel in read_package(home / "dist" / "mine-0.1.0.septum").wheels] == ["tiny"]


def test_without_its_wheels_it_is_neither_checked_nor_built(locked, septum, home):
    next((locked / "wheels").iterdir()).unlink()
    for verb in ("check", "build"):
        done = septum("app", verb, locked)
        assert done.code == ExitCode.FAILED
        assert "requirements.lock pins tiny==1.0, and wheels/ has no such wheel" in done.err
        assert f"septum app lock {locked}" in done.err


def test_a_steward_reads_approves_and_takes_it_back(locked, septum, home, monkeypatch):
    key = home / "author.key"
    public = septum("app", "keygen", "--out", key, "--json").envelope["data"]["public"]
    built = septum("app", "build", locked, "--out", home / "dist", "--json").envelope["data"]
    septum("app", "sign", built["file"], "--key", key)
    monkeypatch.setenv("PIP_FIND_LINKS", str(home / "nowhere"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:1/simple")
    silo = home / "silo"
    silo.mkdir()
    (silo / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    added = septum("silo", "app", "add", built["file"], "--dir", silo, "--json").envelope["data"]
    assert (added["signers"], added["approved"]) == ([public], False)
    shown = septum("silo", "app", "review", "mine", "--dir", silo).out
    for said in ("roc_auc", "dose", "mg from 0 to 500", "1 (yes)", "return optim.adam(", "tiny 1.0", public):
        assert said in shown
    assert septum("silo", "app", "approve", built["digest"], "--dir", silo).code == 0
    (listed,) = septum("silo", "app", "list", "--dir", silo, "--json").envelope["data"]["apps"]
    assert listed["approved"]
    assert [path.name for path in (silo / "envs").rglob("tiny.py")] == ["tiny.py"]
    assert septum("silo", "app", "revoke", "mine", "--dir", silo).code == 0
    (listed,) = septum("silo", "app", "list", "--dir", silo, "--json").envelope["data"]["apps"]
    assert not listed["approved"]
    words = (silo / "packages" / "approvals.jsonl").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in words] == ["approved", "revoked"]
