"""Each key that a configuration file may have is on the page, with what it means; and each variable that is read."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from tests.sdk.packaging import app_folder

from septum.adapters.tracking.registry import TRACKERS as MAKE_TRACKERS
from septum.adapters.tracking.webhook import _SETTINGS as WEBHOOK
from septum.cli import settings
from septum.coordinator.config import CoordinatorConfig
from septum.coordinator.oidc_config import OidcConfig
from septum.sdk import contract, leaves, package, private_loss
from septum.silo import section
from septum.silo.config import Limits, read_config
from septum.silo.deploy_rules import DeployRules
from septum.silo.policy import Policy

ROOT = Path(__file__).parents[2]
SILO = """
[silo]
name = "north"
coordinator = "https://localhost:1"
[apps.small]
data = "heart"
[data.heart]
source = "csv"
path = "x.csv"
[data.heart.columns.age.codes]
M = 1
[labels]
country = "ch"
"""
FREE = {("data.heart.columns.age.codes", "M"), ("labels", "country")}  # keys that are the steward's own words


def test_the_page_is_up_to_date():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert page == settings.page(), "run: python -m septum.cli.settings > docs/reference/settings.md"


def test_each_attribute_of_a_section_says_what_it_means():
    for cls in (CoordinatorConfig, OidcConfig, Policy, Limits, DeployRules):
        names = {one.name for one in dataclasses.fields(cls)} - {"data_dir"}
        assert names - settings.documented(cls).keys() == set(), cls


def test_each_key_that_the_reader_of_silo_toml_takes_is_on_the_page(tmp_path, monkeypatch):
    taken = set()
    take = section.Section._take

    def recording(self, key, default):
        where = self.where.partition(", [")[2].rstrip("]")
        taken.add((where, key))
        return take(self, key, default)

    monkeypatch.setattr(section.Section, "_take", recording)
    (tmp_path / "silo.toml").write_text(SILO)
    read_config(tmp_path / "silo.toml")
    generic = {
        "apps.small": "apps.NAME",
        "data.heart": "data.NAME",
        "data.heart.columns.age": "data.NAME.columns.COLUMN",
    }
    readers = {setting.name for kind in settings.READERS.values() for setting in kind.settings}
    known = {(title, key) for title, keys in settings.SILO.items() for key in keys}
    known |= {
        (title, one.name)
        for title, cls in (("policy", Policy), ("limits", Limits), ("deploy", DeployRules))
        for one in dataclasses.fields(cls)
    }
    missing = set()
    for where, key in taken - FREE:
        if where in ("", "apps", "data", "data.heart.columns"):  # these keys are tables
            continue
        title = generic.get(where, where)
        if (title, key) not in known and not (title == "data.NAME" and key in readers):
            missing.add((title, key))
    assert missing == set()
    assert {where for where, _ in taken} >= {
        "silo",
        "policy",
        "limits",
        "network",
        "worker",
        "capacity",
        "data.heart.columns.age",
    }


def test_each_key_that_the_reader_of_a_manifest_knows_is_on_the_page(tmp_path, monkeypatch):
    asked = {}

    def recording(where, table, known):
        asked.setdefault(re.sub(r".*septum\.toml", "", where).strip(", "), set()).update(known)
        return contract_keys(where, table, known)

    contract_keys = contract.known_keys
    for module in (contract, leaves, package, private_loss):
        monkeypatch.setattr(module, "known_keys", recording)
    folder = app_folder(tmp_path / "app")
    manifest = folder / "septum.toml"
    manifest.write_text(
        manifest.read_text()
        + '\n[dependencies]\nlock = ""\n[private]\nparameters = ["head.*"]\n[resources]\ncpus = 1\n'
        + '[privacy]\nloss = "logistic"\n[privacy.ranges]\nage = [0, 1]\n'
    )
    package.parse_manifest(manifest.read_bytes(), "septum.toml")
    for where, keys in asked.items():
        title = re.sub(r"\[data.columns\], \w+", "[data.columns.NAME]", where).strip("[]")
        tables = {name.split(".")[0] for name in settings.APP} - {""}
        assert keys - settings.APP[title].keys() - (tables if not title else set()) == set(), where
    assert asked.keys() >= {"", "[data]", "[leaves]", "[dependencies]", "[private]", "[privacy]", "[resources]"}


def test_each_tracker_is_on_the_page():
    assert {f"tracking.{name}" for name in MAKE_TRACKERS} == settings.TRACKERS.keys()
    assert set(WEBHOOK) == settings.TRACKERS["tracking.webhook"].keys()


def test_each_environment_variable_that_is_read_is_on_the_page():
    read = set()
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "settings.py":
            read |= set(re.findall(r"[\"'](SEPTUM_[A-Z_]*[A-Z])[\"']", path.read_text()))
    assert read - settings.ENVIRONMENT.keys() == set()
    assert settings.ENVIRONMENT.keys() - read == set()
