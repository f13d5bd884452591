"""A steward reads a package, says yes or no by its digest, and sees what was changed."""

import fcntl
import getpass
import json
from pathlib import Path

import pytest
from tests.sdk.packaging import app_folder, built

from septum.errors import ExitCode
from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import SiloPhase, SiloRun
from septum.silo.run_files import RunFiles


@pytest.fixture
def small(home):
    return built(app_folder(home / "app"), home / "dist")


@pytest.fixture
def silo(septum, home):
    """`septum silo app ...` in a silo's directory."""
    (home / "north").mkdir(mode=0o700)
    (home / "north" / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')

    def call(*arguments):
        return septum("silo", "app", *arguments, "--dir", home / "north")

    return call


def add(silo, home, *, change=None, version="1.0.0", **kinds):
    """Another package in the silo, after `change` was done to its app's folder."""
    app = app_folder(home / f"app-{version}", version=version, **kinds)
    if change is not None:
        change(app)
    package = built(app, home / "dist")
    assert silo("add", package.path).code == 0
    return package


def test_a_package_is_taken_in_read_approved_and_revoked(silo, small):
    done = silo("add", small.path)
    assert "small 1.0.0 is here, signed by nobody" in done.out
    assert f"septum silo app review {small.digest} --dir " in done.out
    assert "not approved" in silo("list").out
    read = silo("review", "small").out
    assert f"septum silo app approve {small.digest} --dir " in read
    approved = silo("approve", small.digest)
    assert "small 1.0.0 is approved" in approved.out
    assert "[apps.small] data = " in approved.out
    assert f"approved by {getpass.getuser()[:20]}" in silo("list").out
    assert f"{small.digest}" in silo("revoke", "small==1.0.0").out
    assert "revoked by" in silo("list").out
    assert silo("list", "--json").envelope["data"]["apps"][0]["approved"] is False


def test_a_review_shows_the_signers_what_leaves_what_is_read_and_every_line(septum, silo, small):
    key = septum("app", "keygen", "--out", "ann.key", "--json").envelope["data"]["public"]
    septum("app", "sign", small.path, "--key", "ann.key")
    assert f"signed by {key}" in silo("add", small.path).out
    read = silo("review", small.digest).out
    for said in (key, small.digest, "WHAT LEAVES THIS SILO", "  parameters", "  roc_auc", "WHAT IT READS", "target"):
        assert said in read
    for name in small.files:
        assert f"--- {name}" in read
        for number, line in enumerate(small.file(name).decode().splitlines(), 1):
            assert f"{number:5}  {line}".rstrip() in read


def test_a_review_says_of_all_that_leaves_what_it_is_and_whether_only_in_sums(silo, small, home):
    silo("add", small.path)
    read = silo("review", "small").out
    assert "ONLY IN SUMS" not in read
    assert "WHAT LEAVES THIS SILO: in sums over silos; as it is only in a run without masks" in read
    assert "  parameters   the change of the model's numbers, each round\n" in read

    def change(app):
        text = (app / "septum.toml").read_text()
        (app / "septum.toml").write_text(text.replace('open = ["parameters", ', 'masked = ["parameters"]\nopen = ['))

    add(silo, home, version="1.1.0", change=change)
    read = silo("review", "small==1.1.0").out
    only, _, rest = read.partition("WHAT ELSE LEAVES THIS SILO: in the same sums")
    assert "WHAT LEAVES THIS SILO ONLY IN SUMS OVER SILOS, UNDER MASKS: a run without masks is refused" in only
    assert "  parameters   the change" in only
    assert "  rows         how many train and test rows" in rest.partition("WHAT IT READS")[0]
    said = silo("list", "--json").envelope["data"]["apps"]
    assert [one["masked"] for one in said] == [[], ["parameters"]]


def test_what_would_steer_a_terminal_or_hide_a_line_is_shown_as_what_it_is(silo, home):
    source = "a = 1  # \x1b[2K\x1b[1A\u202e ok\rimport shutil\nb = 2  # fine\u2028import never\n"

    def change(app):
        (app / "odd.py").write_text(source, newline="")
        (app / "blob.bin").write_bytes(b"\xff\x00")

    add(silo, home, change=change)
    read = silo("review", "small").out
    assert not {"\x1b", "\u202e", "\r"} & set(read)
    lines = read.split("\n")
    at = lines.index("--- odd.py")
    assert lines[at + 1] == "    1  a = 1  # ?[2K?[1A? ok"
    assert lines[at + 2] == "    2  import shutil"
    assert lines[at + 3].startswith("    3  b = 2  # fine")
    assert lines[at + 3].endswith("import never")
    assert lines[at + 4] == ""
    assert "(2 bytes that are no text)" in read


def test_a_review_shows_what_is_changed_since_the_approved_version(silo, home):
    first = add(silo, home)
    assert "=== " not in silo("review", "small").out
    silo("approve", first.digest)

    def change(app):
        text = (app / "app.py").read_text()
        (app / "app.py").write_text(text.replace("hyper(2, min=1)", "hyper(9, min=1)"))
        (app / "new.py").write_text("x = 1\n")

    add(silo, home, version="1.1.0", change=change)
    read = silo("review", "small==1.1.0").out
    assert "=== changed since 1.0.0, which is approved" in read
    assert "-    rounds: int = hyper(2, min=1)" in read
    assert "+    rounds: int = hyper(9, min=1)" in read
    assert "+x = 1" in read
    assert "=== " not in silo("review", "small==1.0.0").out


@pytest.mark.processes
def test_approving_installs_the_wheels_and_the_list_says_so(silo, home):
    package = add(silo, home, wheels={"tiny": {"tiny.py": "x = 1\n"}})
    assert "absent" in silo("list").out
    assert "tiny 1.0" in silo("review", "small").out
    assert silo("approve", "small").code == 0
    assert "ready" in silo("list").out
    assert list((home / "north" / "envs" / package.digest.removeprefix("sha256:")).rglob("tiny.py"))


@pytest.mark.processes
def test_a_package_whose_wheels_are_being_installed_is_listed_as_that_and_a_failure_with_its_reason(silo, home):
    package = add(silo, home, wheels={"tiny": {"tiny.py": "x = 1\n"}})
    assert silo("approve", "small").code == 0
    envs, name = home / "north" / "envs", package.digest.removeprefix("sha256:")
    state = json.loads((envs / name / "state.json").read_text())
    (envs / name / "state.json").write_text(json.dumps(state | {"state": "preparing"}))
    with (envs / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as whoever installs does
        assert "preparing" in silo("list").out
        assert silo("list", "--json").envelope["data"]["apps"][0]["environment"] == "preparing"
    assert "absent" in silo("list").out  # whoever was at it has died
    (envs / name / "state.json").write_text(json.dumps(state | {"state": "failed", "reason": "no such platform"}))
    assert f"{package.digest}: its wheels are not installed: no such platform" in silo("list").out


def test_what_the_silo_lacks_keeps_a_package_from_being_approved(silo, home):
    def change(app):
        text = (app / "septum.toml").read_text()
        (app / "septum.toml").write_text(text + '[dependencies]\npreinstalled = ["no-such-thing>=1"]\n')

    add(silo, home, change=change)
    done = silo("approve", "small")
    assert done.code == ExitCode.USAGE
    assert "pip install 'no-such-thing>=1'" in done.err
    assert "not approved" in silo("list").out


def test_a_package_that_was_changed_here_is_listed_refused_and_revoked_and_the_others_go_on(silo, home):
    bad, good = add(silo, home), add(silo, home, version="1.1.0")
    for one in (bad, good):
        assert silo("approve", one.digest).code == 0
    path = home / "north" / "packages" / bad.digest.removeprefix("sha256:") / "file.septum"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    listed = silo("list")
    assert listed.code == 0
    assert f"{bad.digest} may not run: file.septum: " in listed.out
    assert silo("review", good.digest).code == 0
    assert silo("approve", bad.digest).code == ExitCode.FAILED
    assert silo("revoke", bad.digest).code == 0


@pytest.mark.parametrize("command", ["review", "approve", "revoke"])
def test_a_package_that_is_not_here_is_said_so_with_the_nearest(silo, small, command):
    done = silo(command, "small")
    assert (done.code, "there is none" in done.err) == (ExitCode.USAGE, True)
    silo("add", small.path)
    done = silo(command, "smal")
    assert (done.code, "small" in done.err, "septum silo app list" in done.err) == (ExitCode.USAGE, True, True)


def test_a_file_or_a_silo_that_is_not_there_is_said_so(septum, silo, small):
    done = silo("add", "none.septum")
    assert (done.code, "none.septum cannot be read" in done.err) == (ExitCode.FAILED, True)
    done = septum("silo", "app", "add", small.path, "--dir", "nroth")
    assert (done.code, "there is no silo's directory nroth" in done.err) == (ExitCode.USAGE, True)
    assert not Path("nroth").exists()
    Path("bad.septum").write_bytes(small.path.read_bytes()[:-1])
    done = silo("add", "bad.septum")
    assert (done.code, "Traceback" in done.err) == (ExitCode.FAILED, False)
    assert "no packages yet" in silo("list").out


def test_a_user_whom_the_system_has_no_name_for_can_approve(silo, small, monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    silo("add", small.path)
    assert silo("approve", "small").code == 0
    assert "approved by user " in silo("list").out


def at_work(home, digest):
    files = RunFiles(home / "north" / "runs" / "r1")
    files.make()
    plan = Plan("small", AppRef("small", "1.0.0", digest), {"rounds": 2}, ("north",), rounds=2)
    files.save(SiloRun("r1", "north", plan, phase=SiloPhase.ACTIVE))


def test_revoking_names_the_runs_that_go_on(silo, small, home):
    silo("add", small.path)
    silo("approve", "small")
    assert "still at work" not in silo("revoke", "small").out
    at_work(home, small.digest)
    done = silo("revoke", "small")
    assert "still at work with it: r1; to end it now, end the agent or stop the run" in done.out
    assert silo("revoke", "small", "--json").envelope["data"]["at_work"] == ["r1"]


def test_a_package_with_a_run_whose_coordinator_is_gone_is_removed_by_force_and_what_is_lost_is_said(silo, small, home):
    silo("add", small.path)
    silo("approve", "small")
    at_work(home, small.digest)
    refused = silo("remove", "small", "--json")
    assert refused.code != 0
    assert "r1 at work" in refused.envelope["error"]["message"]
    assert f"septum silo app remove {small.digest} --force" in refused.envelope["error"]["hint"]
    assert "small" in silo("list").out
    done = silo("remove", "small", "--force")
    assert (done.code, "small 1.0.0 is deleted here" in done.out) == (0, True)
    assert "lost: r1 has no app here any more" in done.out
    assert f"rm -r {home / 'north' / 'runs' / 'r1'}" in done.out
    assert silo("list", "--json").envelope["data"]["apps"] == []


def test_a_package_is_removed_by_its_name_and_once_more_by_its_digest(silo, small, home):
    silo("add", small.path)
    silo("approve", "small")
    done = silo("remove", "small==1.0.0")
    assert (done.code, "small 1.0.0 is deleted here, and may not run" in done.out) == (0, True)
    assert silo("list", "--json").envelope["data"] == {"apps": [], "problems": []}
    assert silo("remove", small.digest, "--json").envelope["data"]["removed"] is False
    done = silo("remove", "small")
    assert (done.code, "there is no package 'small' in this silo" in done.err) == (ExitCode.USAGE, True)
    assert not [path for path in (home / "north" / "packages").iterdir() if path.is_dir()]


def test_a_review_shows_what_never_leaves_and_says_nothing_of_it_where_all_is_shared(silo, home):
    def change(app):
        manifest = app / "septum.toml"
        manifest.write_text(f'{manifest.read_text()}\n[private]\nparameters = ["head.*", "w"]\n')

    add(silo, home)
    add(silo, home, version="1.1.0", change=change)
    lines = silo("review", "small==1.1.0").out.split("\n")
    (at,) = [number for number, line in enumerate(lines) if line.startswith("WHAT NEVER LEAVES THIS SILO")]
    assert lines[at + 1 : at + 4] == ["  head.*", "  w", ""]
    assert silo("review", "small==1.1.0", "--json").envelope["data"]["private"] == ["head.*", "w"]
    assert "WHAT NEVER LEAVES" not in silo("review", "small==1.0.0").out


def test_approving_may_say_on_which_dataset_and_a_wrong_one_approves_nothing(silo, small, home):
    config = home / "north" / "silo.toml"
    (home / "north.csv").write_text("age,ill\n50,1\n")
    config.write_text(config.read_text() + '\n[data.heart]\nsource = "csv"\npath = "../north.csv"\n')
    silo("add", small.path)
    refused = silo("approve", "small", "--data", "hart")
    assert refused.code == ExitCode.USAGE
    assert "did you mean 'heart'?" in refused.err
    assert "not approved" in silo("list").out
    before = config.read_text()
    assert "on heart" in silo("approve", "small", "--data", "heart").out
    assert config.read_text() == before + '\n[apps.small]\ndata = "heart"\n'
    assert silo("approve", "small", "--data", "heart").code == 0  # once is enough
    assert config.read_text().count("[apps.small]") == 1


def test_an_app_with_other_data_keeps_them(silo, small, home):
    config = home / "north" / "silo.toml"
    (home / "north.csv").write_text("age,ill\n50,1\n")
    data = '\n[data.heart]\nsource = "csv"\npath = "../north.csv"\n\n[apps.small]\ndata = "../north.csv"\n'
    config.write_text(config.read_text() + data)
    silo("add", small.path)
    refused = silo("approve", "small", "--data", "heart")
    assert "has other data" in refused.err
    assert "not approved" in silo("list").out
