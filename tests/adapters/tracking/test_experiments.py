"""A tracker's table is read where the program starts: what cannot be used is named, with what to write instead."""

from __future__ import annotations

import sys

import pytest

from septum.adapters.tracking import experiments
from septum.adapters.tracking.registry import TRACKERS
from septum.errors import ConfigError, MissingExtraError
from septum.ports.tracker import SiloTracker, TrackerSettings

URL = {"uri": "http://127.0.0.1:5000"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "uri is ''"),
        ({"uri": "mlflow.example.org"}, "a server's address, a SQLite file or an ARN is needed"),
        ({"uri": "ftp://mlflow.example.org"}, "a server's address"),
        ({"uri": "http://["}, "a server's address"),
        ({"uri": "arn:aws:sagemaker:nowhere"}, "which is no ARN of a tracking server"),
        ({"uri": "sqlite:///no/such/mlflow.db"}, "which is no folder"),
        ({"uri": 3}, "uri is 3, a text is needed"),
        ({**URL, "model": "yes"}, "model is 'yes', true or false is needed"),
        ({**URL, "prefx": "x"}, "unknown key 'prefx'; did you mean 'prefix'"),
        ({**URL, "prefix": "a b"}, "prefix is 'a b'"),
        ({**URL, "hosts": "a b"}, "[tracking.mlflow]: hosts has 'a b', which is no host"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path, values, message):
    with pytest.raises(ConfigError) as refused:
        TRACKERS["mlflow"](TrackerSettings(tmp_path, values))
    assert message in refused.value.message
    assert "[tracking.mlflow]" in refused.value.message


def test_a_silo_tracks_only_where_its_policy_lets_it(tmp_path):
    for hosts, message in (
        ((), "this silo's policy names no host"),
        (("127.0.0.1:5001",), "uri names 127.0.0.1:5000, which [policy]: tracking_hosts does not"),
    ):
        with pytest.raises(ConfigError) as refused:
            TRACKERS["mlflow"](TrackerSettings(tmp_path, URL, hosts=hosts))
        assert message in refused.value.message
        assert "tracking_hosts = [" in refused.value.hint
    with pytest.raises(ConfigError, match="hosts is a coordinator's setting"):
        TRACKERS["mlflow"](TrackerSettings(tmp_path, {**URL, "hosts": "x.org"}, hosts=("x.org",)))
    made = TRACKERS["mlflow"](TrackerSettings(tmp_path, URL, hosts=("127.0.0.1:5000",)))
    assert isinstance(made, SiloTracker)
    TRACKERS["mlflow"](TrackerSettings(tmp_path, {"uri": "sqlite:///mlflow.db"}, hosts=()))  # this machine's own


def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as missing:
        TRACKERS["mlflow"](TrackerSettings(tmp_path, URL))
    assert missing.value.hint == "pip install 'septum[mlflow]'"


def test_making_one_loads_no_library(tmp_path):
    before = "mlflow" in sys.modules
    TRACKERS["mlflow"](TrackerSettings(tmp_path, URL))
    assert ("mlflow" in sys.modules) == before
