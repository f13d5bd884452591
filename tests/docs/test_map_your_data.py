"""The steward's page names every source, every setting and every key of a mapping, and shows commands that exist."""

import re
from pathlib import Path

import pytest

from septum.adapters.readers.registry import READERS
from septum.cli.reference import commands
from septum.sdk.mapping import ColumnMapping
from septum.silo.datasets import Dataset, dataset_json

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "map-your-data.md").read_text()


@pytest.mark.parametrize("source", READERS)
def test_every_setting_of_every_source_is_there(source):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{source}` |"))
    missing = [setting.name for setting in READERS[source].settings if f"`{setting.name}`" not in row]
    assert missing == []


def test_every_key_of_a_mapping_is_there():
    whole = ColumnMapping("a", "b", "c", 1.0, 1.0, {"d": 1.0}, ("e",), 1)
    columns = dataset_json(Dataset("x", "csv", {}, {"y": whole}))["columns"]
    assert isinstance(columns, dict)
    assert [key for key in columns["y"] if f"`{key}`" not in PAGE] == []


def test_every_command_on_the_page_exists():
    known = {path for path, _ in commands()}
    shown = set(re.findall(r"^\$ (septum silo data \w+)", PAGE, re.MULTILINE))
    assert shown == {f"septum silo data {verb}" for verb in ("add", "describe", "check")}
    assert shown <= known
