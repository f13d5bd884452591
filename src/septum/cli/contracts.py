"""Which data contract does a steward mean? That of an app's folder, a package's file, or a package in her silo."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import ConfigError, NotFoundError
from septum.sdk.package import MANIFEST, read_manifest
from septum.sdk.package_file import SUFFIX, read_package
from septum.silo.packages import Packages

if TYPE_CHECKING:
    from septum.sdk.contract import Column
    from septum.silo.config import SiloConfig


def contract_of(named: str, silo_dir: Path) -> Mapping[str, Column]:
    """Of `--app NAMED`. Raises ConfigError, NotFoundError, AppError."""
    path = Path(named)
    if path.name == MANIFEST:
        return read_manifest(path.parent).columns
    if path.suffix == SUFFIX:
        return read_package(path).manifest.columns
    packages = Packages(silo_dir)
    if "/" not in named and path.is_dir():
        with contextlib.suppress(NotFoundError):
            digest = packages.meant(named)
            raise ConfigError(
                f"{named!r} is a folder here and a package in this silo",
                hint=f"./{named} is the folder, {digest} the package",
            )
    if "/" in named or path.is_dir():
        return read_manifest(path).columns
    return packages.find(named).package.manifest.columns


def contracts_of_users(config: SiloConfig, dataset: str, silo_dir: Path) -> dict[str, Mapping[str, Column]]:
    """Of every app in silo.toml that is trained on a dataset, of packages every version that is here.

    Raises ConfigError when there is none, NotFoundError for a package that is not here.
    """
    here: dict[str, dict[str, Mapping[str, Column]]] = {}
    for one in Packages(silo_dir).all():
        package = one.package
        here.setdefault(package.name, {})[f"{package.name}=={package.version}"] = package.manifest.columns
    found: dict[str, Mapping[str, Column]] = {}
    for name, app in config.apps.items():
        if app.dataset != dataset:
            continue
        if app.path is None and name not in here:
            raise NotFoundError(
                f"[apps.{name}] is trained on {dataset!r}, and its package is not in this silo",
                hint=f"septum silo app fetch {name} --dir {silo_dir}",
            )
        found |= {name: read_manifest(app.path).columns} if app.path is not None else here[name]
    if not found:
        titles = [title for versions in here.values() for title in versions]
        raise ConfigError(
            f"no app in silo.toml is trained on {dataset!r}",
            hint=f"say which contract: --app {', or --app '.join(titles) or 'APP_DIR'}",
        )
    return found
