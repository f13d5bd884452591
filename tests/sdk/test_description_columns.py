"""A package says which data contract it has, so that statistics can be asked of it without its code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.sdk.packaging import built

from septum.cli.shipped import example
from septum.errors import AppError
from septum.sdk.package import read_manifest
from septum.sdk.package_file import description_in, read_description
from septum.silo.query_rules import of_contract

FOLDER = example("heart_disease")


def test_the_contract_in_a_package_is_that_of_its_manifest(tmp_path):
    found = read_description(description_in(built(FOLDER, tmp_path).path)).columns
    wanted = read_manifest(FOLDER).columns
    assert list(found) == list(wanted)
    for name, column in wanted.items():
        assert of_contract(name, found[name]) == of_contract(name, column)
        assert replace(found[name], missing=column.missing) == column


def test_a_package_whose_columns_are_no_table_is_refused(tmp_path):
    said = json.loads(description_in(built(FOLDER, tmp_path).path))
    with pytest.raises(AppError, match="columns that are no table"):
        read_description(json.dumps({**said, "columns": ["age"]}).encode())
