"""`[resources]` in septum.toml: read, checked, carried in a package, and left out of the bytes of those without it."""

from __future__ import annotations

import json

import pytest
from tests.sdk.packaging import app_folder, built

from septum.errors import AppError, ConfigError
from septum.sdk.package import parse_manifest
from septum.sdk.package_file import description_in, read_description

MANIFEST = """
app = "app:app"
version = "1.0.0"
[data.columns]
y = { role = "target" }
[leaves]
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
"""


def test_what_a_run_takes_is_read():
    text = f"{MANIFEST}[resources]\ncpus = 0.5\nmemory_mb = 2000\ngpus = 1\n"
    assert parse_manifest(text.encode(), "m").resources == {"cpus": 0.5, "memory_mb": 2000, "gpus": 1}
    assert parse_manifest(MANIFEST.encode(), "m").resources == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("gpus = 0.5", "gpus is 0.5"),
        ("gpus = -1", "gpus is -1"),
        ("cpus = true", "cpus is True"),
        ('memory_mb = "2 GB"', "memory_mb is '2 GB'"),
        ("gpu = 1", "did you mean 'gpus'"),
    ],
)
def test_what_is_wrong_with_it_names_the_section(line, problem):
    with pytest.raises(ConfigError, match=r"\[resources\]") as caught:
        parse_manifest(f"{MANIFEST}[resources]\n{line}\n".encode(), "septum.toml")
    assert problem in caught.value.message


def test_a_package_says_what_it_takes_and_one_without_has_no_word_of_it(tmp_path):
    package = built(app_folder(tmp_path / "plain"), tmp_path / "dist")
    assert "resources" not in json.loads(description_in(package.path))

    folder = app_folder(tmp_path / "large", version="2.0.0")
    manifest = folder / "septum.toml"
    manifest.write_text(f"{manifest.read_text()}\n[resources]\ngpus = 1\n")
    described = description_in(built(folder, tmp_path / "dist").path)
    assert read_description(described).resources == {"gpus": 1}
    broken = json.loads(described) | {"resources": {"gpus": "many"}}
    with pytest.raises((AppError, ConfigError), match="gpus"):
        read_description(json.dumps(broken).encode())
