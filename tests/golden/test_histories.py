"""Does a run still do what it did when its history was recorded? How to record one: see record.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.golden.record import HISTORIES, replayed, write_missing
from tests.golden.stories import STORIES

from septum.protocol.codec import Json, dumps, from_json, loads, union_from_json
from septum.protocol.plan import Plan
from septum.protocol.run_state import Event, Run


def _lines(path: Path) -> list[dict[str, Json]]:
    return [loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_recorded_history_is_replayed_byte_for_byte(path):
    about, *recorded = _lines(path)
    moments = [(union_from_json(Event, line["event"]), line["now"]) for line in recorded if "event" in line]

    again = replayed(from_json(Plan, about["plan"]), moments)

    for line, expected in zip(again, recorded, strict=True):
        assert dumps(line) == dumps(expected)


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_recorded_state_is_still_understood(path):
    state = _lines(path)[-1]["state"]

    assert from_json(Run, state).id == "run-1"


def test_every_story_is_recorded():
    recorded = {path.stem for path in HISTORIES.glob("*.json")}

    assert recorded >= {story.__name__.replace("_", "-") for story in STORIES}


def test_recording_writes_what_is_missing_and_never_changes_what_is_there(tmp_path):
    histories, wire = tmp_path / "histories", tmp_path / "wire-1"
    histories.mkdir()
    (histories / "happy-path.json").write_bytes(b"as it was")

    written = write_missing(histories, wire)

    assert (histories / "happy-path.json").read_bytes() == b"as it was"
    assert len(written) == len(list(histories.iterdir())) - 1 + len(list(wire.iterdir()))
    assert write_missing(histories, wire) == []
