"""A silo's shelf: what is on it runs nothing, and what was approved is what runs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.sdk.packaging import app_folder, built

from septum.adapters.identity.app_signatures import Signed, sign
from septum.errors import AppError, AuthError, ConfigError, NotFoundError, SeptumError, TooLargeError
from septum.sdk.package import digest_of
from septum.sdk.package_file import read_package
from septum.silo import packages as module
from septum.silo.packages import Packages, Verdict

ANN, BEN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    return built(app_folder(folder / "app", wheels={"tiny": {"tiny.py": "x = 1\n"}}), folder)


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("newer")
    return built(app_folder(folder / "app", version="1.1.0"), folder)


def signed(package, *keys):
    what = Signed(package.name, package.version, package.digest)
    return json.dumps([asdict(sign(what, key)) for key in keys]).encode()


@pytest.fixture
def packages(tmp_path):
    return Packages(tmp_path / "silo")


def place(tmp_path, package):
    return tmp_path / "silo" / "packages" / package.digest.removeprefix("sha256:")


def names(tmp_path):
    found = (path.name for path in (tmp_path / "silo" / "packages").iterdir())
    return sorted(name for name in found if not name.endswith(".lock"))


def rewrite(path, change):
    """Change a file that nobody may write to."""
    for one in (path, path.parent):
        one.chmod(0o700)
    path.write_bytes(change(path.read_bytes()))


def test_a_package_that_is_taken_in_is_not_approved(packages, small, tmp_path):
    shelved = packages.add(small.path, signed(small, ANN))
    assert (shelved.package.digest, shelved.approved, shelved.approval) == (small.digest, False, None)
    assert shelved.signers == (sign(Signed("", "", ""), ANN).key,)
    assert packages.get(small.digest) == shelved
    assert list(packages.all()) == [shelved]
    assert names(tmp_path) == [small.digest.removeprefix("sha256:")]
    assert packages.waiting() == 1


def test_a_second_time_nothing_changes_but_the_signatures(packages, small, tmp_path):
    packages.add(small.path)
    packages.approve(small.digest, "ann")
    assert len(packages.add(small.path, signed(small, ANN, BEN)).signers) == 2
    assert len(packages.add(small.path).signers) == 2
    assert packages.get(small.digest).approved
    assert len(names(tmp_path)) == 2


def test_nobody_else_can_read_a_package_and_nobody_can_write_what_runs(packages, small, tmp_path):
    packages.add(small.path, signed(small, ANN))
    packages.open(packages.approve(small.digest, "ann").package)
    folder = tmp_path / "silo" / "packages"
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    for path in (place(tmp_path, small) / "open").rglob("*"):
        assert path.stat().st_mode & 0o222 == 0, path


def test_the_last_word_counts_and_every_word_is_kept(packages, small):
    packages.add(small.path)
    for by, say in (("ann", packages.approve), ("ben", packages.revoke), ("ann", packages.approve)):
        say(small.digest, by)
        assert packages.get(small.digest).approved == (say == packages.approve)
    words = list(packages.approvals())
    assert [(one.verdict, one.by) for one in words] == [
        (Verdict.APPROVED, "ann"),
        (Verdict.REVOKED, "ben"),
        (Verdict.APPROVED, "ann"),
    ]
    assert {(one.digest, one.app) for one in words} == {(small.digest, "small 1.0.0")}
    assert packages.waiting() == 0


def test_the_approval_of_one_digest_is_not_that_of_another(packages, small, newer):
    packages.add(small.path)
    packages.add(newer.path)
    packages.approve(small.digest, "ann")
    assert not packages.get(newer.digest).approved


def test_what_was_revoked_is_not_unpacked_any_more(packages, small, tmp_path):
    packages.add(small.path)
    packages.open(packages.approve(small.digest, "ann").package)
    packages.revoke(small.digest, "ann")
    assert packages.fold(lambda digest: digest == small.digest) == ()  # a run is at work with it
    assert (place(tmp_path, small) / "open" / "app" / "app.py").exists()
    assert packages.fold(lambda _: False) == (small.digest,)
    assert [path.name for path in place(tmp_path, small).iterdir()] == ["file.septum"]
    assert packages.fold(lambda _: False) == ()


def test_what_is_approved_stays_unpacked(packages, small, tmp_path):
    packages.add(small.path)
    packages.open(packages.approve(small.digest, "ann").package)
    packages.revoke(small.digest, "ann")
    packages.approve(small.digest, "ann")
    assert packages.fold(lambda _: False) == ()
    assert (place(tmp_path, small) / "open").exists()


@pytest.mark.parametrize("what", ["bytes", "link", "folder", "none", "large", "signature", "signatures"])
def test_what_is_refused_leaves_nothing(packages, small, tmp_path, monkeypatch, what):
    path, signatures, error = tmp_path / "x.septum", b"", AppError
    match what:
        case "bytes":
            path.write_bytes(small.path.read_bytes()[:-1])
        case "link":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "large":
            path.write_bytes(small.path.read_bytes())
            monkeypatch.setattr(module, "MAX_BYTES", 100)
            error = TooLargeError
        case "signature":
            path.write_bytes(small.path.read_bytes())
            signatures, error = signed(small, ANN).replace(b"small", b"smell"), AuthError
            signatures = json.dumps([asdict(sign(Signed("small", "1.0.1", small.digest), ANN))]).encode()
        case "signatures":
            path.write_bytes(small.path.read_bytes())
            signatures, error = b"{", SeptumError
    with pytest.raises(error):
        packages.add(path, signatures)
    folder = tmp_path / "silo" / "packages"
    assert not folder.exists() or names(tmp_path) == []


# --- changed here ---------------------------------------------------------------------------------------------------


def test_a_file_that_was_changed_after_approval_is_refused_and_can_still_be_revoked(packages, small, newer, tmp_path):
    packages.add(small.path)
    packages.add(newer.path)
    packages.approve(small.digest, "ann")
    rewrite(place(tmp_path, small) / "file.septum", lambda _: newer.path.read_bytes())
    with pytest.raises(AppError, match=rf"file\.septum was changed: its digest is {newer.digest}") as caught:
        packages.get(small.digest)
    assert f"rm -r {place(tmp_path, small)}" in caught.value.hint
    rewrite(place(tmp_path, small) / "file.septum", lambda data: data[:-1])
    with pytest.raises(AppError, match=r"file\.septum: "):
        packages.approve(small.digest, "ann")
    assert [one.package.version for one in packages.all()] == ["1.1.0"]
    assert packages.meant("small==1.0.0") == small.digest
    packages.revoke(packages.meant("small==1.0.0"), "ann")
    assert [(one.verdict, one.app) for one in packages.approvals()][-1] == (Verdict.REVOKED, "small 1.0.0")


@pytest.mark.processes
def test_an_unpacked_app_that_was_changed_is_refused_and_unpacked_again_as_the_hint_says(packages, small, tmp_path):
    packages.add(small.path)
    package = packages.approve(small.digest, "ann").package
    opened = packages.open(package)
    rewrite(opened / "app" / "app.py", lambda data: data + b"\nimport evil\n")
    with pytest.raises(AppError, match=rf"app was changed: its digest is sha256:.*, not {small.tree}") as caught:
        packages.open(package)
    command = caught.value.hint.partition(";")[0]
    assert os.system(command) == 0
    assert digest_of(packages.open(package) / "app") == small.tree
    (opened / "app").chmod(0o700)
    (opened / "app" / "more.py").write_text("")
    with pytest.raises(AppError, match="was changed"):
        packages.open(package)


def test_signatures_that_were_changed_are_refused_and_named(packages, small, tmp_path):
    packages.add(small.path, signed(small, ANN))
    path = place(tmp_path, small) / "file.septum.sig"
    said = json.loads(path.read_bytes())
    said[0]["key"] = sign(Signed("", "", ""), BEN).key
    rewrite(path, lambda _: json.dumps(said).encode())
    with pytest.raises(AuthError, match=f"the signature of {said[0]['key']} does not hold"):
        packages.get(small.digest)


def test_a_line_of_the_approvals_that_was_changed_is_named(packages, small, tmp_path):
    packages.add(small.path)
    packages.approve(small.digest, "ann")
    path = tmp_path / "silo" / "packages" / "approvals.jsonl"
    path.write_bytes(path.read_bytes() + b'{"verdict":"approved"}\n')
    with pytest.raises(ConfigError, match=r"approvals\.jsonl, line 2"):
        packages.get(small.digest)


# --- kills ----------------------------------------------------------------------------------------------------------


def test_what_a_kill_left_behind_is_no_package(packages, small, tmp_path):
    folder = tmp_path / "silo" / "packages"
    (folder / ".half").mkdir(parents=True)
    (folder / ".half" / "file.septum").write_bytes(small.path.read_bytes()[:50])
    packages.add(small.path)
    package = packages.approve(small.digest, "ann").package
    (place(tmp_path, small) / ".open.half" / "app").mkdir(parents=True)
    assert [one.package.digest for one in packages.all()] == [small.digest]
    assert digest_of(packages.open(package) / "app") == small.tree


HALF_WAY = """
import sys, time
from pathlib import Path
from septum.silo import packages

def never(path):
    print("half way", flush=True)
    time.sleep(600)

packages.read_package = never
packages.Packages(Path(sys.argv[1])).add(Path(sys.argv[2]))
"""


@pytest.mark.processes
def test_what_a_killed_command_left_is_swept_and_what_a_living_one_has_is_not(packages, small, tmp_path):
    folder = tmp_path / "silo" / "packages"
    command = [sys.executable, "-c", HALF_WAY, str(tmp_path / "silo"), str(small.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "half way\n"
            (part,) = [path for path in folder.iterdir() if path.is_dir()]
            assert packages.sweep() == 0
            assert (part / "file.septum").read_bytes() == small.path.read_bytes()
        finally:
            process.kill()
    assert part.exists()
    assert packages.sweep() == 1
    assert names(tmp_path) == []


def test_approving_sweeps_what_a_kill_left_and_keeps_what_is_here(packages, small, tmp_path):
    packages.add(small.path)
    half = place(tmp_path, small) / ".open.half"
    (half / "app").mkdir(parents=True)
    (half / "app" / "app.py").write_text("")
    (half / "app").chmod(0o500)
    going = tmp_path / "silo" / "packages" / ".going"
    going.mkdir()
    packages.approve(small.digest, "ann")
    assert (half.exists(), going.exists()) == (False, False)
    assert packages.get(small.digest).approved
    assert packages.sweep() == 0


def test_what_is_removed_is_gone_and_the_last_word_is_no(packages, small, newer, tmp_path):
    for one in (small, newer):
        packages.add(one.path)
        packages.open(packages.approve(one.digest, "ann").package)
    for _ in range(2):
        packages.remove(small.digest, "ben")
        assert packages.digests() == [newer.digest]
        assert names(tmp_path) == sorted(["approvals.jsonl", newer.digest.removeprefix("sha256:")])
        assert packages.revoked(small.digest)
        assert not packages.revoked(newer.digest)
    words = [(word.verdict, word.digest, word.app, word.by) for word in packages.approvals()]
    assert words[2:] == [(Verdict.REVOKED, small.digest, "small 1.0.0", "ben")]
    assert not packages.add(small.path).approved
    assert packages.approve(small.digest, "ann").approved


def test_an_approval_that_outlived_its_folder_is_taken_back(packages, small, tmp_path):
    """Somebody deleted the folder by hand: fetched anew, the package must not count as approved."""
    packages.add(small.path)
    packages.approve(small.digest, "ann")
    shutil.rmtree(place(tmp_path, small))
    packages.remove(small.digest, "ben")
    assert packages.revoked(small.digest)
    assert not packages.add(small.path).approved


def test_a_package_that_was_changed_here_can_be_removed(packages, small, tmp_path):
    packages.add(small.path)
    packages.approve(small.digest, "ann")
    rewrite(place(tmp_path, small) / "file.septum", lambda data: data[:-1])
    with pytest.raises(AppError) as refused:
        packages.get(small.digest)
    packages.remove(small.digest, "ben")
    assert packages.digests() == []
    assert packages.add(small.path).package == packages.get(small.digest).package
    assert refused.value.message


def test_a_word_that_a_kill_cut_was_never_said_and_the_next_one_is_whole(packages, small, tmp_path):
    packages.add(small.path)
    packages.approve(small.digest, "ann")
    path = tmp_path / "silo" / "packages" / "approvals.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert packages.get(small.digest).approved
    packages.revoke(small.digest, "ben")
    assert [one.verdict for one in packages.approvals()] == [Verdict.APPROVED, Verdict.REVOKED]


def test_words_that_are_said_at_one_time_are_all_kept(packages, small, newer, tmp_path):
    packages.add(small.path)
    packages.add(newer.path)

    def say(digest):
        for _ in range(20):
            Packages(tmp_path / "silo").approve(digest, "ann")

    threads = [threading.Thread(target=say, args=(one.digest,)) for one in (small, newer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(packages.approvals())) == 40


def test_whoever_speaks_waits_for_the_one_who_is_writing(packages, small, tmp_path):
    """The agent may approve by a signature while a steward revokes: neither word may go lost."""
    packages.add(small.path)
    packages.approve(small.digest, "ann")
    said = threading.Thread(target=packages.revoke, args=(small.digest, "ben"))
    with (tmp_path / "silo" / "packages" / "approvals.jsonl").open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        said.start()
        said.join(0.5)
        assert said.is_alive()
        assert packages.get(small.digest).approved
    said.join()
    assert not packages.get(small.digest).approved


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_package_is_meant_by_its_name_version_or_digest(packages, small, newer):
    packages.add(small.path)
    assert packages.find("small").package.digest == small.digest
    packages.add(newer.path)
    for named in ("small==1.1.0", newer.digest, newer.digest[:20], newer.digest.removeprefix("sha256:")[:8]):
        assert packages.find(named).package.version == "1.1.0", named
    with pytest.raises(ConfigError, match=f"'small' could be .*{small.digest}"):
        packages.find("small")


@pytest.mark.parametrize("named", ["", "sha256:", "s", "sha", "smal", "small==", "==1.0.0", "small==2.0.0", "0"])
def test_what_is_no_name_of_a_package_means_none(packages, small, named):
    packages.add(small.path)
    if named == "small==":
        assert packages.meant(named) == small.digest
        return
    with pytest.raises(NotFoundError, match=r"there is no package"):
        packages.meant(named)


def test_a_package_is_read_once_for_each_use(packages, small, newer, monkeypatch):
    reads = []

    def counted(path):
        reads.append(path)
        return read_package(path)

    monkeypatch.setattr(module, "read_package", counted)
    for one in (small, newer):
        packages.add(one.path)
        assert len(reads) == 1
        reads.clear()
    packages.approve(small.digest, "ann")
    for use in (lambda: packages.find("small==1.1.0"), lambda: packages.find(small.digest[:20])):
        reads.clear()
        use()
        assert len(reads) == 1
    reads.clear()
    assert packages.meant("small==1.0.0") == small.digest
    packages.revoke(small.digest, "ben")
    assert reads == []


def test_a_few_digits_are_no_digest(packages, small):
    packages.add(small.path)
    with pytest.raises(NotFoundError) as caught:
        packages.meant(small.digest.removeprefix("sha256:")[:7])
    assert "8 digits" in caught.value.hint


def test_a_package_that_is_not_here_is_said_so(packages, small):
    with pytest.raises(NotFoundError, match="it has none"):
        packages.get(small.digest)
    packages.add(small.path)
    with pytest.raises(NotFoundError, match=small.digest):
        packages.revoke("sha256:" + "0" * 64, "ann")
    with pytest.raises(ConfigError, match="is no digest of a package"):
        packages.get("../../etc/passwd")


def test_an_empty_silo_has_no_packages(tmp_path):
    assert list(Packages(tmp_path).all()) == []
    assert Packages(tmp_path).waiting() == 0
    assert list(Path(tmp_path).iterdir()) == []
