"""What leaves a silo with an app, and how: `[leaves]` of septum.toml."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sdk.packages import build, make_folder

from septum.errors import AppError, ConfigError
from septum.sdk.leaves import LEAVES, check_leaves
from septum.sdk.package import parse_manifest
from septum.sdk.package_file import description_in, read_description, read_package
from septum.silo.policy import Policy

MANIFEST = """\
app = "app:app"
version = "1.0.0"
[data.columns]
num = { role = "target" }
[leaves]
"""


def manifest(leaves: str):
    return parse_manifest((MANIFEST + leaves).encode(), "septum.toml")


def test_an_app_says_what_leaves_in_sums_alone_and_what_a_silo_may_show_as_its_own():
    found = manifest('masked = ["parameters", "rows"]\nopen = ["accuracy"]')
    assert found.leaves == ("parameters", "rows", "accuracy")
    assert found.masked == ("parameters", "rows")


def test_what_is_not_masked_is_open_as_in_manifests_that_know_no_masks():
    found = manifest('open = ["parameters", "rows"]')
    assert (found.leaves, found.masked) == (("parameters", "rows"), ())


@pytest.mark.parametrize(
    ("leaves", "message"),
    [
        ('masked = ["row"]', r"'row' cannot leave; did you mean 'rows'\?"),
        ('maskd = ["rows"]', r"unknown key 'maskd'; did you mean 'masked'\?"),
        ('masked = "rows"', "masked is 'rows', a list is needed"),
        ('masked = ["rows", "accuracy"]\nopen = ["accuracy", "log_loss"]', "accuracy is in masked and in open"),
        ("masked = [3]", "3 cannot leave"),
    ],
)
def test_what_is_in_both_lists_or_in_no_list_of_septums_is_an_error(leaves, message):
    with pytest.raises(ConfigError, match=message) as caught:
        manifest(leaves)
    assert "septum.toml, [leaves]" in caught.value.message


def test_every_leaf_is_said_in_words_and_may_be_named_by_a_policy():
    assert all(LEAVES.values())
    assert Policy(releases=tuple(LEAVES)).releases == tuple(LEAVES)


@pytest.mark.parametrize(
    ("listed", "masked", "with_statistics", "advice"),
    [
        ((), (), True, 'masked = ["parameters", "statistics", "rows", "accuracy", "log_loss", "roc_auc"]'),
        (("rows",), (), False, 'open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]'),
        (
            ("rows", "accuracy"),
            ("rows",),
            False,
            'masked = ["parameters", "rows", "log_loss", "roc_auc"] and open = ["accuracy"]',
        ),
        (tuple(LEAVES), tuple(LEAVES), False, 'masked = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]'),
    ],
)
def test_the_advice_on_lists_that_are_not_right_keeps_to_the_authors_choice(listed, masked, with_statistics, advice):
    with pytest.raises(ConfigError, match=r"^septum.toml, \[leaves\]: it lists .*; what leaves") as caught:
        check_leaves("septum.toml, [leaves]", listed, masked, with_statistics=with_statistics)
    assert caught.value.hint == advice


def test_lists_of_all_that_leaves_are_right_in_any_order():
    check_leaves("septum.toml, [leaves]", (*reversed(LEAVES),), tuple(LEAVES), with_statistics=True)
    check_leaves("septum.toml, [leaves]", (*reversed(LEAVES),), (), with_statistics=True)


def test_a_package_says_what_leaves_in_sums_alone(tmp_path: Path):
    folder = make_folder(tmp_path / "packed")
    toml = (folder / "septum.toml").read_text()
    (folder / "septum.toml").write_text(toml.replace("open = [", 'masked = ["accuracy"]\nopen = ['))
    package = build(folder, tmp_path)
    said = read_description(description_in(package.path))
    assert read_package(package.path).manifest.masked == said.masked == ("accuracy",)


@pytest.mark.parametrize("masked", ['"rows"', "[3]", "{}"])
def test_a_description_that_says_it_in_another_way_is_refused(tmp_path: Path, masked: str):
    said = description_in(build(make_folder(tmp_path / "packed"), tmp_path).path).decode()
    with pytest.raises(AppError, match="masked"):
        read_description(said.replace('"leaves"', f'"masked": {masked}, "leaves"').encode())


def test_a_package_that_was_built_before_there_were_masks_in_manifests_has_its_digest_still(tmp_path: Path):
    assert (
        build(make_folder(tmp_path / "packed"), tmp_path).digest
        == "sha256:2a6d54cf24db707175d6284e5b5fcde791c06303092c879242289f6a4f21b07e"
    )


def test_an_app_may_say_that_what_it_prints_leaves_and_none_has_to():
    always = tuple(name for name in LEAVES if name not in ("statistics", "logs"))
    check_leaves("septum.toml, [leaves]", always, (), with_statistics=False)
    check_leaves("septum.toml, [leaves]", (*always, "logs"), always, with_statistics=False)
    assert manifest('masked = ["parameters"]\nopen = ["logs"]').leaves == ("parameters", "logs")


def test_a_text_is_not_masked():
    with pytest.raises(ConfigError, match="nothing masks a text") as caught:
        manifest('masked = ["parameters", "logs"]')
    assert caught.value.hint == 'open = ["logs"]'
