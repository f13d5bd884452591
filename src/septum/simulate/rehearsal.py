"""Will an app run in a silo? Tried once, on rows made from its contract, in a process confined as a silo's would be.

An app that is given to others is tried here first, by its author: nothing is imported into the caller's process. What
the process says is checked like anything that an app could have made up.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from septum.adapters.launch.interpreter import environment_of_app, interpreter
from septum.adapters.launch.sandbox import SCRATCH, View, command, filter_file, level_for
from septum.errors import AppError, WorkerError
from septum.ports.launcher import Level
from septum.sdk.hyper import HyperField, fields_in
from septum.sdk.package import DATA_FOLDER
from septum.sdk.synthetic import ROWS
from septum.simulate.dry_round import Settings

ENTRY = "septum.simulate.dry_round"
LIMIT_S = 600.0  # an app whose round on some hundred rows takes longer is hard to work with
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_PRINTED_BYTES = 1024 * 1024
SCRATCH_BYTES = 2**30
_SHOWN_LINES = 20


@dataclass(frozen=True, slots=True)
class Round:
    """What the round was done with. `tensors`: the model's shapes."""

    train_rows: int
    test_rows: int
    features: tuple[str, ...]
    tensors: Mapping[str, tuple[int, ...]]

    @property
    def numbers(self) -> int:
        """How many the model has."""
        return sum(math.prod(shape) for shape in self.tensors.values())


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came out.

    fields   the hyper-parameters
    round    None where none was asked for
    notes    what works, and will disturb somebody all the same
    level    how far the app was kept apart while it was tried
    printed  the last lines that it printed
    """

    name: str
    version: str
    digest: str
    fields: tuple[HyperField, ...]
    round: Round | None
    notes: tuple[str, ...]
    level: Level
    printed: str


def rehearse(
    folder: Path,
    *,
    paths: Sequence[Path] = (),
    preset: str = "",
    rows: int = ROWS,
    limit_s: float = LIMIT_S,
    level: Level | None = None,
) -> Rehearsed:
    """Import an app and do one round with it, or none on 0 rows.

    `paths` hold its dependencies; `level` None is the best there is.

    Raises WorkerError with the app's traceback, or when the process hangs or dies.
    """
    folder = folder.resolve()
    settings = Settings(str(folder), tuple(map(str, paths)), preset, rows, None, SCRATCH_BYTES)
    kept_apart = level_for(level)
    with tempfile.TemporaryDirectory(prefix="septum-check-") as temporary, tempfile.TemporaryFile() as printed:
        with _started(settings, kept_apart, Path(temporary), printed) as (process, answer):
            data = _answer(process, answer, limit_s, printed)
        return _rehearsed(data, kept_apart, _last(printed))


@contextlib.contextmanager
def _started(
    settings: Settings, level: Level, home: Path, printed: IO[bytes]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and the end of the pipe on which it answers; both are gone afterwards."""
    read, write = os.pipe()
    try:
        program = [sys.executable, "-P", "-m", ENTRY, str(write), json.dumps(asdict(settings))]
        with filter_file() as filtering:
            sandboxed = level is Level.SANDBOX
            line = command(program, _view(settings), filtering) if sandboxed else program
            where = SCRATCH if sandboxed else home
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                line,
                cwd="/" if sandboxed else home,
                env=environment_of_app(where, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                pass_fds=(write, *(filtering if sandboxed else ())),
                start_new_session=True,
                umask=0o077,
            )
        os.close(write)
        write = -1
        try:
            yield process, read
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


def _view(settings: Settings) -> View:
    beside = Path(settings.folder) / DATA_FOLDER
    paths = tuple(Path(path) for path in settings.paths)
    return View(
        readable=(*interpreter(Path(sys.executable)).folders, *paths, Path(settings.folder)),
        hidden=(beside,) if beside.is_dir() else (),
        scratch_bytes=SCRATCH_BYTES,
    )


def _answer(process: subprocess.Popen[bytes], answer: int, limit_s: float, printed: IO[bytes]) -> bytes:
    """What the process writes, until it closes the pipe."""
    data, deadline = b"", time.monotonic() + limit_s
    poll = select.poll()
    poll.register(answer, select.POLLIN)
    while True:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise WorkerError(
                f"the app took longer than {limit_s:g} s for one round of a few rows, and was ended",
                hint="septum app check --preset with a smaller one, or fewer epochs by default",
                details=_last(printed),
            )
        block = os.read(answer, 65_536)
        if not block:
            break
        data += block
        if len(data) > MAX_ANSWER_BYTES:
            raise WorkerError(f"the app's process told more than {MAX_ANSWER_BYTES} bytes, and was ended")
    if not data:
        code = process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        raise WorkerError(f"the app's process {how} before it was through", details=_last(printed))
    return data


def _rehearsed(data: bytes, level: Level, printed: str) -> Rehearsed:
    try:
        told = json.loads(data)
        if "error" in told:
            error = {name: str(told["error"][name]) for name in ("message", "hint", "details")}
            details = "\n".join(part for part in (error["details"], printed) if part)
            raise WorkerError(error["message"], hint=error["hint"], details=details)
        return Rehearsed(
            name=str(told["name"]),
            version=str(told["version"]),
            digest=str(told["digest"]),
            fields=fields_in(told["schema"], str(told["name"])),
            round=_round(told["round"]),
            notes=tuple(str(note) for note in told["notes"]),
            level=level,
            printed=printed,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AppError(f"the app's process answered nonsense: {type(error).__name__}: {error}") from error


def _round(told: object) -> Round | None:
    if not isinstance(told, dict):
        return None
    return Round(
        train_rows=int(told["train_rows"]),
        test_rows=int(told["test_rows"]),
        features=tuple(str(name) for name in told["features"]),
        tensors={str(name): tuple(int(size) for size in shape) for name, shape in told["tensors"].items()},
    )


def _last(printed: IO[bytes]) -> str:
    """The last lines of what was printed."""
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(0, size - MAX_PRINTED_BYTES))
    lines = printed.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_SHOWN_LINES:])
