"""Does a run still do what it did when its history was recorded? How to record one: see record.py."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from tests.golden.record import ADDED, HISTORIES, live, moment_of, write_missing
from tests.golden.stories import STORIES

from septum.protocol.codec import from_json, loads
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
    expected = from_json(Run, end["state"])  # a field that states got since then has its default in it
    since = {name: getattr(expected, name) for name in missing_in(end["state"])}
    assert replace(run, **since) == expected


@recorded
def test_a_history_lacks_nothing_but_what_states_got_since_then(path):
    missing = missing_in(loads(path.read_bytes().splitlines()[-1])["state"])

    assert missing in {frozenset(ADDED[at:]) for at in range(len(ADDED) + 1)}


def missing_in(state):
    return frozenset(field.name for field in fields(Run)) - frozenset(state)


def test_a_history_that_is_recorded_today_lacks_nothing(tmp_path):
    for path in write_missing(tmp_path):
        if path.suffix == ".jsonl":
            assert missing_in(loads(path.read_bytes().splitlines()[-1])["state"]) == frozenset()


def test_every_story_is_recorded():
    names = {path.stem for path in HISTORIES.glob("*.jsonl")}

    assert names >= {story.__name__.replace("_", "-") for story in STORIES}


def test_recording_writes_what_is_missing_and_never_changes_what_is_there(tmp_path):
    histories = tmp_path / "histories"
    histories.mkdir()
    (histories / "happy-path.jsonl").write_bytes(b"as it was")

    written = write_missing(tmp_path)

    assert (histories / "happy-path.jsonl").read_bytes() == b"as it was"
    assert len(written) == len([path for path in tmp_path.rglob("*") if path.is_file()]) - 1
    assert write_missing(tmp_path) == []
