"""Which kinds of source can `[data.NAME]` of silo.toml name? Those that come with septum, and plugins."""

from __future__ import annotations

from septum.adapters.readers.registry import READERS
from septum.errors import ConfigError
from septum.plugins.found import Group, chosen
from septum.ports.reader import ReaderKind


def reader_kind(source: str) -> ReaderKind:
    """The kind of source of this name. Raises ConfigError with the nearest one, PluginError for a broken plugin."""
    try:
        return chosen(Group.READERS, source, READERS)
    except ConfigError as error:
        raise ConfigError(f"source is {source!r}; {error.hint}", hint='write: source = "csv"') from error
