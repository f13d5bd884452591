"""Which packages are in this silo, and which of them did its steward approve?

    packages/DIGEST/file.septum   as it came, and file.septum.sig beside it
    packages/DIGEST/open/         unpacked, read-only: app/ and wheels/
    packages/approvals.jsonl      who approved or revoked what, and when: one line each, only ever added to
    packages/.lock                shared by whoever has a temporary folder here, alone by who sweeps those of the dead
    packages/.approvals.lock      held by whoever reads what was said, decides, and says something

A package that is here runs nothing. What runs is looked at again each time: the file by its digest, the folder by its
tree's.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from septum.adapters.files import replace_file
from septum.adapters.identity.app_signatures import Signed, sidecar, verified
from septum.errors import (
    AppError,
    ConfigError,
    NotFoundError,
    SeptumError,
    StorageError,
    TooLargeError,
    did_you_mean,
)
from septum.sdk.package import digest_of
from septum.sdk.package_file import Package, description_in, read_description, read_package, remove, unpack
from septum.sdk.stored_zip import MAX_BYTES
from septum.silo.audit import SiloKind, record
from septum.silo.lines import add_record, records

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BEGINNING = re.compile(r"(sha256:)?[0-9a-f]{8,64}")
_FILE = "file.septum"
_LOCK = ".lock"
_APPROVALS_LOCK = ".approvals.lock"


class Verdict(Enum):
    """What a steward says of a package."""

    APPROVED = "approved"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Approval:
    """A line of the file. `at`: Unix time, seconds; `by`: the user of the system, or the signer that policy trusts."""

    at: float
    verdict: Verdict
    digest: str
    app: str
    by: str


@dataclass(frozen=True, slots=True)
class Shelved:
    """A package that is here, verified. `signers`: the keys whose signatures hold."""

    package: Package
    signers: tuple[str, ...]
    approval: Approval | None

    @property
    def approved(self) -> bool:
        """Whether the last word of the steward is yes."""
        return self.approval is not None and self.approval.verdict is Verdict.APPROVED


class Packages:
    """The packages of one silo."""

    def __init__(self, silo_dir: Path) -> None:
        self._silo_dir = silo_dir
        self._folder = silo_dir / "packages"
        self._approvals = self._folder / "approvals.jsonl"

    def add(self, file: Path, signatures: bytes = b"") -> Shelved:
        """Take a package in; one that is here gets these signatures, if there are any. It runs nothing.

        Raises AppError for one that is not sound, AuthError for a signature that does not hold.
        """
        _check_file(file)
        try:
            with self._making(), self._temporary() as part:
                shutil.copyfile(file, part / _FILE)  # where nobody else changes it while it is looked at
                os.chmod(part / _FILE, 0o400)
                package = read_package(part / _FILE)
                signers = verified(signatures, Signed(package.name, package.version, package.digest))
                target = self._of(package.digest)
                known = target.exists()
                if signatures:
                    replace_file(sidecar((target if known else part) / _FILE), signatures)
                if not known:
                    part.rename(target)
        except OSError as error:
            raise StorageError(
                f"{file} cannot be taken in: {error.strerror}", hint=f"df -h {self._folder}; ls -l {file}"
            ) from error
        if known:
            return self.get(package.digest)  # which may have been changed, and have other signatures
        return Shelved(replace(package, path=target / _FILE), signers, self._last_word(package.digest))

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        part = Path(tempfile.mkdtemp(prefix=".", dir=self._folder))
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def get(self, digest: str) -> Shelved:
        """A package, verified again. Raises NotFoundError, and AppError when it was changed here."""
        if not _DIGEST.fullmatch(digest):
            raise ConfigError(f"{digest[:80]!r} is no digest of a package: expected sha256: and 64 hex digits")
        path = self._of(digest) / _FILE
        if not path.exists():
            known = self.digests()
            raise NotFoundError(
                f"package {digest} is not in this silo; {did_you_mean(digest, known)}"
                if known
                else f"package {digest} is not in this silo; it has none",
                hint="septum silo app fetch NAME --dir DIR, or septum silo app add FILE --dir DIR",
            )
        package = read_package(path)
        if package.digest != digest:
            raise AppError(
                f"{path} was changed: its digest is {package.digest}",
                hint=_away(path.parent, "then fetch it again"),
            )
        signed = Signed(package.name, package.version, digest)
        signatures = sidecar(path).read_bytes() if sidecar(path).exists() else b""
        return Shelved(package, verified(signatures, signed), self._last_word(digest))

    def all(self) -> Iterator[Shelved]:
        """Every package that is as it came, by name and version."""
        found = [one for digest in self.digests() if isinstance(one := self.look(digest), Shelved)]
        return iter(sorted(found, key=lambda one: (one.package.name, one.package.version)))

    def look(self, digest: str) -> Shelved | SeptumError:
        """A package, or what is wrong with it."""
        try:
            return self.get(digest)
        except SeptumError as error:
            return error

    def title(self, digest: str) -> tuple[str, str]:
        """A package's name and version: as a steward has named it, or else as it says itself; empty if it does not.

        The package is not verified by this.
        """
        word = self._last_word(digest)
        if word is not None and word.app:
            name, _, version = word.app.partition(" ")
            return name, version
        try:
            said = read_description(description_in(self._of(digest) / _FILE))
        except (SeptumError, OSError):
            return "", ""
        return said.name, said.version

    def find(self, named: str) -> Shelved:
        """The package that a digest, its beginning, a name or NAME==VERSION means. Raises as `meant` and `get` do."""
        return self.get(self.meant(named))

    @staticmethod
    def is_digest(named: str) -> bool:
        """Whether this is a whole digest of a package, here or not."""
        return _DIGEST.fullmatch(named) is not None

    def meant(self, named: str) -> str:
        """The digest that a digest, its beginning, a name or NAME==VERSION means. Raises NotFoundError, ConfigError."""
        titles = {digest: self.title(digest) for digest in self.digests()}
        name, _, version = named.partition("==")
        found = {digest for digest, title in titles.items() if name and title in {(name, version or title[1])}}
        if _BEGINNING.fullmatch(named):
            found |= {one for one in titles if one.startswith(f"sha256:{named.removeprefix('sha256:')}")}
        if len(found) == 1:
            return found.pop()
        if not found:
            known = sorted({name for name, _ in titles.values() if name})
            nearest = did_you_mean(named, known) if known else "there is none"
            raise NotFoundError(
                f"there is no package {named!r} in this silo; {nearest}",
                hint="septum silo app list; of a digest, give 8 digits or more",
            )
        meant = ", ".join(f"{titles[one][0]}=={titles[one][1]} ({one})" for one in sorted(found))
        raise ConfigError(f"{named!r} could be {meant}", hint="name it with ==VERSION, or by its digest")

    def approve(self, digest: str, by: str) -> Shelved:
        """Approve a package: from now on plans that name this digest may run."""
        self.sweep()
        with self._deciding():
            return self._approved(self.get(digest), by)

    def approve_unless_said(self, digest: str, signer: str) -> Shelved:
        """Approve a package for a signer, unless somebody said yes or no before: then that counts."""
        self.sweep()
        with self._deciding():
            shelved = self.get(digest)
            return shelved if shelved.approval is not None else self._approved(shelved, signer)

    def revoke(self, digest: str, by: str) -> None:
        """Take an approval back; also of a package that is not sound any more. What is unpacked stays until `fold`."""
        with self._deciding():
            if digest not in self.digests():
                self.get(digest)
            self._say(Verdict.REVOKED, digest, self.title(digest), by)

    def fold(self, at_work: Callable[[str], bool]) -> tuple[str, ...]:
        """Delete what is unpacked of revoked packages, but of those with which a run is at work; their digests."""
        with self._deciding():
            opened = [digest for digest in self.digests() if (self._of(digest) / "open").exists()]
            going = tuple(digest for digest in opened if self.revoked(digest) and not at_work(digest))
            for digest in going:
                with self._making():
                    remove(self._of(digest) / "open")
        return going

    def revoked(self, digest: str) -> bool:
        """Whether the last word of the steward is no, be the package here or not."""
        word = self._last_word(digest)
        return word is not None and word.verdict is Verdict.REVOKED

    def remove(self, digest: str, by: str) -> None:
        """Take an approval back, and delete the package, sound or not; one that was never here is ignored.

        What was said of it stays in the file of approvals, and a plan that names it is refused from now on: also where
        its folder was deleted by hand before.
        """
        with self._deciding():
            here, word = digest in self.digests(), self._last_word(digest)
            if (here or word is not None) and not self.revoked(digest):
                self._say(Verdict.REVOKED, digest, self.title(digest), by)
            if not here:
                return
            with self._making():
                remove(self._of(digest))

    def sweep(self) -> int:
        """Delete the temporary folders that a kill left; how many. None while somebody, who may live, has one."""
        if not self._folder.is_dir():
            return 0
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            homes = [self._folder, *(self._of(digest) for digest in self.digests())]
            left = [path for home in homes for path in home.iterdir() if path.name[0] == "." and path.is_dir()]
            for path in left:
                remove(path)
            return len(left)

    @contextmanager
    def _making(self) -> Iterator[None]:
        """While this lasts no temporary folder is swept. The system takes the lock back from a process that dies."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """While this lasts nobody else says anything: no word is decided on by one that does not count any more."""
        if not self._folder.is_dir():  # nothing was said
            yield
            return
        with self._lock(_APPROVALS_LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _lock(self, name: str = _LOCK) -> Iterator[int]:
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open(self, package: Package) -> Path:
        """The folder of an approved package, unpacked and as it was built. Raises AppError when it was changed."""
        target = self._of(package.digest) / "open"
        if not target.exists():
            with self._making():
                unpack(package, target)
        found = digest_of(target / "app")
        if found != package.tree:
            raise AppError(
                f"{target / 'app'} was changed: its digest is {found}, not {package.tree}",
                hint=_away(target, "it is unpacked again"),
            )
        return target

    def approvals(self) -> Iterator[Approval]:
        """Every word of the steward, oldest first. Raises ConfigError naming a line that is none."""
        return records(self._approvals, Approval)

    def _approved(self, shelved: Shelved, by: str) -> Shelved:
        title = (shelved.package.name, shelved.package.version)
        return replace(shelved, approval=self._say(Verdict.APPROVED, shelved.package.digest, title, by))

    def _say(self, verdict: Verdict, digest: str, title: tuple[str, str], by: str) -> Approval:
        word = Approval(time.time(), verdict, digest, " ".join(title), by)
        add_record(self._approvals, word)
        kind = SiloKind.APP_APPROVED if verdict is Verdict.APPROVED else SiloKind.APP_REVOKED
        record(self._silo_dir, kind, by, app=" ".join(title), digest=digest)
        return word

    def _last_word(self, digest: str) -> Approval | None:
        return next((one for one in reversed(list(self.approvals())) if one.digest == digest), None)

    def digests(self) -> list[str]:
        """Of every package that is here, sound or not."""
        if not self._folder.is_dir():
            return []
        found = (f"sha256:{path.name}" for path in self._folder.iterdir())
        return sorted(digest for digest in found if _DIGEST.fullmatch(digest))

    def waiting(self) -> int:
        """How many packages nobody has said yes or no to."""
        return len({*self.digests()} - {one.digest for one in self.approvals()})

    def _of(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")


def _check_file(path: Path) -> None:
    """Whether it may be copied. Raises AppError, TooLargeError."""
    try:
        found = path.stat()
    except OSError as error:
        raise AppError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    if not stat.S_ISREG(found.st_mode):
        raise AppError(f"{path} is no file", hint=f"ls -ld {path}")
    if found.st_size > MAX_BYTES:
        raise TooLargeError(f"{path} has {found.st_size} bytes, a package at most {MAX_BYTES}")


def _away(folder: Path, what: str) -> str:
    """The command that removes a folder nobody may write to."""
    return f"chmod -R u+w {folder} && rm -r {folder}; {what}"
