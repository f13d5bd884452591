"""How to run an app without a process of its own: in the simulator, and in tests of everything around it.

The same tasks give the same bytes as in a worker process. What a process gives is missing: limits, a cleared
environment and an end by force. So this is for apps that one would run oneself.
"""

from __future__ import annotations

from pathlib import Path

from septum.adapters.launch.payload_file import PayloadFile
from septum.adapters.launch.tasks import Workplace, worker_error
from septum.errors import WorkerError
from septum.ports.launcher import Level, Task, TaskResult, WorkerLimits, WorkerSpec
from septum.protocol import tensors
from septum.protocol.messages import Blob
from septum.protocol.tensors import Tensors


class InlineLauncher:
    """A Launcher whose workers are objects in this process."""

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> InlineWorker:  # noqa: ARG002  a process's limits
        """A new worker. The limits hold for processes only."""
        spec.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return InlineWorker(spec)


class InlineWorker:
    """A Worker in this process."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._workplace: Workplace | None = Workplace(spec)

    @property
    def alive(self) -> bool:
        """Until it is closed, or the app calls exit."""
        return self._workplace is not None

    @property
    def level(self) -> Level:
        """None: the app's code runs in this process."""
        return Level.NONE

    @property
    def pid(self) -> int:
        """0: there is no process of its own."""
        return 0

    def perform(self, task: Task, output: Path) -> TaskResult:
        """Do one task."""
        if self._workplace is None:
            raise WorkerError(f"the worker of run {self._spec.run} in silo {self._spec.silo} has ended")
        try:
            made = self._workplace.perform(task)
        except SystemExit as error:  # would end a process, but must not end this one
            self._workplace = None
            raise WorkerError(
                f"the worker of run {self._spec.run} in silo {self._spec.silo} exited with code {error.code} during "
                f"{task.stage.value} of round {task.round}"
            ) from error
        except Exception as error:
            raise worker_error(error) from error
        payload = made.small or _written(made.large, output)
        if made.state:
            _written(made.state, task.carry)
        return TaskResult(made.weight, made.durations_s, bool(made.state), payload, made.attested, made.train_loss)

    def close(self) -> None:
        """Let go of app and data."""
        self._workplace = None


def _written(content: Tensors, output: Path) -> Blob:
    with PayloadFile(output) as file:
        for piece in tensors.pieces(content):
            file.add(piece)
        return file.blob()
