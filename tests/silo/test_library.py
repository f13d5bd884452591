"""Which apps may run: those that were approved by digest, fetched from wherever, verified here each time."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from dataclasses import asdict, replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.sdk.packaging import app_folder, built
from tests.silo.small_app import approved, write_app, write_data

from septum.adapters.identity.app_signatures import Signed, sign
from septum.errors import AppError, ConnectionFailedError, NotFoundError
from septum.ports.channel import EgressError
from septum.protocol.messages import AppOffer, blob_of
from septum.protocol.plan import AppRef
from septum.protocol.silo import Denied
from septum.silo import library as module
from septum.silo.consent import ApprovedApp
from septum.silo.datasets import plain_file
from septum.silo.environment import Environments
from septum.silo.library import Folders, Library, fetch
from septum.silo.log import JsonFormatter, Log
from septum.silo.packages import Packages, Verdict
from septum.silo.policy import Policy

ANN, BEN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


class Shelf:
    """What a coordinator offers: files by the digest that it says they have."""

    def __init__(self):
        self.files, self.signatures, self.down = {}, {}, False

    def put(self, digest, data, signatures=b""):
        self.files[digest], self.signatures[digest] = data, signatures

    def offers(self):
        return [self.offer(digest) for digest in self.files]

    def offer(self, digest):
        if self.down:
            raise ConnectionFailedError("the coordinator is away")
        if digest not in self.files:
            raise NotFoundError(f"there is no app {digest!r}")
        return AppOffer(
            digest, "small", "1.0.0", blob_of(self.files[digest]).without_bytes(), self.signatures[digest].decode()
        )

    def fetch_app(self, offer, path):
        path.write_bytes(self.files[offer.digest])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    return built(app_folder(folder / "app"), folder)


def key_of(key):
    return sign(Signed("", "", ""), key).key


def signed(package, *keys):
    what = Signed(package.name, package.version, package.digest)
    return json.dumps([asdict(sign(what, key)) for key in keys]).encode()


def ref(package):
    return AppRef(package.name, package.version, package.digest)


@pytest.fixture
def shelf(small):
    found = Shelf()
    found.put(small.digest, small.path.read_bytes())
    return found


@pytest.fixture
def logged(caplog):
    """What the silo's log says, all of it."""
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonFormatter())
    return caplog


@pytest.fixture
def library(tmp_path, shelf):
    return Library(
        folders=Folders({}),
        packages=Packages(tmp_path),
        environments=Environments(tmp_path / "envs"),
        datasets={"small": plain_file(write_data(tmp_path / "data.csv"))},
        policy=Policy(),
        offers=shelf,
        fetch=tmp_path / "fetched",
        log=Log(silo="north"),
    )


def test_a_package_that_is_not_approved_is_denied_and_is_here_to_be_read(library, small, tmp_path, logged):
    denied = library.find(ref(small))
    assert denied == Denied("apps", f"the package small 1.0.0 ({small.digest}) is not approved here")
    assert library.packages.get(small.digest).approval is None
    assert list((tmp_path / "fetched").iterdir()) == []
    assert not (tmp_path / "packages" / small.digest.removeprefix("sha256:") / "open").exists()
    assert "package_fetched" in logged.text


def test_an_approved_package_may_run_as_it_was_built(library, small, shelf):
    library.packages.add(small.path, signed(small, BEN))
    library.packages.approve(small.digest, "ann")
    shelf.down = True
    app = library.find(ref(small))
    assert isinstance(app, ApprovedApp)
    assert (app.digest, app.tree, app.packaged, app.signers) == (small.digest, small.tree, True, (key_of(BEN),))
    assert (app.path / "app.py").read_bytes() == small.file("app.py")
    assert (app.columns, app.leaves, app.paths) == (small.manifest.columns, small.manifest.leaves, ())


def test_a_signer_whom_the_policy_trusts_approves_and_that_is_written_down(library, small, shelf, logged):
    shelf.put(small.digest, small.path.read_bytes(), signed(small, BEN, ANN))
    trusting = replace(library, policy=Policy(signers=(key_of(ANN),)))
    assert isinstance(trusting.find(ref(small)), ApprovedApp)
    (word,) = library.packages.approvals()
    assert (word.verdict, word.digest, word.by) == (Verdict.APPROVED, small.digest, key_of(ANN))
    assert "policy.signers" in logged.text
    assert isinstance(trusting.find(ref(small)), ApprovedApp)
    assert len(list(library.packages.approvals())) == 1


def test_a_signer_whom_the_policy_does_not_name_approves_nothing(library, small, shelf):
    shelf.put(small.digest, small.path.read_bytes(), signed(small, BEN))
    assert isinstance(replace(library, policy=Policy(signers=(key_of(ANN),))).find(ref(small)), Denied)
    assert list(library.packages.approvals()) == []


def test_a_package_that_was_revoked_stays_so_whoever_signed_it(library, small):
    library.packages.add(small.path, signed(small, ANN))
    library.packages.approve(small.digest, "ann")
    library.packages.revoke(small.digest, "ann")
    denied = replace(library, policy=Policy(signers=(key_of(ANN),))).find(ref(small))
    assert denied == Denied("apps", f"the package small 1.0.0 ({small.digest}) was revoked here")
    assert not library.packages.get(small.digest).approved


REVOKE = """
import sys
from pathlib import Path
from septum.silo.packages import Packages

Packages(Path(sys.argv[1])).revoke(sys.argv[2], "ann")
"""


class Interrupted(Packages):
    """Packages that a steward revokes, in a process of her own, just after they were read for the `at`-th time."""

    def __init__(self, folder, at):
        super().__init__(folder)
        self.at, self.reads, self.folder, self.steward = at, 0, folder, None

    def get(self, digest):
        found = super().get(digest)
        self.reads += 1
        if self.reads == self.at:
            self.steward = subprocess.Popen([sys.executable, "-c", REVOKE, str(self.folder), digest])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.steward.wait(1.5)
        return found


@pytest.mark.processes
def test_a_steward_who_revokes_while_a_signature_is_looked_at_has_the_last_word(library, small, tmp_path):
    library.packages.add(small.path, signed(small, ANN))
    packages = Interrupted(tmp_path, at=1)
    denied = replace(library, packages=packages, policy=Policy(signers=(key_of(ANN),))).find(ref(small))
    assert packages.steward.wait(20) == 0
    assert denied == Denied("apps", f"the package small 1.0.0 ({small.digest}) was revoked here")
    assert [one.verdict for one in packages.approvals()] == [Verdict.REVOKED]


@pytest.mark.processes
def test_a_steward_who_revokes_while_a_signer_is_given_the_word_waits_and_has_the_last_one(library, small, tmp_path):
    library.packages.add(small.path, signed(small, ANN))
    packages = Interrupted(tmp_path, at=2)
    replace(library, packages=packages, policy=Policy(signers=(key_of(ANN),))).find(ref(small))
    assert packages.steward.wait(20) == 0
    assert [one.verdict for one in packages.approvals()] == [Verdict.APPROVED, Verdict.REVOKED]


def test_a_package_that_was_removed_is_denied_and_not_fetched_again(tmp_path, library, small, shelf):
    shelf.put(small.digest, small.path.read_bytes(), signed(small, ANN))
    trusting = replace(library, policy=Policy(signers=(key_of(ANN),)))
    assert isinstance(trusting.find(ref(small)), ApprovedApp)
    library.packages.remove(small.digest, "ben")
    assert trusting.find(ref(small)).reason == f"the package small 1.0.0 ({small.digest}) was revoked here"
    assert library.packages.digests() == []


def test_what_a_signer_approved_runs_only_as_long_as_the_policy_trusts_him(library, small):
    library.packages.add(small.path, signed(small, ANN))
    trusting = replace(library, policy=Policy(signers=(key_of(ANN),)))
    assert not isinstance(trusting.find(ref(small)), Denied)
    denied = library.find(ref(small))
    assert denied.rule == "apps"
    assert "by a signer who is no longer trusted here" in denied.reason
    library.packages.approve(small.digest, "ann")  # by hand
    assert not isinstance(library.find(ref(small)), Denied)


def test_a_forged_signature_of_a_trusted_signer_is_refused_and_nothing_is_kept(library, small, shelf, logged):
    forged = json.loads(signed(small, BEN))
    forged[0]["key"] = key_of(ANN)
    shelf.put(small.digest, small.path.read_bytes(), json.dumps(forged).encode())
    denied = replace(library, policy=Policy(signers=(key_of(ANN),))).find(ref(small))
    assert denied.rule == "apps"
    assert "does not hold" in logged.text
    assert library.packages.digests() == []


@pytest.mark.parametrize("change", [{"name": "small", "version": "2.0.0"}, {"name": "other"}])
def test_a_plan_that_calls_an_approved_package_something_else_is_denied(library, small, change):
    library.packages.add(small.path)
    library.packages.approve(small.digest, "ann")
    library.datasets["other"] = library.datasets["small"]
    denied = library.find(replace(ref(small), **change))
    assert denied.rule == "apps"
    assert "the package is small 1.0.0" in denied.reason


def test_other_bytes_under_a_digest_are_refused(library, small, shelf, tmp_path, logged):
    """The package itself is sound, and not what was asked for."""
    other = built(app_folder(tmp_path / "other", version="1.0.1"), tmp_path)
    shelf.put(small.digest, other.path.read_bytes())
    denied = library.find(ref(small))
    assert (denied.rule, "the silo's log says why" in denied.reason) == ("apps", True)
    assert f"{small.digest} was asked for" in logged.text
    with pytest.raises(AppError, match="was asked for"):
        fetch(shelf, library.packages, small.digest, tmp_path / "fetched")


@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04" + bytes(100)])
def test_bytes_that_are_no_package_are_refused_and_gone(library, shelf, tmp_path, data, logged):
    digest = f"sha256:{sha256(data).hexdigest()}"
    shelf.put(digest, data)
    assert library.find(AppRef("small", "1.0.0", digest)).rule == "apps"
    assert "package_not_usable" in logged.text
    assert [*(tmp_path / "fetched").iterdir(), *library.packages.digests()] == []


@pytest.mark.parametrize("signatures", [b"{", b"[1]"])
def test_signatures_that_are_none_are_a_denial_and_no_crash(library, small, shelf, signatures):
    shelf.put(small.digest, small.path.read_bytes(), signatures)
    assert library.find(ref(small)).rule == "apps"


def test_a_package_that_nobody_has_is_denied_and_not_asked_for_for_ever(library):
    assert library.find(AppRef("small", "1.0.0", "sha256:" + "0" * 64)).rule == "apps"
    assert library.find(AppRef("small", "1.0.0", "blake3:" + "0" * 64)).rule == "apps"


def test_a_coordinator_that_is_away_may_be_asked_again(library, small, shelf):
    shelf.down = True
    with pytest.raises(ConnectionFailedError):
        library.find(ref(small))


def test_an_app_without_data_here_is_denied_before_anything_is_fetched(library, small, tmp_path):
    denied = library.find(replace(ref(small), name="smal"))
    assert denied.rule == "apps"
    assert "no data for an app 'smal'" in denied.reason
    assert not (tmp_path / "fetched").exists()


def test_plans_cannot_fill_the_disk_with_packages(library, small, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    other = built(app_folder(tmp_path / "other", version="1.0.1"), tmp_path)
    library.packages.add(other.path)
    assert library.find(ref(small)).reason.startswith("1 packages wait for a word of this silo's steward")
    library.packages.revoke(other.digest, "ann")
    assert "is not approved here" in library.find(ref(small)).reason


def test_an_unpacked_app_that_was_changed_does_not_run(library, small, logged):
    library.packages.add(small.path)
    library.packages.approve(small.digest, "ann")
    path = library.find(ref(small)).path
    for one in (path, path / "app.py"):
        one.chmod(0o700)
    (path / "app.py").write_text("evil")
    assert library.find(ref(small)).rule == "apps"
    assert "was changed: its digest is" in logged.text


def test_a_package_that_lies_where_the_silo_does_not_go_is_denied_by_the_rules_name(library, small, shelf, monkeypatch):
    def elsewhere(offer, path):
        raise EgressError("the coordinator sends this silo to blobs.example.org")

    monkeypatch.setattr(shelf, "fetch_app", elsewhere)
    denied = library.find(ref(small))
    assert denied == Denied(
        "policy.egress_hosts", "policy.egress_hosts: the coordinator sends this silo to blobs.example.org"
    )
    assert library.packages.digests() == []


def test_what_the_silo_lacks_is_a_denial_and_the_log_says_what(library, tmp_path, logged):
    app = app_folder(tmp_path / "app")
    manifest = app / "septum.toml"
    manifest.write_text(manifest.read_text() + '[dependencies]\npreinstalled = ["no-such-thing>=1"]\n')
    package = built(app, tmp_path)
    library.packages.add(package.path)
    library.packages.approve(package.digest, "ann")
    assert library.find(ref(package)).rule == "apps"
    assert "this silo has no no-such-thing" in logged.text


def test_a_folder_of_the_silos_own_comes_before_packages(library, small, tmp_path):
    own = approved(write_app(tmp_path / "own"), tmp_path / "data.csv")
    with_own = replace(library, folders=Folders({"small": own}))
    assert with_own.find(AppRef("small", "1.0.0", own.digest)) == own
    assert with_own.find(ref(small)).rule == "apps.small.digest"
