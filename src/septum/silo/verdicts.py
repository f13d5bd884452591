"""What do a silo's rules say of the apps that it has? Without a run, so that a steward can try her rules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.silo.config import SiloConfig
from septum.silo.consent import ApprovedApp, of_app
from septum.silo.library import approve_folders, packaged
from septum.silo.packages import Packages


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule`: the first that keeps the app from running; empty if none does."""

    app: str
    kind: str
    rule: str = ""
    why: str = ""


def verdicts(silo_dir: Path, config: SiloConfig) -> list[Verdict]:
    """One for each app: folders first, then packages. Raises ConfigError for a folder that is not as it was pinned."""
    folders = approve_folders(config).apps
    found = [_verdict(name, "folder", config, app) for name, app in folders.items()]
    for shelved in Packages(silo_dir).all():
        package = shelved.package
        title = f"{package.name} {package.version}"
        if not shelved.approved:
            found.append(Verdict(title, "package", "apps", "it is not approved"))
        elif package.name not in config.apps:
            found.append(Verdict(title, "package", "apps", f"[apps.{package.name}] names no data for it"))
        else:
            dataset = config.dataset_of(config.apps[package.name])
            app = packaged(shelved, dataset, silo_dir)  # where it lies plays no part in what the rules say
            found.append(_verdict(title, "package", config, app))
    return found


def _verdict(title: str, kind: str, config: SiloConfig, app: ApprovedApp) -> Verdict:
    denied = of_app(config.policy, app, title)
    return Verdict(title, kind) if denied is None else Verdict(title, kind, denied.rule, denied.reason)
