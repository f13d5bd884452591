"""How a silo starts the process that runs an app's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from septum.protocol.codec import Scalar
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import StrategyRef


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is for.

    strategy    the plan's; some change the silo's training too
    run_dir     its own working directory; the app may write here
    """

    run: str
    silo: str
    app_dir: Path
    app_digest: str
    data_path: Path
    hyper: Mapping[str, Scalar]
    seed: int
    strategy: StrategyRef
    clip_norm: float | None
    run_dir: Path


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker may use. None leaves a limit off.

    task_s            wall seconds for one task, after which the worker counts as hung and is killed
    memory_bytes      address space
    cpu_s             processor seconds over the worker's life
    file_bytes        largest file it may write
    open_files        descriptors
    """

    task_s: float = 3600.0
    memory_bytes: int | None = None
    cpu_s: int | None = None
    file_bytes: int | None = 16 * 2**30
    open_files: int = 1024


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for a worker.

    model     the model's bytes, or its file; None for `prepare`
    initial   make the initial model too (`prepare` only)
    state     the app's carried state, a file made by an earlier task; None at first
    carry     where the app's new carried state goes: a file in the run directory
    """

    stage: Stage
    round: int
    model: Path | bytes | None
    initial: bool
    state: Path | None
    carry: Path


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task made: weight in rows, seconds per step, whether state is carried on, and the payload.

    A payload of up to INLINE_LIMIT_BYTES is here itself; of a larger one, which is in the output file, the digest.
    """

    weight: int
    durations_s: Mapping[str, float]
    has_state: bool
    payload: bytes | Blob


class Worker(Protocol):
    """A warm training process, for one run. Not used by two threads at once.

    Contract: `perform` raises WorkerError with the app's traceback in `details` when the app raised, and WorkerError
    when the process hung, exited, was killed or spoke nonsense; after the latter it is gone and `alive` is False.
    StorageError when `output` cannot be written. After an error there is no `output`.
    Another thread may call `close` meanwhile; where there is a process, that breaks off the task with a WorkerError.
    """

    @property
    def alive(self) -> bool:
        """Whether it can take another task."""

    @property
    def pid(self) -> int:
        """The process, for people who look; 0 where there is none of its own."""

    def perform(self, task: Task, output: Path) -> TaskResult:
        """Do one task. A large payload goes into `output`, a file that the app cannot reach."""

    def close(self) -> None:
        """End the process and everything it started."""


class Launcher(Protocol):
    """Starts workers."""

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> Worker:
        """A new worker for one run. Its environment is cleared. Raises WorkerError when it does not come up."""
