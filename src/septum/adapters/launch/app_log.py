"""Where does what an app prints go? Through a pipe into `worker.log` in the run's directory, up to a limit."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from septum.adapters.launch.scratch import wipe

LOG_NAME = "worker.log"
MAX_LOG_BYTES = 1 << 20
_LOG_FULL = b"\n... what the app printed after this is not kept\n"


def keep_output(
    pipe: IO[bytes], run_dir: Path, name: str, heard: Callable[[bytes], None] | None = None
) -> threading.Thread:
    """A thread that reads the pipe to its end. `heard` gets all of it, piece by piece; it must not fail, nor wait."""
    thread = threading.Thread(
        target=_keep, args=(pipe, _open_log(run_dir), heard or _nobody), name=f"log {name}", daemon=True
    )
    thread.start()
    return thread


def _open_log(run_dir: Path) -> IO[bytes]:
    """A new log; the last worker's becomes `worker.log.1`. What else an app may have put there is not followed."""
    path = run_dir / LOG_NAME
    older = path.with_name(f"{LOG_NAME}.1")
    wipe(older)
    if path.is_file() and not path.is_symlink():
        path.replace(older)
    wipe(path)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _keep(pipe: IO[bytes], log: IO[bytes], heard: Callable[[bytes], None]) -> None:
    """Read the pipe to its end, so that the app never blocks on it, and keep the first part."""
    room = MAX_LOG_BYTES
    with pipe, log:
        while chunk := os.read(pipe.fileno(), 65_536):
            try:
                heard(chunk)
            except Exception as error:  # noqa: BLE001  the app would wait for ever for a pipe that nobody reads
                logging.getLogger(__name__).warning("output_not_heard: %s", error)
                heard = _nobody
            if room < 0:
                continue
            with contextlib.suppress(OSError):  # a full disk must not stop the app
                log.write(chunk[:room] + (_LOG_FULL if len(chunk) > room else b""))
                log.flush()
            room = room - len(chunk) if len(chunk) <= room else -1


def _nobody(chunk: bytes) -> None:
    del chunk
