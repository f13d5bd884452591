"""Will a silo's agent work as its directory says? Settings, apps, data and the way to the coordinator, before a run."""

from __future__ import annotations

import os
from pathlib import Path

from septum.adapters.channel.enroll import reach
from septum.adapters.tls import client_context
from septum.cli.checks import Check, Level
from septum.errors import SeptumError
from septum.sdk.package import read_manifest
from septum.sdk.table import read_csv
from septum.silo.config import CONFIG_NAME, AppSettings, SiloConfig, read_config
from septum.silo.root import CA_NAME, approve, proxies_of


def silo_checks(folder: Path) -> tuple[Check, ...]:
    """What can be known of a silo without a run. Nothing of an app's code is run, and nothing leaves the silo."""
    try:
        config = read_config(folder / CONFIG_NAME)
    except SeptumError as error:
        return (_failed("silo.toml", error),)
    settings = Check("silo.toml", Level.OK, f"silo {config.name} of {config.coordinator}")
    return (settings, *(app_check(name, app) for name, app in config.apps.items()), coordinator(folder, config))


def app_check(name: str, app: AppSettings) -> Check:
    """Whether an app is as it was approved, and its data has the columns that it reads."""
    try:
        approved = approve({name: app})[name]
        manifest = read_manifest(app.path)
        table = read_csv(app.data, tuple(manifest.columns), manifest.missing, manifest.target)
    except SeptumError as error:
        return _failed(f"app {name}", error)
    return Check(f"app {name}", Level.OK, f"{len(table)} rows in {app.data}; {approved.digest}")


def coordinator(folder: Path, config: SiloConfig) -> Check:
    """Whether the coordinator is there, by the proxy and the certificates with which the agent asks it."""
    ca_file = folder / CA_NAME
    try:
        context = client_context(ca_file if ca_file.exists() else None, config.network.ca_file)
        reach(config.coordinator, context, proxies_of(config.network.proxy, os.environ))
    except SeptumError as error:
        return _failed("coordinator", error)
    return Check("coordinator", Level.OK, f"{config.coordinator} answers")


def _failed(name: str, error: SeptumError) -> Check:
    return Check(name, Level.FAIL, error.message, error.hint)
