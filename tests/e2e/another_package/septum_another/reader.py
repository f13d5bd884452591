"""A reader: JSON lines, one object a row."""

import json
from pathlib import Path

from septum.errors import DataError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Setting, SettingKind


class JsonRows:
    def __init__(self, path):
        self._path = path

    def read(self, wanted):
        try:
            with self._path.open() as file:
                rows = [json.loads(line) for line in file]
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {error.strerror}") from error
        names = tuple(wanted) or tuple(rows[0])
        missing = [name for name in names if rows and name not in rows[0]]
        if missing:
            raise DataError(f"{self._path} has no column {', '.join(missing)}")
        for at in range(0, len(rows), BATCH_ROWS):
            yield {name: [row[name] for row in rows[at : at + BATCH_ROWS]] for name in names}


def open_rows(settings):
    return JsonRows(Path(settings["path"]))


KIND = ReaderKind((Setting("path", SettingKind.PATH, needed=True),), open_rows)
