"""Hyper-parameters: one place of defaults, everything else made from it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum import App, hyper
from septum.errors import AppError, ConfigError
from septum.sdk.hyper import HyperField, fields_in, schema_of

app = App("typed")


@app.hyper
class Hyper:
    rounds: int = hyper(5, min=1, max=100, help="how often")
    lr: float = hyper(0.01, min=0.0, max=1.0)
    optimizer: str = hyper("adam", choices=("adam", "sgd"))
    shuffle: bool = hyper(True)
    width: int = hyper(8, choices=(8, 16))
    tag: str = "plain defaults work too"


def test_defaults_come_from_the_class_and_overrides_replace_them() -> None:
    values = app.hyper_values(app.resolve({"lr": 0.5, "optimizer": "sgd"}))
    assert values == {
        "rounds": 5,
        "lr": 0.5,
        "optimizer": "sgd",
        "shuffle": True,
        "width": 8,
        "tag": "plain defaults work too",
    }


def test_the_instance_is_frozen() -> None:
    resolved = app.resolve({})
    assert isinstance(resolved, Hyper)
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved.lr = 0.3  # type: ignore[misc]


def test_a_whole_number_serves_as_a_float_and_becomes_one() -> None:
    lr = app.hyper_values(app.resolve({"lr": 1}))["lr"]
    assert lr == 1.0
    assert type(lr) is float


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("rounds", 0, "a whole number from 1 to 100"),
        ("rounds", 101, "a whole number from 1 to 100"),
        ("rounds", True, "a whole number from 1 to 100"),
        ("rounds", 5.0, "a whole number from 1 to 100"),
        ("rounds", "5", "a whole number from 1 to 100"),
        ("rounds", None, "a whole number from 1 to 100"),
        ("lr", 1.5, "a number from 0.0 to 1.0"),
        ("lr", math.nan, "a number from 0.0 to 1.0"),
        ("lr", math.inf, "a number from 0.0 to 1.0"),
        ("lr", 10**400, "a number from 0.0 to 1.0"),
        ("lr", False, "a number from 0.0 to 1.0"),
        ("lr", "0.1", "a number from 0.0 to 1.0"),
        ("optimizer", "adamw", "one of adam, sgd"),
        ("shuffle", 1, "true or false"),
        ("width", 9, "one of 8, 16"),
        ("tag", 3, "a text"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_field_value_and_range(name: str, value: object, range_: str) -> None:
    with pytest.raises(ConfigError) as caught:
        app.resolve({name: value})
    for part in (repr(name), repr(value), range_):
        assert part in caught.value.message
    assert caught.value.hint


def test_an_unknown_name_is_an_error_that_names_the_nearest_one() -> None:
    for call in (app.resolve, app.parse):
        with pytest.raises(ConfigError, match=r"no hyper-parameter 'optimiser'; did you mean 'optimizer'\?"):
            call({"optimiser": "sgd"})


def test_a_command_lines_texts_are_read_by_the_fields_type() -> None:
    texts = {"rounds": "7", "lr": "1e-2", "shuffle": "False", "width": "16", "optimizer": "sgd", "tag": "7"}
    assert app.parse(texts) == {
        "rounds": 7,
        "lr": 0.01,
        "shuffle": False,
        "width": 16,
        "optimizer": "sgd",
        "tag": "7",
    }


@pytest.mark.parametrize("text", ["", "seven", "7.5", "0", "1000"])
def test_a_text_that_is_no_such_value_is_refused_as_typed(text: str) -> None:
    with pytest.raises(ConfigError, match="'rounds' is "):
        app.parse({"rounds": text})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rounds": st.integers(1, 100),
            "lr": st.floats(0.0, 1.0),
            "optimizer": st.sampled_from(["adam", "sgd"]),
            "shuffle": st.booleans(),
            "width": st.sampled_from([8, 16]),
            "tag": st.text(),
        },
    )
)
def test_all_values_written_and_resolved_again_are_the_same(overrides: dict[str, object]) -> None:
    values = app.hyper_values(app.resolve(overrides))
    assert app.hyper_values(app.resolve(values)) == values
    assert app.parse({name: str(value) for name, value in values.items()}) == values
    assert {name: values[name] for name in overrides} == overrides


def test_the_schema_holds_types_ranges_choices_defaults_and_help() -> None:
    schema = app.schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "rounds": {"type": "integer", "default": 5, "minimum": 1, "maximum": 100, "description": "how often"},
        "lr": {"type": "number", "default": 0.01, "minimum": 0.0, "maximum": 1.0},
        "optimizer": {"type": "string", "default": "adam", "enum": ["adam", "sgd"]},
        "shuffle": {"type": "boolean", "default": True},
        "width": {"type": "integer", "default": 8, "enum": [8, 16]},
        "tag": {"type": "string", "default": "plain defaults work too"},
    }


def test_a_field_with_one_bound_says_so() -> None:
    assert HyperField("n", int, 1, minimum=1).allowed() == "a whole number of at least 1"
    assert HyperField("x", float, 1.0, maximum=2.0).allowed() == "a number of at most 2.0"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_float_without_a_range_must_still_be_finite(value: float) -> None:
    with pytest.raises(ConfigError, match=r"it must be a number$"):
        HyperField("x", float, 1.0).check(value)


def test_a_default_outside_its_own_range_is_an_error_of_the_app() -> None:
    with pytest.raises(AppError, match=r"the default of hyper-parameter 'lr' is 2.0"):

        @App("wrong").hyper
        class Wrong:
            rounds: int = hyper(1)
            lr: float = hyper(2.0, max=1.0)


def test_a_field_without_default_or_of_an_unknown_type_is_an_error_of_the_app() -> None:
    with pytest.raises(AppError, match="'lr' has no default"):

        @App("wrong").hyper
        class Missing:
            rounds: int = hyper(1)
            lr: float

    with pytest.raises(AppError, match="'layers' has type"):

        @App("wrong").hyper
        class Unknown:
            rounds: int = hyper(1)
            layers: tuple[int, ...] = (1, 2)


def test_a_range_on_a_text_is_an_error_of_the_app() -> None:
    with pytest.raises(AppError, match="min and max fit numbers"):

        @App("wrong").hyper
        class Wrong:
            rounds: int = hyper(1)
            name: str = hyper("a", min=1)


def test_rounds_are_required_and_the_seed_is_0_without_one() -> None:
    with pytest.raises(AppError, match="need `rounds`"):

        @App("wrong").hyper
        class Wrong:
            lr: float = hyper(0.1)

    assert app.rounds(app.resolve({"rounds": 9})) == 9
    assert app.seed(app.resolve()) == 0


def _bounded(low, high):
    return [HyperField("x", int, low, low, high), HyperField("x", float, float(low), low, None, (), "a help")]


FIELDS = st.one_of(
    st.sampled_from(
        [
            HyperField("b", bool, True),
            HyperField("s", str, "adam", choices=("adam", "sgd")),
            HyperField("s", str, "", help="any text"),
            HyperField("n", int, 3, choices=(1, 3)),
            HyperField("f", float, 0.5),
        ]
    ),
    st.builds(lambda low, more: _bounded(low, low + more), st.integers(-9, 9), st.integers(0, 9)).flatmap(
        st.sampled_from
    ),
)


@given(st.lists(FIELDS, max_size=5))
def test_a_schema_says_all_that_the_fields_say(fields):
    named = tuple(replace(field, name=f"{field.name}{number}") for number, field in enumerate(fields))
    schema = json.loads(json.dumps(schema_of(named, "heart")))
    assert fields_in(schema, "heart") == named


@pytest.mark.parametrize(
    "change",
    [
        {"properties": None},
        {"properties": {"x": {"type": "array", "default": []}}},
        {"properties": {"x": {"type": "integer"}}},
        {"properties": {"x": {"type": "integer", "default": 5, "maximum": 4}}},
        {"properties": {"x": {"type": "integer", "default": 5, "exclusiveMaximum": 4}}},
        {"properties": {"x": {"type": "integer", "default": 5, "enum": 3}}},
        {"properties": {"x": {"type": "integer", "default": 5, "minimum": "low"}}},
        {"title": "another"},
        {"additionalProperties": True},
    ],
)
def test_a_schema_that_septum_does_not_make_is_refused(change):
    schema = {**schema_of([HyperField("x", int, 5)], "heart"), **change}
    with pytest.raises(AppError, match="app 'heart'"):
        fields_in(schema, "heart")
