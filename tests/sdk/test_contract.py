"""Does a contract say what it means, and refuse what cannot be meant?"""

from __future__ import annotations

import tomllib

import pytest

from septum.errors import ConfigError
from septum.sdk.contract import Column, Kind, Role, read_columns

OUTCOME = 'outcome = { role = "target", codes = [0, 1] }\n'


def columns(text: str, data: str = "") -> dict[str, Column]:
    return read_columns("septum.toml", tomllib.loads(f"{data}\n[columns]\n{text}{OUTCOME}"))


def test_every_field_is_read():
    read = columns(
        'chol = { unit = "mg/dl", min = 50, max = 700, missing = ["?", 0], about = "serum cholesterol" }\n'
        'cp = { codes = { 1 = "typical", 4 = "none" } }\n'
        'age = { type = "integer" }\n',
        'missing = ["NA"]',
    )
    assert list(read) == ["chol", "cp", "age", "outcome"]
    assert read["chol"] == Column(
        Role.FEATURE, Kind.NUMBER, "mg/dl", 50.0, 700.0, {}, ("NA", "?", 0.0), "serum cholesterol"
    )
    assert (read["cp"].kind, read["cp"].codes) == (Kind.CODE, {1.0: "typical", 4.0: "none"})
    assert read["age"].kind is Kind.INTEGER
    assert (read["outcome"].role, read["outcome"].codes) == (Role.TARGET, {0.0: "", 1.0: ""})


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ({"min": 0, "max": 1}, 0.0, True),
        ({"min": 0, "max": 1}, 1.0, True),
        ({"min": 0, "max": 1}, 1.5, False),
        ({"min": 0}, -1e-9, False),
        ({}, -1e9, True),
        ({"type": "integer"}, 2.0, True),
        ({"type": "integer"}, 2.5, False),
        ({"codes": [1, 3]}, 3.0, True),
        ({"codes": [1, 3]}, 2.0, False),
    ],
)
def test_what_a_column_allows(column, value, allowed):
    read = read_columns("septum.toml", {"columns": {"x": column, "y": {"role": "target"}}})
    assert read["x"].allows(value) is allowed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = { typ = 'number' }\n", r"\[data.columns\], x: unknown key 'typ'; did you mean 'type'"),
        ("x = { type = 'numbr' }\n", "x: type is 'numbr'; did you mean 'number'"),
        ("x = { type = 'code' }\n", "x: a column of codes has `codes`"),
        ("x = { type = 'number', codes = [1] }\n", "others have no `codes`"),
        ("x = { codes = [1], unit = 'mg' }\n", "neither unit, min nor max"),
        ("x = { min = 3, max = 2 }\n", "x: min is 3, above max, which is 2"),
        ("x = { min = true }\n", "x: min is True, a finite number is needed"),
        ("x = { max = inf }\n", "x: max is inf, a finite number is needed"),
        ("x = { codes = [1, 1] }\n", "a code is there twice"),
        ("x = { codes = { male = 'm' } }\n", "the code 'male' is no number"),
        ("x = { codes = 3 }\n", "x: codes is 3"),
        ("x = { unit = 3 }\n", "x: unit is '3', a text of one line is needed"),
        ("x = { missing = 0 }\n", "x: missing is 0, a list is needed"),
        ("'chest pain' = {}\n", "a column's name has letters, digits"),
        ("y = { role = 'target' }\n", "one column must have the role target, 2 have"),
    ],
)
def test_what_cannot_be_meant_is_named(text, says):
    with pytest.raises(ConfigError, match=says):
        columns(text)
