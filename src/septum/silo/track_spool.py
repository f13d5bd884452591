"""What waits to be stored in a silo's tracker, and what became of the rest? A file of lines, and a file of counts.

`tracking/NAME.jsonl` is appended to while a run is at work and emptied when all of it is stored; it is bounded, and
what has no room is counted. `tracking/NAME.json` says how far it was stored. Neither is synced: what a power loss takes
back is stored twice or not at all, which is no run's loss.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from septum.adapters.files import replace_file
from septum.errors import MessageError, SeptumError
from septum.ports.tracker import SiloTold
from septum.protocol.codec import dumps, from_json, loads, to_json, to_tagged_json, union_from_json

FOLDER = "tracking"
MAX_BYTES = 16 * 2**20  # some 60,000 points, or 80 runs with the largest plans
MAX_PROBLEM_CHARS = 500


@dataclass(frozen=True, slots=True)
class Tracked:
    """How far a tracker has been told.

    stored, refused, dropped  how many things were stored, refused by the service for good, and never had room
    offset   where the first of those that wait begins in the file, bytes
    problem  why they were not stored when it was last tried; empty where it went well
    """

    stored: int = 0
    refused: int = 0
    dropped: int = 0
    offset: int = 0
    problem: str = ""
    hint: str = ""


class Spool:
    """What waits for one tracker. May be used by several threads; none of its methods raises but for a bug."""

    def __init__(self, silo_dir: Path, name: str, max_bytes: int = MAX_BYTES) -> None:
        self._lines = silo_dir / FOLDER / f"{name}.jsonl"
        self._state_path = silo_dir / FOLDER / f"{name}.json"
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._lines.parent.mkdir(mode=0o700, exist_ok=True)
        self._now = read_tracked(silo_dir, name)

    def add(self, told: Sequence[SiloTold]) -> int:
        """Put these at the end; how many had no room."""
        data = b"".join(dumps(to_tagged_json(one)) + b"\n" for one in told)
        with self._lock:
            if self._append(data):
                return 0
            self._note(dropped=self._now.dropped + len(told))
            return len(told)

    def first(self, most: int) -> list[SiloTold]:
        """The first of those that wait, as many as that at most."""
        with self._lock:
            found: list[SiloTold] = []
            try:
                with self._lines.open("rb") as file:
                    file.seek(self._now.offset)
                    while len(found) < most and (line := file.readline()).endswith(b"\n"):
                        found.append(cast("SiloTold", union_from_json(SiloTold, loads(line))))
            except FileNotFoundError:
                pass
            except (OSError, MessageError):  # damaged: what is behind it cannot be told apart
                if not found:
                    self._empty(dropped=_lines_after(self._lines, self._now.offset))
            return found

    def settle(self, number: int, refused: int) -> None:
        """The first so many are stored, but for those that the service refused for good."""
        with self._lock:
            offset = self._now.offset
            with self._lines.open("rb") as file:
                file.seek(offset)
                for _ in range(number):
                    file.readline()
                offset = file.tell()
                at_end = offset == os.fstat(file.fileno()).st_size
            self._note(
                stored=self._now.stored + number - min(refused, number),
                refused=self._now.refused + refused,
                offset=offset,
                problem="",
                hint="",
            )
            if at_end:
                self._empty()

    def failed(self, problem: SeptumError) -> None:
        """Why they could not be stored now."""
        with self._lock:
            self._note(problem=problem.message[:MAX_PROBLEM_CHARS], hint=problem.hint[:MAX_PROBLEM_CHARS])

    def _append(self, data: bytes) -> bool:
        try:
            descriptor = os.open(self._lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size + len(data) > self._max_bytes:
                    return False
                if os.write(descriptor, data) != len(data):  # the disk is full: lines stay lines
                    os.ftruncate(descriptor, size)
                    return False
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True

    def _empty(self, dropped: int = 0) -> None:
        """The counts first: after a kill in between all of it is stored again."""
        self._note(offset=0, dropped=self._now.dropped + dropped)
        with suppress(OSError):  # what cannot be deleted is read again, and its repeats change nothing
            self._lines.unlink(missing_ok=True)

    def _note(self, **changes: object) -> None:
        self._now = replace(self._now, **changes)  # type: ignore[arg-type]  # each by its own name
        try:
            replace_file(self._state_path, dumps(to_json(self._now)))
        except OSError:
            return  # a full disk: counted here, and written with the next change


def waiting_in(silo_dir: Path, name: str) -> int:
    """How many things wait for a tracker."""
    return _lines_after(silo_dir / FOLDER / f"{name}.jsonl", read_tracked(silo_dir, name).offset)


def _lines_after(path: Path, offset: int) -> int:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return sum(1 for _ in file)
    except OSError:
        return 0


def read_tracked(silo_dir: Path, name: str) -> Tracked:
    """How far a tracker was told, as its file says; nothing where there is none, or it cannot be read."""
    try:
        return from_json(Tracked, loads((silo_dir / FOLDER / f"{name}.json").read_bytes()))
    except (OSError, MessageError):
        return Tracked()
