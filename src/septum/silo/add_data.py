"""How do a dataset, and an app's use of one, come into silo.toml? At its end; every other byte of the file stays."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from septum.errors import ConfigError, did_you_mean
from septum.ports.reader import SettingKind
from septum.silo.config import CONFIG_NAME, SiloConfig, read_config
from septum.silo.datasets import Dataset, dataset_toml, read_dataset
from septum.silo.section import Section, toml_value
from septum.silo.sources import reader_kind


def dataset_from_options(
    name: str, source: str, settings: Mapping[str, str], columns: Mapping[str, str], on_violation: str
) -> Dataset:
    """The dataset that a command line describes; its paths are relative to where one is. Raises ConfigError.

    >>> dataset_from_options("heart", "csv", {"path": "/srv/x.csv"}, {"age": "alter"}, "drop").columns["age"].source
    'alter'
    """
    kinds = {setting.name: setting.kind for setting in reader_kind(source).settings}
    content: dict[str, object] = {"source": source, "on_violation": on_violation}
    for key, text in settings.items():
        if key not in kinds:
            raise ConfigError(f"--set {key}: {source} has no such setting; {did_you_mean(key, kinds)}")
        content[key] = text if kinds[key] in (SettingKind.TEXT, SettingKind.PATH) else _toml(f"--set {key}", text)
    content["columns"] = {
        column: _toml(f"--column {column}", text) if text.lstrip().startswith("{") else {"from": text}
        for column, text in columns.items()
    }
    return read_dataset(Section(f"[data.{name}]", content), name, Path.cwd())


def _toml(where: str, text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {text!r} is not TOML: {error}", hint='{ from = "x", unit = "mmol/l" }') from error


def add_to_config(folder: Path, dataset: Dataset) -> Path:
    """Append `[data.NAME]` to the folder's silo.toml; its path. The file is replaced whole, or not at all."""
    path = folder / CONFIG_NAME

    def check(config: SiloConfig) -> None:
        if config.data.get(dataset.name) != dataset:
            raise ConfigError(f"{path}: [data.{dataset.name}] would not read back as it is", hint="write it by hand")

    return _append(path, dataset_toml(dataset), check)


def check_use(folder: Path, app: str, dataset: str) -> bool:
    """Whether `use_data` would write something. Raises ConfigError: no such dataset, or the app has other data."""
    path = folder / CONFIG_NAME
    config = read_config(path)
    if dataset not in config.data:
        raise ConfigError(
            f"there is no [data.{dataset}] in {path}; {did_you_mean(dataset, config.data)}",
            hint=f"septum silo data add {dataset} --dir {folder} --source csv --set path=FILE",
        )
    there = config.apps.get(app)
    if there is None:
        return True
    if there.dataset != dataset:
        raise ConfigError(
            f"{path}: [apps.{app}] has other data: {there.dataset or there.data}",
            hint=f"write there: data = {dataset!r}",
        )
    return False


def use_data(folder: Path, app: str, dataset: str) -> Path:
    """Append `[apps.APP]` with its dataset to the folder's silo.toml, unless that is there; its path."""
    path = folder / CONFIG_NAME
    if not check_use(folder, app, dataset):
        return path

    def check(config: SiloConfig) -> None:
        if app not in config.apps or config.apps[app].dataset != dataset:
            raise ConfigError(f"{path}: [apps.{app}] would not read back as it is", hint="write it by hand")

    return _append(path, f"[apps.{app}]\ndata = {toml_value(dataset)}\n", check)


def _append(path: Path, text: str, check: Callable[[SiloConfig], None]) -> Path:
    """Put a table at a configuration's end, if what comes of it passes."""
    before = path.read_text(encoding="utf-8")
    part = path.with_name(f"{CONFIG_NAME}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{before.rstrip()}\n\n{text}")
            file.flush()
            os.fsync(file.fileno())
        check(read_config(part))
        part.chmod(path.stat().st_mode & 0o777)
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return path
