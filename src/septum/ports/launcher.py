"""How a silo starts the process that runs an app's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from septum.protocol.codec import LATER, Scalar
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import StrategyRef
from septum.sdk.attested import Attested
from septum.sdk.private_loss import PrivateLoss


class Level(IntEnum):
    """How far an app's code is kept apart from its silo. What each level protects is in SECURITY.md.

    NONE     it runs in this very process
    PROCESS  in a process with limits, under the agent's user: it can read what that user can, and reach the network
    SANDBOX  in namespaces of its own: no network, nothing to read but what WorkerSpec names, no file to write on a disk
    """

    NONE = 0
    PROCESS = 1
    SANDBOX = 2


@dataclass(frozen=True, slots=True)
class Loop:
    """Training with differential privacy, by septum's own code alone (`privacy.dp_sgd`).

    Where `private` is `by_app`, it is by the app's, which is told the same and attests what it did.

    clip .. expected_batch   as `privacy.dp_sgd.Settings` has them
    steps, learning_rate     of one round
    weight                   of the silo's updates: its number of rows with noise
    metrics_noise            multiplier of the noise on what is told of the last model; 0: nothing is
    """

    private: PrivateLoss
    clip: float
    noise_multiplier: float
    sampling_rate: float
    expected_batch: float
    steps: int
    learning_rate: float
    weight: int
    metrics_noise: float = field(default=0.0, metadata=LATER)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is for, and what it may read.

    strategy    the plan's; some change the silo's training too
    run_dir     the run's own directory: the app's log and its carried states; the app may read it
    model_dir   where large models lie; None for the folder `model` beside `run_dir`
    readable    further files and folders that it may read
    python      the interpreter, with septum installed in it; None for the agent's own
    paths       folders of packages of the app's own: on `sys.path` behind Python's library, before all others
    rows_for    what the app's rows are made for: the worker's one task is `prepare`, and its payload are the rows,
                which stay in the silo
    loop        train so, on rows that such a worker made (`data_path`): no code of an app runs, and none is read; or
                tell the app to train so by itself
    private     patterns of the names of the parameters that are the silo's own
    personalise local rounds after the last round; 0 for none
    train_loss  tell how what was trained does on the train rows, too: a number that stays in the silo
    scores      apply models to rows without a target: the state of each `evaluate` task is a table of them, and its
                payload their logits, which stay in the silo. `data_path` is not read
    """

    run: str
    silo: str
    app_dir: Path
    app_digest: str
    data_path: Path
    hyper: Mapping[str, Scalar]
    seed: int
    strategy: StrategyRef
    run_dir: Path
    model_dir: Path | None = None
    readable: tuple[Path, ...] = ()
    python: Path | None = None
    paths: tuple[Path, ...] = ()
    rows_for: PrivateLoss | None = None
    loop: Loop | None = None
    private: tuple[str, ...] = ()
    personalise: int = 0
    scores: bool = False
    train_loss: bool = False


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker may use. None leaves a limit off.

    task_s            wall seconds for one task, after which the worker counts as hung and is killed
    memory_bytes      address space of each of its processes; in a sandbox also the memory of all of them together
    cpu_s             processor seconds of each of its processes
    file_bytes        largest file it may write, and largest payload
    open_files        descriptors of each of its processes
    processes         processes and threads that it may add to its own, at one time
    scratch_bytes     all its files together: working directory and temporary files, gone when it ends
    """

    task_s: float = 3600.0
    memory_bytes: int | None = None
    cpu_s: int | None = None
    file_bytes: int | None = 16 * 2**30
    open_files: int = 1024
    processes: int | None = 1024
    scratch_bytes: int = 2**30


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for a worker.

    model     the model's bytes, or its file; None for `prepare`
    initial   make the initial model too (`prepare` only)
    state     what is carried, a file made by an earlier task: the app's state, the silo's own parameters; None at first
    carry     where the app's new carried state is put: a file in the run directory
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
    `attested` is what the app says of its own training with differential privacy. `train_loss`, the mean log loss on
    the train rows of what was trained on them, is there where it was asked for and could be found.
    """

    weight: int
    durations_s: Mapping[str, float]
    has_state: bool
    payload: bytes | Blob
    attested: Attested | None = None
    train_loss: float | None = None


class Worker(Protocol):
    """A warm training process, for one run. Not used by two threads at once.

    Contract: `perform` raises WorkerError with the app's traceback in `details` when the app raised, and WorkerError
    when the process hung, exited, was killed or spoke nonsense; after the latter it is gone and `alive` is False.
    StorageError when `output` or the task's `carry` cannot be written. After an error there is no `output`.
    Another thread may call `close` meanwhile; where there is a process, that breaks off the task with a WorkerError.
    """

    @property
    def alive(self) -> bool:
        """Whether it can take another task."""

    @property
    def level(self) -> Level:
        """How far the app's code is kept apart, for real."""

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
        """A new worker for one run. Its environment is cleared.

        Raises WorkerError when it does not come up, ConfigError when it may not be started as it is asked for.
        """
