"""Which apps may run in this silo? Folders of its own, as they were when the agent started, and approved packages.

What silo.toml pins must be what is there: a folder that was changed since keeps the agent from starting. A package that
a plan names and that is not here is fetched, looked at, and put on the shelf. It runs once the steward approved it, or
when a signer whom the policy trusts has signed it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import (
    AppError,
    ConfigError,
    ConnectionFailedError,
    NotFoundError,
    SeptumError,
    StorageError,
    TimedOutError,
    did_you_mean,
)
from septum.ports.channel import EGRESS_RULE, EgressError
from septum.ports.offers import Offers
from septum.protocol.plan import AppRef
from septum.protocol.silo import Denied
from septum.sdk.package import digest_of, read_manifest
from septum.silo.config import SiloConfig
from septum.silo.consent import ApprovedApp
from septum.silo.datasets import Dataset
from septum.silo.environment import Environments
from septum.silo.log import Log
from septum.silo.packages import Packages, Shelved
from septum.silo.policy import Policy

MAX_WAITING = 20  # packages that plans may bring here before the steward has said a word


@dataclass(frozen=True, slots=True)
class Folders:
    """Apps by name."""

    apps: Mapping[str, ApprovedApp]

    def find(self, app: AppRef) -> ApprovedApp | Denied:
        """The app that a plan names, if it is approved as it is."""
        found = self.apps.get(app.name)
        if found is None:
            known = did_you_mean(app.name, self.apps) if self.apps else "it has none"
            return Denied("apps", f"this silo has no app {app.name!r}; {known}")
        if app.digest != found.digest:
            return Denied(
                f"apps.{app.name}.digest",
                f"the plan's app {app.name} {app.version} has the digest {app.digest}, approved here is {found.digest}",
            )
        return found


@dataclass(frozen=True, slots=True)
class Library:
    """Folders first, then packages.

    datasets  what each app's name is trained on here, packages too
    fetch     a folder for what is being fetched
    """

    folders: Folders
    packages: Packages
    environments: Environments
    datasets: Mapping[str, Dataset]
    policy: Policy
    offers: Offers
    fetch: Path
    log: Log
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, app: AppRef) -> ApprovedApp | Denied:
        """The app that a plan names, if it may run here. Raises ConnectionFailedError and the like while fetching."""
        if app.name in self.folders.apps:
            return self.folders.find(app)
        dataset = self.datasets.get(app.name)
        if dataset is None:
            known = [*self.folders.apps, *self.datasets]
            nearest = did_you_mean(app.name, known) if known else "it has none"
            return Denied("apps", f"this silo has no data for an app {app.name!r}; {nearest}")
        with self._lock:
            return self._package(app, dataset)

    def _package(self, app: AppRef, dataset: Dataset) -> ApprovedApp | Denied:
        try:
            shelved = self._shelved(app)
            if isinstance(shelved, Denied):
                return shelved
            package = shelved.package
            folder = self.packages.open(package)
            self.environments.prepare(package, folder / "wheels")
        except (StorageError, ConnectionFailedError, TimedOutError):
            raise  # it may be asked again
        except EgressError as error:
            return Denied(EGRESS_RULE, error.message)
        except SeptumError as error:
            _tell(self.log, app, error)
            return Denied("apps", f"the package {app.name} {app.version} cannot be used here; the silo's log says why")
        return packaged(shelved, dataset, folder / "app", self.environments.paths(package))

    def _shelved(self, app: AppRef) -> Shelved | Denied:
        """The package, approved; it is fetched if it is not here."""
        try:
            shelved = self.packages.get(app.digest)
        except NotFoundError:
            if self.packages.revoked(app.digest):
                return Denied("apps", f"the package {app.name} {app.version} ({app.digest}) was revoked here")
            if (waiting := self.packages.waiting()) >= MAX_WAITING:
                return Denied("apps", f"{waiting} packages wait for a word of this silo's steward; no more are fetched")
            shelved = fetch(self.offers, self.packages, app.digest, self.fetch)
            self.log.info("package_fetched", app=app.name, app_digest=app.digest, signers=list(shelved.signers))
        if (shelved.package.name, shelved.package.version) != (app.name, app.version):
            named = f"{shelved.package.name} {shelved.package.version}"
            return Denied("apps", f"the plan calls it {app.name} {app.version}, the package is {named}")
        trusted = [signer for signer in shelved.signers if signer in self.policy.signers]
        if shelved.approval is None and trusted:
            shelved = self.packages.approve_unless_said(app.digest, trusted[0])
            if _by_signature(shelved):
                by = {"rule": "policy.signers", "by": trusted[0]}
                self.log.info("package_approved", app=app.name, app_digest=app.digest, **by)
        if not shelved.approved:
            said = "was revoked here" if shelved.approval is not None else "is not approved here"
        elif _by_signature(shelved) and not trusted:  # the key was taken out of the rules since
            said = "was approved by a signer who is no longer trusted here"
        else:
            said = ""
        if said:
            return Denied("apps", f"the package {app.name} {app.version} ({app.digest}) {said}")
        return shelved


def _by_signature(shelved: Shelved) -> bool:
    """Whether it was approved by a rule, and by no person."""
    return shelved.approval is not None and shelved.approval.by.startswith("ed25519:")


def _tell(log: Log, app: AppRef, error: SeptumError) -> None:
    log.error("package_not_usable", app=app.name, app_digest=app.digest, error=error.message, hint=error.hint)


def packaged(shelved: Shelved, dataset: Dataset, path: Path, paths: tuple[Path, ...] = ()) -> ApprovedApp:
    """A package as an app that may run: unpacked at `path`, with its dependencies in `paths`."""
    package = shelved.package
    return ApprovedApp(
        path=path,
        digest=package.digest,
        tree=package.tree,
        columns=package.manifest.columns,
        leaves=package.manifest.leaves,
        masked=package.manifest.masked,
        dataset=dataset,
        packaged=True,
        signers=shelved.signers,
        paths=paths,
        trains=package.manifest.trains,
        private=package.manifest.private,
    )


def fetch(offers: Offers, packages: Packages, digest: str, folder: Path) -> Shelved:
    """Bring a package from the coordinator to the shelf, not approved. Raises NotFoundError, AppError, AuthError."""
    offer = offers.offer(digest)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / digest.removeprefix("sha256:")
    try:
        offers.fetch_app(offer, path)
        shelved = packages.add(path, offer.signatures.encode())
    finally:
        path.unlink(missing_ok=True)
    if shelved.package.digest != digest:
        raise AppError(f"{digest} was asked for, and the package {shelved.package.digest} came")
    return shelved


def approve_folders(config: SiloConfig) -> Folders:
    """The apps with their folders' digests. Raises ConfigError for a folder that is not as it was pinned."""
    approved = {}
    for name, settings in config.apps.items():
        if settings.path is None:
            continue
        found = digest_of(settings.path)
        if settings.digest and settings.digest != found:
            raise ConfigError(
                f"[apps.{name}]: {settings.path} has the digest {found}, but {settings.digest} is approved",
                hint="restore the app; or read what changed, and write the new digest into silo.toml",
            )
        manifest = read_manifest(settings.path)
        approved[name] = ApprovedApp(
            path=settings.path,
            digest=found,
            tree=found,
            columns=manifest.columns,
            leaves=manifest.leaves,
            masked=manifest.masked,
            dataset=config.dataset_of(settings),
            trains=manifest.trains,
            private=manifest.private,
        )
    return Folders(approved)
