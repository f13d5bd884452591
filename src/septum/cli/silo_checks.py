"""Will a silo's agent work as its directory says? Settings, apps, data and the way to the coordinator, before a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from septum.adapters.channel.enroll import reach
from septum.adapters.tls import client_context
from septum.cli.checks import Check, Level
from septum.errors import AppError, DataError, SeptumError
from septum.sdk.contract import Column
from septum.silo.config import CONFIG_NAME, SiloConfig, read_config
from septum.silo.environment import Environments, State, check_preinstalled
from septum.silo.library import approve_folders
from septum.silo.line import CA_NAME, proxies_of
from septum.silo.packages import Packages, Shelved
from septum.silo.read_messages import Refused
from septum.silo.reading import check_data


def silo_checks(folder: Path) -> tuple[Check, ...]:
    """What can be known of a silo without a run. Nothing of an app's code is run, and nothing leaves the silo."""
    try:
        config = read_config(folder / CONFIG_NAME)
    except SeptumError as error:
        return (_failed("silo.toml", error),)
    settings = Check("silo.toml", Level.OK, f"silo {config.name} of {config.coordinator}")
    apps = (check for name in config.apps for check in app_checks(folder, config, name))
    return (settings, *apps, coordinator(folder, config))


def app_checks(folder: Path, config: SiloConfig, name: str) -> tuple[Check, ...]:
    """Whether an app is as it was approved, and its data are what its contract asks for; of each approved package."""
    settings = config.apps[name]
    if settings.path is not None:
        title = f"app {name}"
        try:
            approved = approve_folders(replace(config, apps={name: settings})).apps[name]
        except SeptumError as error:
            return (_failed(title, error),)
        return (_data_check(title, folder, config, name, (approved.columns, approved.digest)),)
    packages = Packages(folder)
    titles = {digest: packages.title(digest) for digest in packages.digests()}
    here = {digest: version for digest, (named, version) in titles.items() if named == name}
    looked = {f"app {name} {version}": packages.look(digest) for digest, version in here.items()}
    usable = {title: one for title, one in looked.items() if isinstance(one, SeptumError) or one.approved}
    if not usable:
        said = "none of its packages is approved here" if here else "its package is not in this silo"
        verb = "review" if here else "fetch"
        return (_warned(f"app {name}", said, f"septum silo app {verb} {name} --dir {folder}"),)
    return tuple(_package_check(title, folder, config, name, one) for title, one in sorted(usable.items()))


def _package_check(title: str, folder: Path, config: SiloConfig, name: str, found: Shelved | SeptumError) -> Check:
    """Whether an approved package is sound, its environment stands, and its data are what its contract asks for."""
    if isinstance(found, SeptumError):
        return _failed(title, found)
    standing = Environments(folder / "envs").standing(found.package)
    if standing.state is State.FAILED:
        hint = f"septum silo app approve {found.package.digest} --dir {folder}"
        return _failed(title, AppError(f"its wheels are not installed: {standing.reason}", hint=hint))
    try:
        check_preinstalled(found.package.preinstalled)
    except SeptumError as error:
        return _failed(title, error)
    return _data_check(title, folder, config, name, (found.package.manifest.columns, found.package.digest))


def _data_check(
    title: str, folder: Path, config: SiloConfig, name: str, app: tuple[Mapping[str, Column], str]
) -> Check:
    """Whether the data of an app are what its contract asks for. `app`: its columns and its digest."""
    columns, digest = app
    settings = config.apps[name]
    try:
        read = check_data(config.dataset_of(settings), columns)
    except SeptumError as error:
        return _failed(title, error)
    where = f"[data.{settings.dataset}]" if settings.dataset else str(settings.data)
    if isinstance(read, Refused):
        hint = f"septum silo data check {settings.dataset or 'NAME'} --dir {folder} shows where"
        return _failed(title, DataError(f"{where} violates the app's contract", hint=hint))
    return Check(title, Level.OK, f"{read.rows} rows in {where}; {digest}")


def coordinator(folder: Path, config: SiloConfig) -> Check:
    """Whether the coordinator is there, by the proxy and the certificates with which the agent asks it."""
    ca_file = folder / CA_NAME
    try:
        context = client_context(ca_file if ca_file.exists() else None, config.network.ca_file)
        reach(config.coordinator, context, proxies_of(config.network.proxy, os.environ))
    except SeptumError as error:
        return _failed("coordinator", error)
    return Check("coordinator", Level.OK, f"{config.coordinator} answers")


def _warned(name: str, message: str, hint: str) -> Check:
    return Check(name, Level.WARN, message, hint)


def _failed(name: str, error: SeptumError) -> Check:
    return Check(name, Level.FAIL, error.message, error.hint)
