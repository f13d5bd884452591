"""How does a process kill itself at a named point, and come back? A plan of deaths in a file, and a diary.

The plan is a list of JSON lines, consumed from the first on. {"kill": POINT, "when": WHEN, "about": RUN, "skip": TIMES}
is a death; {"remove": GLOB, "folder": FOLDER} is done between two lives. The diary gets a line for each point that is
passed, so that a test knows what was written when, in which life, and by which owner.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

UNLISTED = 70  # exit code: something was written that the list of points does not name


class When(Enum):
    """Where at a point the process dies."""

    BEFORE = "before"
    WITHIN = "within"  # a blob: after its first block
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Kill:
    """Die at a point. `skip`: so often it is passed first.

    `about`: only where it is about this run, or this stage and round of one, as `train 3`; empty for any.
    """

    point: str
    when: When
    about: str = ""
    skip: int = 0

    def line(self) -> str:
        """As the plan has it."""
        return json.dumps({"kill": self.point, "when": self.when.value, "about": self.about, "skip": self.skip})


@dataclass(frozen=True, slots=True)
class Remove:
    """Between two lives, remove the newest of the files that match."""

    folder: Path
    pattern: str

    def line(self) -> str:
        """As the plan has it."""
        return json.dumps({"remove": self.pattern, "folder": str(self.folder)})


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the diary. `at`: monotonic clock, seconds. `about`: runs. `extra` depends on the point."""

    at: float
    pid: int
    point: str
    when: str
    about: tuple[str, ...] = ()
    extra: dict[str, object] = field(default_factory=dict)


class Fate:
    """What is to come, and what was: one object a process."""

    def __init__(self, folder: Path, points: Collection[str]) -> None:
        folder.mkdir(exist_ok=True)
        self._plan = folder / "plan"
        self._diary = folder / "diary"
        self._hold = folder / "hold"
        self._points = points
        self._lock = threading.Lock()

    # --- what the test says and asks -----------------------------------------------------------------------------

    def arm(self, *events: Kill | Remove) -> None:
        """Replace the plan."""
        _replace(self._plan, "".join(event.line() + "\n" for event in events))

    def hold(self, wanted: bool) -> None:
        """Whether combining waits until its effect is committed."""
        if wanted:
            self._hold.touch()
        else:
            self._hold.unlink(missing_ok=True)

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self._hold.exists()

    @property
    def outstanding(self) -> list[str]:
        """What of the plan has not happened yet."""
        return self._plan.read_text().splitlines() if self._plan.exists() else []

    def entries(self, after: float = 0.0) -> list[Entry]:
        """The diary, after that time."""
        lines = self._diary.read_text().splitlines() if self._diary.exists() else []
        found = [Entry(**json.loads(line)) for line in lines]
        return [entry for entry in found if entry.at > after]

    @staticmethod
    def now() -> float:
        """The diary's clock."""
        return time.monotonic()

    # --- what the process does -----------------------------------------------------------------------------------

    def note(self, point: str, when: str, about: Collection[str] = (), **extra: object) -> None:
        """Write a line into the diary: whole or not at all."""
        line = {"at": time.monotonic(), "pid": os.getpid(), "point": point, "when": when, "about": [*about]}
        descriptor = os.open(self._diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, (json.dumps({**line, "extra": extra}) + "\n").encode())
        finally:
            os.close(descriptor)

    @contextmanager
    def passing(self, points: Collection[str], about: Collection[str] = (), **extra: object) -> Iterator[None]:
        """Something is written that these points name. The process may die before it, and after it."""
        for point in points:
            if point not in self._points:
                self._end_loudly(point)
        self.meet(points, When.BEFORE, about)
        yield
        for point in points:
            self.note(point, "done", about, **extra)
        self.meet(points, When.AFTER, about)

    def meet(self, points: Collection[str], when: When, about: Collection[str] = ()) -> None:
        """Die, if this is where the plan says so."""
        with self._lock:
            lines = self.outstanding
            plan = json.loads(lines[0]) if lines else {}
            if plan.get("kill") not in points or plan["when"] != when.value or plan["about"] not in ("", *about):
                return
            if plan["skip"]:
                lines[0] = json.dumps({**plan, "skip": plan["skip"] - 1})
                _replace(self._plan, "".join(f"{line}\n" for line in lines))
            else:
                _replace(self._plan, "".join(f"{line}\n" for line in lines[1:]))
                self.note(plan["kill"], f"died {when.value}", about)
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()  # go no further, whichever thread the signal reaches first

    def removals(self) -> None:
        """Do what the plan has to be done between two lives."""
        while self.outstanding and "remove" in (plan := json.loads(self.outstanding[0])):
            found = sorted(Path(plan["folder"]).glob(plan["remove"]), key=lambda path: path.stat().st_mtime_ns)
            found[-1].unlink()
            _replace(self._plan, "".join(f"{line}\n" for line in self.outstanding[1:]))

    def _end_loudly(self, point: str) -> None:
        sys.stderr.write(f"NOT IN THE LIST OF KILL POINTS: {point!r}; add it, with the story that reaches it\n")
        sys.stderr.flush()
        os._exit(UNLISTED)


def live_again_and_again(fate: Fate, life: Callable[[], None]) -> int:
    """Lead one life after another, each in a process of its own that begins with everything imported.

    Ends, with the last life's exit code, once SIGTERM has come or a life ended as it should not.
    """
    ending: list[bool] = []

    def end(number: int, frame: object) -> None:
        del frame
        ending.append(True)
        if child:
            os.kill(child, number)

    child = 0
    while True:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        fate.removals()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            _live(life)
        signal.signal(signal.SIGTERM, end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if ending or code not in (0, -signal.SIGKILL):
            return max(code, 0)


def _live(life: Callable[[], None]) -> None:
    code = 1
    try:
        life()
        code = 0
    except BaseException:  # noqa: BLE001  said here, for this child must not run on as its parent would
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(path)
