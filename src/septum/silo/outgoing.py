"""What may leave the silo? The payload that a worker made, after the agent has checked it.

A worker runs an app author's code, so its payload is looked at where the app no longer reaches it: exactly the tensors
of this kind of work, with the base model's names, shapes and dtypes, and none that the app's manifest calls private;
and an update no longer than the plan lets it be. No numpy here, but for that: the agent stays small. That the values
are finite numbers is checked where they are made, and again by the coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.errors import TensorError
from septum.protocol.contents import check_report, check_shared
from septum.protocol.layout import Layout, header_size, read_layout
from septum.protocol.messages import Blob, Stage, blob_of
from septum.protocol.silo import Job

Model = Path | bytes | None  # the base model's file, or the model itself; None for `prepare`


@dataclass(frozen=True, slots=True)
class Bounds:
    """What limits the payloads of a run.

    private    patterns of the approved manifest: such parameters stay, whatever the plan says
    clip_norm  of the plan: a longer update is shortened to this L2 norm
    noisy      whether the plan asks, and pays, for metrics with noise
    """

    private: tuple[str, ...] = ()
    clip_norm: float | None = None
    noisy: bool = False


def take(data: bytes, job: Job, model: Model, bounds: Bounds) -> Blob:
    """A job's payload with its bytes, if it may leave. Raises TensorError when it may not."""
    check(job, layout_in(data), None if model is None else layout_in(model), bounds)
    if job.stage is Stage.TRAIN and bounds.clip_norm is not None:
        from septum.protocol.clipped import clip  # numpy: an agent without such work does without

        data = clip(data, bounds.clip_norm)
    return blob_of(data)


def take_over(source: Path, payload: Blob, target: Path, job: Job, model: Model, bounds: Bounds) -> Blob:
    """Give a job's payload its name, if it may leave; what it then is. Raises TensorError when it may not.

    It is changed, if it is, before it has that name; if it may not leave, it is gone.
    """
    try:
        check(job, layout_in(source), None if model is None else layout_in(model), bounds)
        if job.stage is Stage.TRAIN and bounds.clip_norm is not None:
            from septum.silo.clipping import clip_file  # as above

            payload = clip_file(source, bounds.clip_norm) or payload
        source.replace(target)
    except OSError as error:
        raise TensorError(f"the payload of {job.name} cannot be taken over: {error}") from error
    finally:
        source.unlink(missing_ok=True)
    return payload


def check(job: Job, layout: Layout, model: Layout | None, bounds: Bounds) -> None:
    """Whether a payload holds what this job sends, and nothing else. Raises TensorError naming the first difference."""
    try:
        check_shared(layout, model, bounds.private)
        check_report(job.stage, layout, model, initial=job.initial, noisy=bounds.noisy)
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
