"""How does a golden file come to be? `python -m tests.golden.record` writes those that are missing.

A golden file is what septum once did, and must do for ever: states and messages of that time are still around when the
code has changed. So a file that exists is never written again.

To add a history: write its story in stories.py, run the command, read the new file, commit it with the story.
To add a message, a fact or a view: add it to samples.py, run the command, read the new file, commit it.
To add a field to the state of a run: append it to ADDED. Histories that are there do not have it, and need not.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests.golden.samples import FRAME_SAMPLES, SAMPLES, STORED_SAMPLES, VIEW_SAMPLES
from tests.golden.stories import STORIES

from septum.adapters.launch.frames import FRAMES
from septum.errors import ProtocolError
from septum.protocol.codec import Json, dumps, encode, kind_of, to_json, to_tagged_json, union_from_json
from septum.protocol.messages import Instruction
from septum.protocol.plan import Plan
from septum.protocol.run import create, instruction, step
from septum.protocol.run_state import Effect, Event, Run

# Fields that the state of a run got since the first history was recorded, in that order, each with a default. So what a
# history lacks is what was added after it: an end of this list, and nothing else.
ADDED = (
    "problems",
    "previous",
    "numbered",
    "retrying",
    "exchange",
    "ahead",
    "burned",
    "burned_later",
    "burnt",
    "edges",
    "priority",
    "queued_at",
)

HISTORIES = Path(__file__).parent / "histories"
WIRE_1 = Path(__file__).parent / "wire-1"
FRAMES_4 = Path(__file__).parent / "frames-4"
API_1 = Path(__file__).parent / "api-1"
STORED_1 = Path(__file__).parent / "stored-1"
RUN_ID = "run-1"


@dataclass(frozen=True)
class Moment:
    """An event, what the run did then, and what it told each silo to do next. An illegal event did nothing."""

    event: Event | None  # None at the birth of the run
    now: float
    effects: tuple[object, ...]
    told: Mapping[str, object]
    illegal: bool = False


def live(plan: Plan, events: Sequence[tuple[Event, float]]) -> tuple[list[Moment], Run]:
    """Live a history through."""
    run, effects = create(RUN_ID, plan, 0.0)
    moments = [Moment(None, 0.0, effects, _told(run))]
    for event, now in events:
        try:
            run, effects = step(run, event, now)
            moments.append(Moment(event, now, effects, _told(run)))
        except ProtocolError:
            moments.append(Moment(event, now, (), _told(run), illegal=True))
    return moments, run


def _told(run: Run) -> dict[str, object]:
    told = {silo: instruction(run, silo) for silo in run.plan.silos}
    return {silo: work for silo, work in told.items() if work is not None}


def line_of(moment: Moment) -> Json:
    """A moment as a file keeps it."""
    return {
        "event": None if moment.event is None else to_tagged_json(moment.event),
        "now": moment.now,
        "effects": [to_tagged_json(effect) for effect in moment.effects],
        "told": {silo: to_tagged_json(work) for silo, work in moment.told.items()},
        "illegal": moment.illegal,
    }


def moment_of(line: dict[str, Any]) -> Moment:
    """A moment as it was recorded. A field that states got since then has its default in it."""
    return Moment(
        event=None if line["event"] is None else cast("Event", union_from_json(Event, line["event"])),
        now=line["now"],
        effects=tuple(union_from_json(Effect, effect) for effect in line["effects"]),
        told={silo: union_from_json(Instruction, work) for silo, work in line["told"].items()},
        illegal=line["illegal"],
    )


def bytes_of() -> dict[Path, Mapping[str, bytes]]:
    """What every sample is as bytes today, by folder and name."""
    return {
        WIRE_1: {_name(sample): encode(sample) for sample in SAMPLES},
        FRAMES_4: {_name(frame): encode(frame, FRAMES) for frame in FRAME_SAMPLES},
        API_1: {_name(view): dumps(to_json(view)) for view in VIEW_SAMPLES},
        STORED_1: {_name(value): dumps(to_tagged_json(value)) for value in STORED_SAMPLES},
    }


def _name(value: object) -> str:
    return kind_of(type(value))


def write_missing(root: Path = HISTORIES.parent) -> list[Path]:
    """Write the golden files that are not there yet, in canonical JSON; a history has a line for each of its events."""
    written: list[Path] = []
    for story in STORIES:
        play = story()
        name = story.__name__.replace("_", "-")
        moments, run = live(play.run.plan, play.history)
        about: Json = {"story": story.__doc__, "plan": to_json(run.plan)}
        lines = [about, *map(line_of, moments), {"state": to_json(run)}]
        _write(root / HISTORIES.name / f"{name}.jsonl", b"".join(dumps(line) + b"\n" for line in lines), written)
    for folder, samples in bytes_of().items():
        for name, data in samples.items():
            _write(root / folder.name / f"{name}.json", data, written)
    return written


def _write(path: Path, data: bytes, written: list[Path]) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written.append(path)


if __name__ == "__main__":
    for path in write_missing():
        sys.stdout.write(f"{path}\n")
