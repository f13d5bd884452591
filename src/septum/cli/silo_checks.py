"""Will a silo's agent work as its directory says? Settings, apps, data and the way to the coordinator, before a run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from septum.adapters.channel.enroll import reach
from septum.adapters.tls import client_context
from septum.cli.checks import Check, Level
from septum.errors import DataError, SeptumError
from septum.silo.config import CONFIG_NAME, SiloConfig, read_config
from septum.silo.library import approve_folders
from septum.silo.line import CA_NAME, proxies_of
from septum.silo.read_messages import Refused
from septum.silo.reading import check_data


def silo_checks(folder: Path) -> tuple[Check, ...]:
    """What can be known of a silo without a run. Nothing of an app's code is run, and nothing leaves the silo."""
    try:
        config = read_config(folder / CONFIG_NAME)
    except SeptumError as error:
        return (_failed("silo.toml", error),)
    settings = Check("silo.toml", Level.OK, f"silo {config.name} of {config.coordinator}")
    return (settings, *(app_check(config, name) for name in config.apps), coordinator(folder, config))


def app_check(config: SiloConfig, name: str) -> Check:
    """Whether an app is as it was approved, and its data are what its contract asks for."""
    settings = config.apps[name]
    try:
        approved = approve_folders(replace(config, apps={name: settings})).apps[name]
        read = check_data(approved.dataset, approved.columns)
    except SeptumError as error:
        return _failed(f"app {name}", error)
    where = f"[data.{settings.dataset}]" if settings.dataset else str(settings.data)
    if isinstance(read, Refused):
        dataset = settings.dataset or "NAME"
        problem = DataError(
            f"{where} violates the app's contract", hint=f"septum silo data check {dataset} --dir DIR shows where"
        )
        return _failed(f"app {name}", problem)
    return Check(f"app {name}", Level.OK, f"{read.rows} rows in {where}; {approved.digest}")


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
