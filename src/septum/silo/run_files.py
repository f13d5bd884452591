"""Where does a silo keep what belongs to one run? In `runs/RUN/`, readable by the agent's user alone.

    session.0, .1  the silo machine's state, in turns; small payloads are in it (slots.py)
    held/JOB       a large payload, checked, until its round is closed; JOB.part is one that comes from the worker,
                   JOB.masked the same masked, as it leaves; .leftover one that gives way to the next
    model/DIGEST   the base model of the newest work, if it is large
    table          the rows that the run was given (tables.py)
    rows           the rows that the app made of it, in a run with differential privacy (private_run.py)
    privacy.json   what such a run reserved, and how many steps it began; or what was reserved for a query with noise
    noisy          the numbers that answer such a query (private_query.py)
    work/          the worker's own directory: its log, what is carried (JOB.state), and the kept private parameters
                   that the run started from (start.tensors; empty if there were none)

Nothing is synced: the page cache outlives a killed process, and after a power loss the silo trains the round again.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

from septum.adapters.channel.blob_files import part_of
from septum.adapters.leftovers import LARGE_BYTES, LEFTOVER
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.messages import Blob
from septum.protocol.silo import SiloRun, kept_payloads, kept_states
from septum.silo.slots import Slots

MAX_SESSION_BYTES = 4 * 2**20  # a plan of 1,000 silos and a long traceback
STATE_SUFFIX = ".state"


class RunFiles:
    """The files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self._session = Slots(folder / "session")
        self._removing: list[threading.Thread] = []

    def make(self) -> None:
        """Make the directories that are not there."""
        for folder in (self.folder, self.folder / "held", self.folder / "model", self.work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> SiloRun | None:
        """The state that was saved last; None before the first. Raises MessageError when the file is damaged."""
        data = self._session.load()
        if data is None:
            return None
        state = from_json(SiloRun, loads(data, MAX_SESSION_BYTES), str(self._session))
        held = state.held
        if held is not None and held.payload.inline is None and not self.held(held.job.name).exists():
            return replace(state, held=None)  # other work was begun, of which nothing was saved
        return state

    def save(self, state: SiloRun) -> None:
        """Save the state: a kill leaves this one or the one before."""
        self._session.save(dumps(to_json(state)))

    @property
    def table(self) -> Path:
        """The rows that this run was given."""
        return self.folder / "table"

    @property
    def rows(self) -> Path:
        """What the app made of them, in a run with differential privacy."""
        return self.folder / "rows"

    @property
    def privacy(self) -> Path:
        """What such a run reserved and used."""
        return self.folder / "privacy.json"

    @property
    def noisy(self) -> Path:
        """What answers a query with noise, drawn once."""
        return self.folder / "noisy"

    def held(self, job: str) -> Path:
        """Where a job's payload is kept."""
        return self.folder / "held" / job

    def masked(self, job: str) -> Path:
        """Where a large payload lies once it is masked, for the attempt at work."""
        return self.folder / "held" / f"{job}.masked"

    def output(self, job: str) -> Path:
        """Where a job's payload comes in from the worker."""
        return self.folder / "held" / f"{job}.part"

    def carried(self, job: str) -> Path:
        """Where the worker puts the app's state after a job."""
        return self.work / f"{job}{STATE_SUFFIX}"

    @property
    def start(self) -> Path:
        """The private parameters that this run started from."""
        return self.work / "start.tensors"

    def model(self, blob: Blob) -> Path:
        """Where a base model lies, and beside it what has come of it; other models are deleted."""
        path = self.folder / "model" / blob.digest.partition(":")[2]
        kept = (path.name, part_of(path, blob.digest).name)
        self._unlink([other for other in path.parent.iterdir() if other.name not in kept])
        return path

    def tidy(self, state: SiloRun) -> None:
        """Delete the payloads and carried states that `state` no longer names."""
        payloads, states = kept_payloads(state), kept_states(state)
        held = [path for path in (self.folder / "held").iterdir() if path.name not in {*payloads, LEFTOVER}]
        carried = self.work.glob(f"*{STATE_SUFFIX}")
        self._leave(held)
        self._unlink(held + [path for path in carried if path.name.removesuffix(STATE_SUFFIX) not in states])

    def settle(self) -> None:
        """Wait until what was to be deleted is gone."""
        for thread in self._removing:
            thread.join()
        self._removing.clear()
        (self.folder / "held" / LEFTOVER).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete everything."""
        self.settle()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _leave(self, paths: list[Path]) -> None:
        """Take the largest payload out of `paths`: it gives way to the next one, and goes then."""
        largest = max(paths, key=lambda path: path.stat().st_size, default=None)
        if largest is not None and largest.stat().st_size >= LARGE_BYTES:
            largest.replace(largest.with_name(LEFTOVER))
            paths.remove(largest)

    def _unlink(self, paths: list[Path]) -> None:
        """Delete files; large ones in another thread, for one that is just being written to the disk takes its time.

        What a kill leaves is found by the next call.
        """
        large = [path for path in paths if path.stat().st_size >= LARGE_BYTES]
        for path in paths:
            if path not in large:
                path.unlink()
        if large:
            self._removing = [thread for thread in self._removing if thread.is_alive()]
            self._removing.append(threading.Thread(target=_unlink_all, args=(large,), name="remove files"))
            self._removing[-1].start()


def _unlink_all(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
