"""What may leave the silo? The payload that a worker made, after the agent has taken it over and checked it.

A worker runs an app author's code, so a file of it is copied first, where the app no longer reaches it, then checked:
exactly the tensors of this kind of work, with the base model's names, shapes and dtypes. No numpy here: the agent
stays small. That the values are finite numbers is checked where they are made, and again by the coordinator.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from blake3 import blake3

from septum.errors import TensorError
from septum.protocol.contents import check_report
from septum.protocol.layout import Layout, header_size, read_layout
from septum.protocol.messages import Blob, blob_of
from septum.protocol.silo import Job

_BUFFER_BYTES = 1 << 20


Model = Path | bytes | None  # the base model's file, or the model itself; None for `prepare`


def take(data: bytes, job: Job, model: Model) -> Blob:
    """A job's payload with its bytes, if it may leave. Raises TensorError when it may not."""
    check(job, _layout(data), None if model is None else _layout(model))
    return blob_of(data)


def take_over(source: Path, target: Path, job: Job, model: Model) -> Blob:
    """Copy a job's payload from the worker's file to `target`, if it may leave.

    Raises TensorError when it may not; `target` is then as it was.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        size, digest = _copy(source, part)
        check(job, _layout(part), None if model is None else _layout(model))
        part.replace(target)
    except OSError as error:
        raise TensorError(f"the worker's file for {job.name} cannot be taken over: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    source.unlink(missing_ok=True)
    return Blob(digest, size)


def check(job: Job, layout: Layout, model: Layout | None) -> None:
    """Whether a payload holds what this job sends, and nothing else. Raises TensorError naming the first difference."""
    try:
        check_report(job.stage, layout, model, initial=job.initial)
    except TensorError as error:
        raise TensorError(f"{job.name}: {error.message}", hint=error.hint) from error


def _copy(source: Path, target: Path) -> tuple[int, str]:
    """Size and digest. A link, a pipe or a device in place of the file is refused, for it would lead elsewhere."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as reader:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TensorError(f"the worker's output {source.name} is no file")
        digest, size = blake3(), 0
        with open(target, "wb", buffering=0, opener=_private) as writer:
            while chunk := reader.read(_BUFFER_BYTES):
                writer.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    return size, f"blake3:{digest.hexdigest()}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _layout(content: Path | bytes) -> Layout:
    if isinstance(content, bytes):
        return read_layout(content[: header_size(content[:8])], len(content))
    size = content.stat().st_size
    with content.open("rb") as file:
        start = file.read(8)
        return read_layout(start + file.read(header_size(start) - len(start)), size)
