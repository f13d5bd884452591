"""An author builds, signs and verifies a package by commands alone."""

import json
from pathlib import Path

import pytest
from tests.sdk.packaging import app_folder, write_wheel

from septum.errors import ExitCode
from septum.sdk.requirements import wheel_at

pytestmark = pytest.mark.processes

NAME = "small-1.0.0.septum"


@pytest.fixture
def package(septum, home):
    """dist/small-1.0.0.septum, built by the command."""
    app_folder(home / "app", wheels={"tiny": {"tiny.py": ""}})
    assert septum("app", "build", home / "app").code == 0
    return Path("dist") / NAME


@pytest.fixture
def keys(septum):
    """Two signers: NAME.key, and their public halves."""
    made = {name: septum("app", "keygen", "--out", f"{name}.key", "--json") for name in ("ann", "ben")}
    return {name: done.envelope["data"]["public"] for name, done in made.items()}


def refused(done, code, *words):
    assert done.code == code, done
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    return done


def test_build_says_what_it_made_and_what_comes_next(septum, home, package):
    done = septum("app", "build", home / "app", "--out", home / "other")
    assert done.code == 0
    assert f"{home / 'other' / NAME}: small 1.0.0, 3 files, 1 wheels, " in done.out
    assert f"next: septum app sign {home / 'other' / NAME} --key KEYFILE" in done.out
    assert (home / "other" / NAME).read_bytes() == package.read_bytes()
    data = septum("app", "build", home / "app", "--json").envelope["data"]
    assert data["digest"] in done.out
    assert (data["columns"], data["wheels"]) == (["x", "y"], ["tiny-1.0-py3-none-any.whl"])


def test_an_app_that_is_built_where_it_lies_is_the_same_the_second_time(septum, home, monkeypatch):
    monkeypatch.chdir(app_folder(home / "app"))
    first = septum("app", "build", ".", "--json").envelope["data"]["digest"]
    assert septum("app", "build", ".", "--json").envelope["data"]["digest"] == first


def test_an_app_that_is_not_sound_is_not_built(septum, home):
    app = app_folder(home / "app")
    (app / "app.py").write_text("import nonsense_of_no_kind\n")
    done = septum("app", "build", app)
    assert (done.code, "import raised ModuleNotFoundError" in done.err) == (ExitCode.FAILED, True)
    refused(septum("app", "build", home / "none"), ExitCode.USAGE, "septum.toml: cannot be read")
    assert not list(Path().glob("dist/*"))


def test_a_wheel_that_does_not_match_the_lock_is_not_built(septum, home):
    app = app_folder(home / "app", wheels={"tiny": {"tiny.py": ""}})
    write_wheel(app / "wheels", "tiny", "1.0", {"tiny.py": "evil"})
    refused(
        septum("app", "build", app), ExitCode.FAILED, "tiny-1.0-py3-none-any.whl", "other hashes", "septum app lock"
    )


def test_a_key_is_made_for_its_owner_alone_and_never_replaced(septum, keys):
    assert Path("ann.key").stat().st_mode & 0o777 == 0o600
    before = Path("ann.key").read_bytes()
    done = septum("app", "keygen", "--out", "ann.key")
    assert done.code != 0
    assert "Traceback" not in done.err
    assert Path("ann.key").read_bytes() == before
    assert len(set(keys.values())) == 2


def test_two_signers_stand_for_a_package_and_verify_names_them(septum, package, keys):
    assert "signed by nobody" in septum("app", "verify", package).out
    for name in ("ann", "ben", "ann"):
        done = septum("app", "sign", package, "--key", f"{name}.key")
        assert f"small 1.0.0 is signed by {keys[name]}" in done.out
    data = septum("app", "verify", package, "--json").envelope["data"]
    assert sorted(data["signers"]) == sorted(keys.values())
    both = [part for key in keys.values() for part in ("--key", key)]
    assert septum("app", "verify", package, *both).code == 0


def test_a_signer_who_is_asked_for_and_did_not_sign_is_an_error(septum, package, keys):
    septum("app", "sign", package, "--key", "ann.key")
    refused(
        septum("app", "verify", package, "--key", keys["ben"]),
        ExitCode.AUTH,
        f"{keys['ben']} did not sign",
        keys["ann"],
    )


def test_a_package_that_was_changed_after_it_was_signed_is_refused(septum, home, package, keys):
    septum("app", "sign", package, "--key", "ann.key")
    data = package.read_bytes()
    package.write_bytes(data.replace(b"import os", b"import sh", 1))
    refused(septum("app", "verify", package), ExitCode.FAILED, NAME, "is damaged")
    package.write_bytes(data)
    (home / "app" / "app.py").write_text((home / "app" / "app.py").read_text() + "\n")
    assert septum("app", "build", home / "app").code == 0
    refused(septum("app", "verify", package), ExitCode.AUTH, "does not hold for small 1.0.0")
    done = septum("app", "sign", package, "--key", "ann.key")
    refused(done, ExitCode.AUTH, f"rm {package}.sig, if you have built the package anew")
    Path(f"{package}.sig").unlink()
    assert septum("app", "sign", package, "--key", "ann.key").code == 0
    assert septum("app", "verify", package).code == 0


def test_what_is_no_package_key_or_signature_is_said_so(septum, package, keys):
    refused(septum("app", "verify", "none.septum"), ExitCode.FAILED, "none.septum cannot be read", "septum app build")
    refused(septum("app", "sign", package, "--key", "none.key"), ExitCode.USAGE, "none.key")
    refused(septum("app", "sign", package, "--key", package), ExitCode.USAGE, NAME)
    Path(f"{package}.sig").write_text("{")
    refused(septum("app", "verify", package), ExitCode.USAGE, "the signatures are no JSON")
    Path("x.septum").write_bytes(b"PK\x03\x04")
    refused(septum("app", "verify", "x.septum"), ExitCode.FAILED, "x.septum: the package is cut at byte 0")


# --- lock -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def index(home, monkeypatch):
    """A folder that pip takes wheels from, in place of an index."""
    write_wheel(home / "index", "tiny", "1.0", {"tiny.py": ""})
    write_wheel(home / "index", "numpy", "9.9", {"numpy/__init__.py": ""})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home / "index"))
    return home / "index"


@pytest.mark.usefixtures("index")
def test_lock_fetches_wheels_and_pins_them_but_what_the_silo_provides(septum, home):
    app = app_folder(home / "app")
    done = septum("app", "lock", app, "tiny>=0.5", "numpy")
    assert done.code == 0, done
    assert [path.name for path in (app / "wheels").iterdir()] == ["tiny-1.0-py3-none-any.whl"]
    wheel = wheel_at(app / "wheels" / "tiny-1.0-py3-none-any.whl")
    assert f"tiny==1.0 --hash=sha256:{wheel.sha256}\n" in (app / "requirements.lock").read_text()
    assert 'lock = "requirements.lock"' in done.out
    (app / "septum.toml").write_text((app / "septum.toml").read_text() + '[dependencies]\nlock = "requirements.lock"\n')
    assert json.loads(septum("app", "build", app, "--json").out)["data"]["wheels"] == [wheel.file]


@pytest.mark.usefixtures("index")
def test_a_lock_that_fails_leaves_the_one_that_was_there(septum, home):
    app = app_folder(home / "app", wheels={"other": {}})
    before = {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}
    refused(septum("app", "lock", app, "no-such-thing"), ExitCode.USAGE, "pip: ", "no-such-thing")
    assert {path: path.read_bytes() for path in app.rglob("*") if path.is_file()} == before
    refused(septum("app", "lock", home / "none", "tiny"), ExitCode.USAGE, "there is no folder")
