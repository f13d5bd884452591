"""How does a golden file come to be? `python -m tests.golden.record` writes those that are missing.

A golden file is what septum once did, and must do for ever: states and messages of that time are still around when the
code has changed. So a file that exists is never written again.

To add a history: write its story in stories.py, run the command, read the new file, commit it with the story.
To add a message: add it to samples.py, run the command, read the new file, commit it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.golden.samples import SAMPLES
from tests.golden.stories import STORIES

from septum.errors import ProtocolError
from septum.protocol.codec import Json, dumps, encode, kind_of, to_json, to_tagged_json
from septum.protocol.plan import Plan
from septum.protocol.run import create, instruction, step
from septum.protocol.run_state import Event, Run

HISTORIES = Path(__file__).parent / "histories"
WIRE_1 = Path(__file__).parent / "wire-1"
RUN_ID = "run-1"


def replayed(plan: Plan, moments: list[tuple[Event, float]]) -> list[Json]:
    """What the run did at each moment: its effects and what each silo is then told, or the error; at last the state."""
    run, effects = create(RUN_ID, plan, 0.0)
    lines: list[Json] = [{"effects": [to_tagged_json(effect) for effect in effects]}]
    for event, now in moments:
        line: dict[str, Json] = {"event": to_tagged_json(event), "now": now}
        try:
            run, effects = step(run, event, now)
            line |= {"effects": [to_tagged_json(effect) for effect in effects], "told": _told(run)}
        except ProtocolError as error:
            line |= {"error": error.message}
        lines.append(line)
    lines.append({"state": to_json(run)})
    return lines


def _told(run: Run) -> Json:
    told = {silo: instruction(run, silo) for silo in run.plan.silos}
    return {silo: to_tagged_json(work) for silo, work in told.items() if work is not None}


def write_missing(histories: Path = HISTORIES, wire: Path = WIRE_1) -> list[Path]:
    """Write the golden files that are not there yet, each in canonical JSON; histories have one line for each event."""
    written: list[Path] = []
    for story in STORIES:
        play = story()
        name = story.__name__.replace("_", "-")
        about: Json = {"story": story.__doc__, "plan": to_json(play.run.plan)}
        lines = [about, *replayed(play.run.plan, play.history)]
        _write(histories / f"{name}.json", b"".join(dumps(line) + b"\n" for line in lines), written)
    for sample in SAMPLES:
        _write(wire / f"{kind_of(type(sample))}.json", encode(sample), written)
    return written


def _write(path: Path, data: bytes, written: list[Path]) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written.append(path)


if __name__ == "__main__":
    for path in write_missing():
        sys.stdout.write(f"{path}\n")
