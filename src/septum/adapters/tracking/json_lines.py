"""How are runs recorded without any service? As JSON lines in a file, which every tool for tables can read.

One line for each thing told: `{"kind": "round_measured", "run": ..., "at": ..., "round": ..., "metrics": {...}}`. After
a restart of the coordinator a line may be there twice: by `run`, `kind` and `round` it is the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from septum.errors import ConfigError, StorageError, did_you_mean
from septum.ports.tracker import Told, Tracker, TrackerSettings
from septum.protocol.codec import dumps, to_tagged_json

DEFAULT_NAME = "runs.jsonl"


class JsonLines:
    """A Tracker that appends to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tell(self, told: Told) -> None:
        """Append one line, whole: it goes to the system in one write. Raises StorageError."""
        line = dumps(to_tagged_json(told)) + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                written = os.write(descriptor, line)
                if written != len(line):  # the disk is full: what is there is taken back, so that lines stay lines
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                    raise StorageError(f"cannot write {self._path}: {written} of {len(line)} bytes", hint="df -h")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}", hint=f"ls -l {self._path}") from error

    def close(self) -> None:
        """Nothing is open between two lines."""


def make_json_lines(settings: TrackerSettings) -> Tracker:
    """From `[tracking.jsonl]`, whose one setting is `path`."""
    for key in settings.values:
        if key != "path":
            raise ConfigError(f"[tracking.jsonl]: unknown key {key!r}; {did_you_mean(key, ['path'])}")
    path = settings.values.get("path", DEFAULT_NAME)
    if not isinstance(path, str) or not path:
        raise ConfigError(f"[tracking.jsonl]: path is {path!r}, a file's name is needed", hint='path = "runs.jsonl"')
    return JsonLines(settings.data_dir / path)
