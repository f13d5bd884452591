"""Which data does a silo have, and how do they become an app's? `[data.NAME]` of silo.toml as frozen values.

Light: the agent reads this, and numpy is loaded by the process that reads the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import ConfigError
from septum.ports.reader import Setting, SettingKind, Settings, SettingValue
from septum.sdk.mapping import MAX_DECIMALS, ColumnMapping, OnViolation
from septum.silo.section import Section, toml_value
from septum.silo.sources import reader_kind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A source of rows, and what its columns are to an app's contract.

    offer  whether the coordinator is told that it is here, with its name and the names of its columns
    """

    name: str
    source: str
    settings: Settings
    columns: Mapping[str, ColumnMapping] = field(default_factory=dict)
    on_violation: OnViolation = OnViolation.REFUSE
    offer: bool = False


def plain_file(path: Path) -> Dataset:
    """A CSV file that is already in the contract's own columns, units and codes."""
    return Dataset("file", "csv", {"path": str(path)})


def read_datasets(data: Section, folder: Path) -> dict[str, Dataset]:
    """All of `[data]`. Raises ConfigError naming section and key."""
    return {name: read_dataset(data.section(name), name, folder) for name in list(data.content)}


def read_dataset(section: Section, name: str, folder: Path) -> Dataset:
    """One `[data.NAME]`; paths are relative to `folder`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{section.where}: a name has letters, digits, _ and - only, at most 64")
    try:
        source = section.text("source")
        kind = reader_kind(source)
        columns = section.section("columns")
        dataset = Dataset(
            name=name,
            source=source,
            settings=_settings(section, kind.settings, folder),
            columns={column: _mapping(columns.section(column)) for column in list(columns.content)},
            on_violation=section.one_of("on_violation", OnViolation.REFUSE),
            offer=section.flag("offer", False),
        )
        section.end()
        kind.open(dataset.settings)
    except ConfigError as error:
        message = error.message if section.where in error.message else f"{section.where}: {error.message}"
        raise ConfigError(message, hint=error.hint) from error
    return dataset


def _settings(section: Section, known: tuple[Setting, ...], folder: Path) -> dict[str, SettingValue]:
    found: dict[str, SettingValue] = {}
    for setting in known:
        if setting.name not in section.content and not setting.needed:
            section.text(setting.name, "")  # known, and not there
        elif setting.kind is SettingKind.PATH:
            found[setting.name] = str(folder / section.text(setting.name))
        elif setting.kind is SettingKind.TEXTS:
            found[setting.name] = section.texts(setting.name) or ()
        elif setting.kind is SettingKind.WHOLE:
            found[setting.name] = section.whole(setting.name, None) or 0
        else:
            found[setting.name] = section.text(setting.name)
    return found


def _mapping(section: Section) -> ColumnMapping:
    codes = section.section("codes")
    decimals = section.finite("decimals")
    if decimals is not None and (decimals != int(decimals) or not 0 <= decimals <= MAX_DECIMALS):
        raise ConfigError(f"{section.where}: decimals is {decimals:g}, a whole number from 0 to {MAX_DECIMALS}")
    mapping = ColumnMapping(
        source=section.text("from", ""),
        unit=section.text("unit", ""),
        substance=section.text("substance", ""),
        factor=section.finite("factor"),
        offset=section.finite("offset") or 0.0,
        codes={code: codes.finite(code) or 0.0 for code in list(codes.content)},
        missing=section.markers("missing"),
        decimals=None if decimals is None else int(decimals),
    )
    section.end()
    return mapping


def dataset_json(dataset: Dataset) -> dict[str, object]:
    """A dataset as `[data.NAME]` has it; what is as it would be anyway is left out, and `offer`: it changes no row."""
    content: dict[str, object] = {"source": dataset.source}
    if dataset.on_violation is not OnViolation.REFUSE:
        content["on_violation"] = dataset.on_violation.value
    content |= {key: list(value) if isinstance(value, tuple) else value for key, value in dataset.settings.items()}
    if dataset.columns:
        content["columns"] = {name: _mapping_json(mapping) for name, mapping in dataset.columns.items()}
    return content


def _mapping_json(mapping: ColumnMapping) -> dict[str, object]:
    content: dict[str, object] = {
        "from": mapping.source,
        "unit": mapping.unit,
        "substance": mapping.substance,
        "factor": mapping.factor,
        "offset": mapping.offset or None,
        "codes": dict(mapping.codes),
        "missing": list(mapping.missing),
    }
    kept = {key: value for key, value in content.items() if value not in ("", None, [], {})}
    return kept if mapping.decimals is None else kept | {"decimals": mapping.decimals}


def dataset_toml(dataset: Dataset) -> str:
    """The lines of `[data.NAME]`, as `read_dataset` takes them."""
    content = dataset_json(dataset)
    columns = content.pop("columns", {})
    assert isinstance(columns, dict)
    content |= {"offer": True} if dataset.offer else {}
    lines = [f"[data.{dataset.name}]", *(f"{key} = {toml_value(value)}" for key, value in content.items()), ""]
    if columns:
        lines += [f"[data.{dataset.name}.columns]"]
        lines += [f"{toml_value(name)} = {toml_value(mapping)}" for name, mapping in columns.items()]
        lines += [""]
    return "\n".join(lines)
