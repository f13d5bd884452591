"""`[private]` in septum.toml: read, checked, carried in a package, and left out of the bytes of those without it."""

from __future__ import annotations

import json

import pytest
from tests.sdk.packaging import app_folder, built

from septum.errors import AppError, ConfigError
from septum.sdk.package import parse_manifest, read_manifest
from septum.sdk.package_file import description_in, read_description

MANIFEST = """
app = "app:app"
version = "1.0.0"
[data.columns]
y = { role = "target" }
[leaves]
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
"""


def test_patterns_are_read_sorted_and_none_are_none():
    text = MANIFEST + '[private]\nparameters = ["norm*", "head.*"]\n'
    assert parse_manifest(text.encode(), "m").private == ("head.*", "norm*")
    assert parse_manifest(MANIFEST.encode(), "m").private == ()


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('parameters = "head.*"', "a list is needed"),
        ("parameters = [1]", "'1' is no pattern"),
        ('parameters = ["a", "a"]', "twice"),
        ('parametres = ["a"]', "did you mean 'parameters'"),
    ],
)
def test_what_is_wrong_with_them_names_the_section(section, problem):
    with pytest.raises(ConfigError, match=r"\[private\]") as caught:
        parse_manifest(f"{MANIFEST}[private]\n{section}\n".encode(), "septum.toml")
    assert problem in caught.value.message


def test_a_package_says_what_is_private_and_one_without_has_no_word_of_it(tmp_path):
    plain = app_folder(tmp_path / "plain")
    package = built(plain, tmp_path / "dist")
    assert "private" not in json.loads(description_in(package.path))
    assert read_description(description_in(package.path)).private == ()

    own = app_folder(tmp_path / "own", version="2.0.0")
    manifest = own / "septum.toml"
    manifest.write_text(f'{manifest.read_text()}\n[private]\nparameters = ["w"]\n')
    package = built(own, tmp_path / "dist")
    assert package.manifest.private == read_manifest(own).private == ("w",)
    assert read_description(description_in(package.path)).private == ("w",)


@pytest.mark.parametrize("private", ['"head"', "[1]", '["a b"]'])
def test_a_description_with_patterns_that_are_none_is_refused(tmp_path, private):
    said = json.loads(description_in(built(app_folder(tmp_path / "app"), tmp_path / "dist").path))
    with pytest.raises((AppError, ConfigError), match=r"private|pattern"):
        read_description(json.dumps({**said, "private": json.loads(private)}).encode())
