"""What may leave the silo? The payload that a worker made, after the agent has checked it.

A worker runs an app author's code, so its payload is looked at where the app no longer reaches it: exactly the tensors
of this kind of work, with the base model's names, shapes and dtypes, and none that the app's manifest calls private. No
numpy here: the agent stays small. That the values are finite numbers is checked where they are made, and again by the
coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.errors import TensorError
from septum.protocol.contents import check_report, check_shared
from septum.protocol.layout import Layout, header_size, read_layout
from septum.protocol.messages import Blob, blob_of
from septum.protocol.silo import Job

Model = Path | bytes | None  # the base model's file, or the model itself; None for `prepare`


@dataclass(frozen=True, slots=True)
class Allowed:
    """What else is known of what may leave.

    private  the patterns of parameters that the app's manifest calls private
    noisy    whether the plan asks for metrics with noise
    """

    private: tuple[str, ...] = ()
    noisy: bool = False


def take(data: bytes, job: Job, model: Model, allowed: Allowed) -> Blob:
    """A job's payload with its bytes, if it may leave. Raises TensorError when it may not."""
    check(job, layout_in(data), None if model is None else layout_in(model), allowed)
    return blob_of(data)


def take_over(source: Path, target: Path, job: Job, model: Model, allowed: Allowed) -> None:
    """Give a job's payload its name, if it may leave. Raises TensorError when it may not; then it is gone."""
    try:
        check(job, layout_in(source), None if model is None else layout_in(model), allowed)
        source.replace(target)
    except OSError as error:
        raise TensorError(f"the payload of {job.name} cannot be taken over: {error}") from error
    finally:
        source.unlink(missing_ok=True)


def check(job: Job, layout: Layout, model: Layout | None, allowed: Allowed) -> None:
    """Whether a payload holds what this job sends, and nothing else. Raises TensorError naming the first difference."""
    try:
        check_shared(layout, model, allowed.private)
        check_report(job.stage, layout, model, initial=job.initial, noisy=allowed.noisy)
    except TensorError as error:
        raise TensorError(f"{job.name}: {error.message}", hint=error.hint) from error


def layout_in(content: Path | bytes) -> Layout:
    """The checked layout of a file, or of its bytes. Raises TensorError, and OSError when it cannot be read."""
    if isinstance(content, bytes):
        return read_layout(content[: header_size(content[:8])], len(content))
    size = content.stat().st_size
    with content.open("rb") as file:
        start = file.read(8)
        return read_layout(start + file.read(header_size(start) - len(start)), size)
