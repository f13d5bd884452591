"""A preset that is given beside a package: of its fields, in their ranges, and never in place of one in it."""

import pytest

from septum.errors import ConfigError, ConflictError
from septum.sdk.hyper import HyperField
from septum.sdk.package_file import Description
from septum.sdk.presets import check_preset, read_preset

FIELDS = (HyperField("rounds", int, 20, minimum=1, maximum=1000), HyperField("lr", float, 0.05, maximum=1.0))
HEART = Description("heart", "1.0.0", FIELDS, {"paper": {"rounds": 15}}, {})


def test_only_what_is_named_is_in_it_in_the_types_of_the_fields():
    checked = check_preset(HEART, "quick", {"lr": 1})
    assert checked == {"lr": 1.0}
    assert type(checked["lr"]) is float


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lr": 1.5}, r"preset 'quick': hyper-parameter 'lr' is 1\.5; it must be a number of at most 1\.0"),
        ({"rounds": 0}, "'rounds' is 0; it must be a whole number from 1 to 1000"),
        ({"rounds": 2.5}, "it must be a whole number"),
        ({"lr": "fast"}, "it must be a number"),
        ({"rate": 0.1}, "app 'heart' has no hyper-parameter 'rate'"),
        ({}, "gives no hyper-parameter a value"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_field_and_range(values, said):
    with pytest.raises(ConfigError, match=said):
        check_preset(HEART, "quick", values)


def test_one_in_the_package_is_never_replaced():
    with pytest.raises(ConflictError, match="the package of heart has a preset 'paper' of its own"):
        check_preset(HEART, "paper", {"rounds": 20})


@pytest.mark.parametrize("name", ["", "../etc", "-quick", "a b", "x" * 65, "quick\n"])
def test_a_name_is_one_word(name):
    with pytest.raises(ConfigError, match="is no name for a preset"):
        check_preset(HEART, name, {"lr": 0.5})


@pytest.mark.parametrize("content", [b"lr = ", b"lr = 0.1\nlr = 0.2", b"\xff", b"a = " + b"[" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "quick.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"quick\.toml: not TOML"):
        read_preset(path)
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        read_preset(tmp_path / "none.toml")
