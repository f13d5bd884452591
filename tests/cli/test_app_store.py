"""A package goes from its author through a coordinator into a silo, by commands alone."""

from pathlib import Path

import pytest
from tests.coordinator.running import Running
from tests.sdk.packaging import app_folder, built

from septum.client import Client
from septum.errors import ConfigError, ConflictError, ExitCode
from septum.sdk.package import digest_of

pytestmark = pytest.mark.served


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    coordinator = Running(tmp_path_factory.mktemp("coordinator"))
    yield coordinator
    coordinator.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two versions of one app."""
    folder = tmp_path_factory.mktemp("made")
    return [built(app_folder(folder / one, version=one), folder) for one in ("1.0.0", "1.1.0")]


@pytest.fixture
def call(septum, running, monkeypatch):
    monkeypatch.setenv("SEPTUM_OPERATOR_FILE", str(running.config.data_dir / "operator.json"))
    return septum


def test_what_is_pushed_is_fetched_read_and_approved_in_a_silo(call, running, made, home):
    assert "no apps yet" in call("app", "list").out
    assert "none was pushed yet" in call("app", "show", "small").err
    key = call("app", "keygen", "--out", "ann.key", "--json").envelope["data"]["public"]
    first, second = made
    done = call("app", "push", first.path)
    assert f"small 1.0.0 is there for the silos, not signed: septum app sign {first.path}" in done.out
    assert first.digest in done.out
    call("app", "sign", first.path, "--key", "ann.key")
    assert f"signed by {key[:20]}" in call("app", "push", first.path).out
    assert call("app", "push", second.path).code == 0

    listed = call("app", "list", "--json").envelope["data"]["apps"]
    assert {(one["name"], one["version"], one["digest"]) for one in listed} == {
        ("small", "1.0.0", first.digest),
        ("small", "1.1.0", second.digest),
    }
    assert listed[0]["version"] == "1.1.0"
    shown = call("app", "show", "small==1.0.0").out
    assert first.digest in shown
    assert key[:20] in shown
    assert second.digest in call("app", "show", "small").out

    with Client(running.access) as client:
        token = client.invite("north").token
    assert call("silo", "enroll", "--url", running.url, "--token", token, "--dir", "north").code == 0
    fetched = call("silo", "app", "fetch", "small==1.0.0", "--dir", "north")
    assert f"small 1.0.0 is here, signed by {key}" in fetched.out
    assert "not approved" in call("silo", "app", "list", "--dir", "north").out
    assert list((Path("north") / "fetched").iterdir()) == []
    assert call("silo", "app", "fetch", second.digest, "--dir", "north").code == 0
    for version in ("1.0.0", "1.1.0"):
        assert call("silo", "app", "approve", f"small=={version}", "--dir", "north").code == 0
    done = call("silo", "app", "fetch", "smal", "--dir", "north")
    assert (done.code, "did you mean" in done.err, "small" in done.err) == (ExitCode.USAGE, True, True)

    running.enrolled("gone")
    with Client(running.access) as client:
        client.revoke("north")
    done = call("silo", "app", "fetch", "small", "--dir", "north")
    assert (done.code, "Traceback" in done.err) == (ExitCode.AUTH, False)


def test_what_is_not_sound_is_refused_where_it_is_pushed(call, made, home):
    bad = home / "bad.septum"
    bad.write_bytes(made[0].path.read_bytes()[:-1])
    done = call("app", "push", bad)
    assert (done.code, "directory, at byte" in done.err) == (ExitCode.FAILED, True)
    done = call("app", "push", "none.septum")
    assert (done.code, "none.septum cannot be read" in done.err) == (ExitCode.USAGE, True)


def test_another_package_of_a_version_is_a_conflict(call, home, made):
    assert call("app", "push", made[0].path).code == 0
    app = app_folder(home / "app")
    (app / "app.py").write_text((app / "app.py").read_text() + "\n")
    done = call("app", "push", built(app, home).path)
    assert (done.code, "small 1.0.0 has been pushed already" in done.err) == (ExitCode.FAILED, True)


def test_a_signature_that_does_not_hold_is_refused_and_the_package_stays(call, made, home):
    path = home / made[1].path.name
    path.write_bytes(made[1].path.read_bytes())
    Path(f"{path}.sig").write_text('[{"key": "ed25519:' + "a" * 64 + '", "signature": "' + "0" * 128 + '"}]')
    done = call("app", "push", path)
    assert (done.code, "does not hold for small 1.1.0" in done.err) == (ExitCode.AUTH, True)
    assert made[1].digest in call("app", "show", "small==1.1.0").out


@pytest.fixture
def tuned(home):
    """An app with a preset of its own."""
    folder = app_folder(home / "tuned", version="2.0.0")
    (folder / "septum.toml").write_text((folder / "septum.toml").read_text() + "[presets.own]\nrounds = 9\nlr = 0.25\n")
    return built(folder, home)


def hyper_of(call, *arguments):
    done = call("run", "submit", "small==2.0.0", "--inspect", "--silos", "north", *arguments, "--json")
    assert done.code == 0, done.out
    return done.envelope["data"]["hyper"]


def test_presets_are_given_at_upload_and_later_and_the_package_stays_as_it_is(call, running, tuned, home):
    (home / "quick.toml").write_text("rounds = 3\nlr = 1\n")
    done = call("app", "push", tuned.path, "--preset", f"quick={home / 'quick.toml'}")
    assert (done.code, tuned.digest in done.out, "preset quick: lr=1.0, rounds=3" in done.out) == (0, True, True)
    assert call("app", "preset", "set", "small==2.0.0", "long", "rounds=70").code == 0
    assert call("app", "preset", "set", "small==2.0.0", "long", "rounds=80").code == 0

    shown = call("app", "show", "small==2.0.0").out
    assert "preset   own: rounds=9, lr=0.25 (in the package)" in shown
    assert "preset   long: rounds=80\n" in shown
    assert [line for line in call("app", "list").out.splitlines() if "long, quick" in line and tuned.digest in line]
    assert call("app", "push", tuned.path, "--json").envelope["data"]["presets"] == {
        "long": {"rounds": 80},
        "quick": {"lr": 1.0, "rounds": 3},
    }

    running.enrolled("north")
    assert hyper_of(call) == {"rounds": 2, "lr": 0.5}
    assert hyper_of(call, "--preset", "own") == {"rounds": 9, "lr": 0.25}
    assert hyper_of(call, "--preset", "quick") == {"rounds": 3, "lr": 1.0}
    assert hyper_of(call, "--preset", "quick", "--set", "lr=0.125") == {"rounds": 3, "lr": 0.125}
    assert hyper_of(call, "--preset", "long") == {"rounds": 80, "lr": 0.5}

    assert call("app", "preset", "remove", "small==2.0.0", "long").code == 0
    assert "long" not in call("app", "show", "small==2.0.0").out
    for named, said in (("long", "was given no preset 'long'"), ("own", "is in the package of small 2.0.0, and stays")):
        done = call("app", "preset", "remove", "small==2.0.0", named)
        assert (done.code, said in done.err) == (ExitCode.USAGE, True)
    done = call("run", "submit", "small==2.0.0", "--inspect", "--silos", "north", "--preset", "long")
    assert (done.code, "no preset 'long'" in done.err) == (ExitCode.USAGE, True)


def test_a_name_of_a_folder_and_of_a_package_is_ambiguous_and_both_are_named(call, running, tuned, home):
    assert call("app", "push", tuned.path).code == 0
    running.enrolled("west")
    mine = app_folder(Path("small"))
    (mine / "app.py").write_text((mine / "app.py").read_text() + "\nimport pathlib\npathlib.Path('imported').touch()\n")
    done = call("run", "submit", "small", "--inspect", "--silos", "west", "--json")
    assert done.code == ExitCode.USAGE
    assert "'small' is a folder here and a package that was pushed" in done.envelope["error"]["message"]
    assert "./small is the folder" in done.envelope["error"]["hint"]
    assert not Path("imported").exists()
    for named, digest in (("./small", digest_of(mine)), ("small==2.0.0", tuned.digest)):
        done = call("run", "submit", named, "--inspect", "--silos", "west", "--json")
        assert (done.code, done.envelope["data"]["app"]["digest"]) == (0, digest), named


def test_a_folder_that_no_package_is_named_after_is_taken_by_its_name(call, running, home):
    running.enrolled("south")
    app = app_folder(Path("lonely"))
    done = call("run", "submit", "lonely", "--inspect", "--silos", "south", "--json")
    assert done.envelope["data"]["app"]["digest"] == digest_of(app)


def test_a_name_of_several_versions_is_not_removed_and_they_are_listed(call, home):
    packages = {version: built(app_folder(home / version, version=version), home) for version in ("7.0.0", "7.1.0")}
    for package in packages.values():
        assert call("app", "push", package.path).code == 0
    done = call("app", "remove", "small", "--json")
    assert done.code == ExitCode.USAGE
    assert "small==7.1.0" in done.envelope["error"]["message"]
    assert "small==7.0.0" in done.envelope["error"]["message"]
    listed = call("app", "list").out
    for version, package in packages.items():
        assert package.digest in listed
        assert call("app", "remove", f"small=={version}").code == 0


def test_a_preset_that_does_not_fit_is_refused_and_nothing_is_sent(call, tuned, home):
    (home / "bad.toml").write_text("rounds = 0\n")
    done = call("app", "push", tuned.path, "--preset", f"bad={home / 'bad.toml'}")
    assert (done.code, "hyper-parameter 'rounds' is 0; it must be a whole number of at least 1" in done.err) == (
        2,
        True,
    )
    (home / "own.toml").write_text("rounds = 4\n")
    done = call("app", "push", tuned.path, "--preset", f"own={home / 'own.toml'}")
    assert (done.code, "has a preset 'own' of its own" in done.err) == (ExitCode.FAILED, True)
    assert call("app", "push", tuned.path).code == 0
    for values, said in ((["lr=-1"], "'lr' is -1.0; it must be a number of at least 0.0"), (["lr=1", "lr=2"], "twice")):
        done = call("app", "preset", "set", "small==2.0.0", "bad", *values)
        assert (done.code, said in done.err) == (ExitCode.USAGE, True)
    assert call("app", "show", "small==2.0.0", "--json").envelope["data"]["presets"].get("bad") is None


def test_the_coordinator_checks_a_preset_itself(call, running, tuned):
    assert call("app", "push", tuned.path).code == 0
    with Client(running.access) as client:
        for name, values, error in (
            ("x", {"rounds": 0}, ConfigError),
            ("own", {"rounds": 4}, ConflictError),
            ("..", {"rounds": 4}, ConfigError),  # in a URL that would be another place
        ):
            before = client.app(tuned.digest)
            with pytest.raises(error):
                client.set_preset(tuned.digest, name, values)
            assert client.app(tuned.digest) == before
        with pytest.raises(ConfigError):
            client.drop_preset(tuned.digest, "..")


def test_a_package_is_removed_once_no_run_of_it_is_at_work(call, running, made, home):
    package = built(app_folder(home / "gone", version="3.0.0"), home)
    folder = running.config.data_dir / "blobs" / "apps"

    def files():
        return sorted(path for path in folder.rglob("*") if path.is_file())

    before = files()
    assert call("app", "push", package.path).code == 0
    assert len(files()) == len(before) + 1
    running.enrolled("east")
    run = call("run", "submit", "small==3.0.0", "--inspect", "--silos", "east", "--json").envelope["data"]["id"]
    done = call("app", "remove", "small==3.0.0")
    assert (done.code, f"{run} have not ended" in done.err, f"septum run stop {run}" in done.err) == (1, True, True)
    assert package.digest in call("app", "list").out

    assert call("run", "stop", run).code == 0
    assert call("app", "remove", "small==3.0.0", "--json").envelope["data"]["removed"] is True
    assert files() == before
    assert package.digest not in call("app", "list").out
    assert call("app", "remove", package.digest, "--json").envelope["data"]["removed"] is False
    done = call("app", "remove", "small==3.0.0")
    assert (done.code, "there is no app 'small==3.0.0'" in done.err) == (ExitCode.USAGE, True)
    other = home / "gone" / "app.py"
    other.write_text(other.read_text() + "\n")
    done = call("app", "push", built(home / "gone", home).path)
    assert (done.code, "has been pushed already and removed" in done.err) == (ExitCode.FAILED, True)


def test_what_never_leaves_is_shown_of_a_pushed_package(call, home):
    folder = app_folder(home / "own", version="77.0.0")
    manifest = folder / "septum.toml"
    manifest.write_text(f'{manifest.read_text()}\n[private]\nparameters = ["head.*"]\n')
    assert call("app", "push", built(folder, home / "dist").path).code == 0
    assert "private  head.*: these never leave a silo\n" in call("app", "show", "small==77.0.0").out
    assert call("app", "show", "small==77.0.0", "--json").envelope["data"]["private"] == ["head.*"]
