"""Does a run still do what it did when its history was recorded? How to record one: see record.py."""

from __future__ import annotations

import pytest
from tests.golden.record import HISTORIES, live, moment_of, write_missing
from tests.golden.stories import STORIES

from septum.protocol.codec import from_json, loads, to_json
from septum.protocol.plan import Plan
from septum.protocol.run_state import Run

recorded = pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.jsonl")), ids=lambda path: path.stem)


@recorded
def test_a_recorded_history_takes_the_same_course_again(path):
    about, *lines, end = map(loads, path.read_bytes().splitlines())
    moments = [moment_of(line) for line in lines]

    again, run = live(from_json(Plan, about["plan"]), [(moment.event, moment.now) for moment in moments[1:]])

    for moment, expected in zip(again, moments, strict=True):
        assert moment == expected
    assert {key: value for key, value in to_json(run).items() if key in end["state"]} == end["state"]
    assert isinstance(from_json(Run, end["state"]), Run)  # a field that states got since then has its default in it


def test_every_story_is_recorded():
    names = {path.stem for path in HISTORIES.glob("*.jsonl")}

    assert names >= {story.__name__.replace("_", "-") for story in STORIES}


def test_recording_writes_what_is_missing_and_never_changes_what_is_there(tmp_path):
    histories, wire = tmp_path / "histories", tmp_path / "wire-1"
    histories.mkdir()
    (histories / "happy-path.jsonl").write_bytes(b"as it was")

    written = write_missing(histories, wire)

    assert (histories / "happy-path.jsonl").read_bytes() == b"as it was"
    assert len(written) == len(list(histories.iterdir())) - 1 + len(list(wire.iterdir()))
    assert write_missing(histories, wire) == []
