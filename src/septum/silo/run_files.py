"""Where does a silo keep what belongs to one run? In `runs/RUN/`, readable by the agent's user alone.

    session.json   the silo machine's state; replaced whole
    held/JOB       a payload, taken from the worker and checked, until its round is closed
    model/DIGEST   the base model of the newest work
    work/          the worker's own directory: its output and log, the app's carried state (JOB.state)

Nothing is synced: the page cache outlives a killed process, and after a power loss the silo trains the round again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.messages import Blob
from septum.protocol.silo import SiloRun, kept_payloads, kept_states

MAX_SESSION_BYTES = 4 * 2**20  # a plan of 1,000 silos and a long traceback
STATE_SUFFIX = ".state"
_SESSION = "session.json"


class RunFiles:
    """The files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"

    def make(self) -> None:
        """Make the directories that are not there."""
        for folder in (self.folder, self.folder / "held", self.folder / "model", self.work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> SiloRun | None:
        """The state that was saved last; None before the first. Raises MessageError when the file is damaged."""
        try:
            data = (self.folder / _SESSION).read_bytes()
        except FileNotFoundError:
            return None
        return from_json(SiloRun, loads(data, MAX_SESSION_BYTES), _SESSION)

    def save(self, state: SiloRun) -> None:
        """Replace the saved state, whole or not at all."""
        _replace(self.folder / _SESSION, dumps(to_json(state)))

    def held(self, job: str) -> Path:
        """Where a job's payload is kept."""
        return self.folder / "held" / job

    def output(self, job: str) -> Path:
        """Where the worker puts a job's payload."""
        return self.work / job

    def carried(self, job: str) -> Path:
        """Where the worker puts the app's state after a job."""
        return self.work / f"{job}{STATE_SUFFIX}"

    def model(self, blob: Blob) -> Path:
        """Where a base model lies; other models are deleted. The bytes that came with the reference are written."""
        path = self.folder / "model" / blob.digest.partition(":")[2]
        for other in path.parent.iterdir():
            if other.name != path.name:
                other.unlink()
        if blob.inline is not None and not path.exists():
            _replace(path, blob.inline)
        return path

    def tidy(self, state: SiloRun) -> None:
        """Delete the payloads and carried states that `state` no longer names."""
        payloads, states = kept_payloads(state), kept_states(state)
        for path in (self.folder / "held").iterdir():
            if path.name not in payloads:
                path.unlink()
        for path in self.work.glob(f"*{STATE_SUFFIX}"):
            if path.name.removesuffix(STATE_SUFFIX) not in states:
                path.unlink()

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)
