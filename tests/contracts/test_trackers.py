"""The shipped tracker keeps the contract of its port."""

from __future__ import annotations

import json
import stat

import pytest

from septum.adapters.tracking.json_lines import make_json_lines
from septum.errors import ConfigError, StorageError
from septum.ports.tracker import TrackerSettings
from septum.testing.contracts.tracker import STORY, TrackerContract

NAMES = {"run_started": "started", "round_measured": "measured", "run_ended": "ended"}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestJsonLines(TrackerContract):
    def make(self, directory):
        return make_json_lines(TrackerSettings(directory, {}))

    def recorded(self, directory):
        return [
            (f"{NAMES[line['kind']]} {line['round']}" if "round" in line else NAMES[line["kind"]], line["run"])
            for line in lines(directory / "runs.jsonl")
        ]


def test_a_line_has_what_a_table_of_runs_needs(tmp_path):
    tracker = make_json_lines(TrackerSettings(tmp_path, {"path": "sub.jsonl"}))
    for told in STORY:
        tracker.tell(told)
    started, _, _, measured, failed, _ = lines(tmp_path / "sub.jsonl")
    assert started["plan"]["hyper"]["lr"] == 1e-3
    assert (measured["round"], measured["metrics"]["accuracy"], measured["at"]) == (1, 0.75, 13.0)
    assert (failed["outcome"], failed["reason"], failed["model"]) == ("failed", "too few silos joined", "")
    assert stat.S_IMODE((tmp_path / "sub.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("values", "message"),
    [({"pth": "x"}, "did you mean 'path'"), ({"path": 3}, "path is 3"), ({"path": ""}, "path is ''")],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path, values, message):
    with pytest.raises(ConfigError) as refused:
        make_json_lines(TrackerSettings(tmp_path, values))
    assert message in refused.value.message


def test_a_file_that_cannot_be_written_is_a_storage_error(tmp_path):
    tracker = make_json_lines(TrackerSettings(tmp_path, {"path": "no/such/folder.jsonl"}))
    with pytest.raises(StorageError, match=r"folder\.jsonl"):
        tracker.tell(STORY[0])
