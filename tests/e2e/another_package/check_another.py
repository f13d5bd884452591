"""The author's own tests: septum's contract suites over one of each."""

import json

from septum_another.launcher import NotingLauncher
from septum_another.reader import KIND
from septum_another.rule import RULE
from septum_another.tracker import make

from septum.ports.tracker import TrackerSettings
from septum.testing.contracts.launcher import LauncherContract
from septum.testing.contracts.reader import ReaderContract
from septum.testing.contracts.strategy import StrategyContract
from septum.testing.contracts.tracker import TrackerContract


class TestRule(StrategyContract):
    def rule(self):
        return RULE

    def settings(self):
        return {"rate": 1.0}


class TestDiary(TrackerContract):
    def make(self, directory):
        return make(TrackerSettings(directory, {"file": "diary.txt"}))

    def recorded(self, directory):
        lines = (directory / "diary.txt").read_text().splitlines()
        return [tuple(line.rsplit(" ", 1)) for line in lines]


class TestJsonRows(ReaderContract):
    def kind(self):
        return KIND

    def source(self, directory, columns):
        rows = zip(*columns.values(), strict=True)
        path = directory / "rows.jsonl"
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
        return {"path": str(path)}

    def gone(self, directory):
        return {"path": str(directory / "nothing.jsonl")}


class TestNotingLauncher(LauncherContract):
    def make(self):
        return NotingLauncher()
