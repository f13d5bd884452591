"""What may leave the silo? The payload that a worker made, after the agent has taken it over and checked it.

A worker runs an app author's code, so its file is copied first, where the app no longer reaches it, and then checked:
exactly the tensors of this kind of work, with the base model's names, shapes and dtypes. No numpy here: the agent
stays small. That the values are finite numbers is checked where they are made, and again by the coordinator.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3

from septum.errors import TensorError, did_you_mean
from septum.protocol.layout import Layout, header_size, read_layout
from septum.protocol.messages import Blob, Stage
from septum.protocol.silo import Job

MAX_BINS = 1 << 20  # rows of `evaluation.bins`
MAX_STATISTICS_BYTES = 16 * 2**20
_BUFFER_BYTES = 1 << 20
_BINS, _SUMS = "evaluation.bins", "evaluation.sums"
_STATISTICS, _INITIAL, _UPDATE = "statistics.", "initial.", "update."


def take_over(source: Path, target: Path, job: Job, model: Path | None) -> Blob:
    """Copy a job's payload from the worker's file to `target`, if it may leave.

    Raises TensorError when it may not; `target` is then as it was. `model`: the base model's file; None for `prepare`.
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
    if not layout.is_canonical:
        raise TensorError(f"{job.name}: the tensors are not in canonical order: largest items first, then by name")
    if job.stage is Stage.PREPARE:
        _check_prepared(job, layout)
        return
    expected: dict[str, tuple[str, tuple[int, ...]]] = {_BINS: ("I64", (-1, 3)), _SUMS: ("F64", (4,))}
    if job.stage is Stage.TRAIN:
        assert model is not None
        expected |= {
            _UPDATE + spec.name: (spec.dtype, spec.shape)
            for spec in model.tensors
            if not spec.name.startswith(_STATISTICS)
        }
    _check_exactly(job, layout, expected)


def _check_prepared(job: Job, layout: Layout) -> None:
    kinds = {_STATISTICS: "F64", **({_INITIAL: "F32"} if job.initial else {})}
    for spec in layout.tensors:
        dtype = next((dtype for prefix, dtype in kinds.items() if spec.name.startswith(prefix)), None)
        if dtype is None:
            raise TensorError(f"{job.name}: tensor {spec.name!r} was not asked for")
        if spec.dtype != dtype:
            raise TensorError(f"{job.name}: tensor {spec.name!r} is {spec.dtype}, expected {dtype}")
    size = sum(spec.size_bytes for spec in layout.region(_STATISTICS))
    if size > MAX_STATISTICS_BYTES:
        raise TensorError(f"{job.name}: statistics of {size} bytes, at most {MAX_STATISTICS_BYTES} may leave")


def _check_exactly(job: Job, layout: Layout, expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    found = {spec.name: spec for spec in layout.tensors}
    for name in found:
        if name not in expected:
            raise TensorError(f"{job.name}: tensor {name!r} was not asked for; {did_you_mean(name, expected)}")
    for name, (dtype, shape) in expected.items():
        if name not in found:
            raise TensorError(f"{job.name}: tensor {name!r} is missing")
        spec = found[name]
        fits = len(spec.shape) == len(shape) and all(w in (-1, s) for s, w in zip(spec.shape, shape, strict=True))
        if spec.dtype != dtype or not fits:
            raise TensorError(
                f"{job.name}: tensor {name!r} is {spec.dtype} of shape {list(spec.shape)}, "
                f"expected {dtype} of shape {list(shape)}"
            )
    if found[_BINS].shape[0] > MAX_BINS:
        raise TensorError(f"{job.name}: {_BINS} has {found[_BINS].shape[0]} rows, at most {MAX_BINS} may leave")


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


def _layout(path: Path) -> Layout:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        return read_layout(start + file.read(header_size(start) - len(start)), size)
