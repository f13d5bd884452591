"""How is a run stored for TensorBoard? As event files, one a RUN: FOLDER/EXPERIMENT/ENTRY/events.out.tfevents.0.septum.

Needs no library, so it runs in the process that tracks. What comes again is in the file already, and not written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from septum.adapters.tracking.event_file import EventFile, number, text
from septum.adapters.tracking.records import Begun, ModelFiles, Over, Place, Point, Record, Taken
from septum.protocol.codec import Scalar

FILE = "events.out.tfevents.0.septum"


class TensorboardSink:
    """A `Sink`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Place, EventFile] = {}

    def take(self, records: Sequence[Record]) -> Taken:
        """Append these, in order. Raises StorageError."""
        for place, group in groupby(records, key=lambda record: record.place):
            some = [record for record in group if not isinstance(record, ModelFiles)]
            if place not in self._open:
                self._open[place] = EventFile(self._folder / place.experiment / place.name / FILE)
            self._open[place].append(map(_event, some))
            if any(isinstance(record, Over) for record in some):
                del self._open[place]
        return Taken()


def _event(record: Begun | Point | Over) -> bytes:
    match record:
        case Begun(_, at, parameters, tags):
            return text(at, "parameters", _table({**parameters, **tags}))
        case Point(_, at, metric, step, value):
            return number(at, step, metric, value)
        case Over(_, at, outcome, tags):
            return text(at, "outcome", _table({"outcome": outcome.value, **tags}))


def _table(values: Mapping[str, str]) -> str:
    """Markdown, which TensorBoard shows."""
    rows = (f"| {name} | {value.replace('|', '&#124;')} |" for name, value in values.items())
    return "\n".join(("| name | value |", "|---|---|", *rows))


def make(data_dir: Path, values: Mapping[str, Scalar]) -> TensorboardSink:
    """From `[tracking.tensorboard]`, whose values were checked where they were read."""
    return TensorboardSink(data_dir / str(values["folder"]))
