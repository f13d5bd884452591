"""What a worker process survives, and what it does not let an app do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.silo.small_app import payload_of, spec_for, train_task, worker_process

from septum.adapters.launch.app_log import MAX_LOG_BYTES
from septum.adapters.launch.interpreter import KERNELS
from septum.adapters.launch.process import WorkerProcess
from septum.adapters.launch.subprocess import SubprocessLauncher, SubprocessWorker
from septum.errors import WorkerError
from septum.ports.launcher import Level, Worker, WorkerLimits, WorkerSpec

pytestmark = pytest.mark.processes

Start = Callable[..., Worker]


@pytest.fixture(params=[Level.PROCESS, Level.SANDBOX], ids=lambda level: level.name.lower())
def level(request: pytest.FixtureRequest) -> Level:
    if request.param is Level.SANDBOX:
        request.getfixturevalue("sandbox")
    return request.param


@pytest.fixture
def start(level: Level) -> Iterator[Start]:
    workers: list[Worker] = []

    def start_one(spec: WorkerSpec, limits: WorkerLimits | None = None) -> Worker:
        workers.append(SubprocessLauncher(level).start(spec, limits or WorkerLimits()))
        assert workers[-1].level is level
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.close()


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ("os._exit(3)", "exited with code 3 during train of round 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"killed by SIGKILL \(out of memory, perhaps\)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
    ],
)
def test_a_process_that_ends_is_named_by_how_it_ended(start: Start, tmp_path: Path, train: str, says: str) -> None:
    spec = spec_for(tmp_path, train)
    worker = start(spec)
    with pytest.raises(WorkerError, match=says):
        worker.perform(train_task(spec), payload_of(spec))
    assert not worker.alive


def test_a_new_worker_goes_on_after_one_that_died(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, f"if not os.path.exists({str(tmp_path / 'better')!r}):\n    os._exit(1)\nreturn p")
    spec = replace(spec, readable=(tmp_path / "better",))
    with pytest.raises(WorkerError, match="exited with code 1"):
        start(spec).perform(train_task(spec), payload_of(spec))
    (tmp_path / "better").touch()
    assert start(spec).perform(train_task(spec), payload_of(spec)).weight == 6


def test_a_hang_is_killed_after_its_seconds(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "while True:\n    pass")
    worker = start(spec, WorkerLimits(task_s=0.5))
    with pytest.raises(WorkerError, match=r"train of round 1 took longer than 0\.5 s"):
        worker.perform(train_task(spec), payload_of(spec))
    assert not worker.alive
    assert not _exists(worker.pid)


def test_what_the_app_prints_is_kept_up_to_a_limit_and_blocks_nothing(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "print('x' * 3_000_000)\nos.write(2, b'y' * 3_000_000)\nreturn p")
    worker = start(spec)
    worker.perform(train_task(spec), payload_of(spec))
    worker.close()
    log = spec.run_dir / "worker.log"
    _until(lambda: log.stat().st_size > MAX_LOG_BYTES)
    assert log.stat().st_size < MAX_LOG_BYTES + 100
    assert log.read_bytes().endswith(b"is not kept\n")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("ends", ["os._exit(1)", "time.sleep(600)", "return p"])
def test_what_the_app_started_ends_with_it(start: Start, tmp_path: Path, ends: str) -> None:
    spec = spec_for(tmp_path, f"{CHILD}\n{ends}".replace("TAG", str(tmp_path)))
    worker = start(spec, WorkerLimits(task_s=2))
    with contextlib.suppress(WorkerError):
        worker.perform(train_task(spec), payload_of(spec))
    _until(lambda: "started" in (spec.run_dir / "worker.log").read_text())
    worker.close()
    _until(lambda: not _with_tag(tmp_path))


def test_a_forked_child_that_holds_the_socket_does_not_hide_the_end(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "if os.fork() == 0:\n    time.sleep(600)\nos._exit(4)")
    began = time.monotonic()
    with pytest.raises(WorkerError, match="exited with code 4"):
        start(spec).perform(train_task(spec), payload_of(spec))
    assert time.monotonic() - began < 20


def test_the_agents_environment_is_not_passed_on(start, level, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEPTUM_TEST_SECRET", "hunter2")
    spec = spec_for(tmp_path, "print(sorted(os.environ), os.getcwd(), os.environ['HOME'])\nreturn p")
    worker = start(spec)
    worker.perform(train_task(spec), payload_of(spec))
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert b"hunter2" not in environment
    names = {item.partition(b"=")[0].decode() for item in environment.split(b"\0") if item}
    assert names <= {
        *("PATH", "PWD", "LANG", "HOME", "TMPDIR", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"),
        *KERNELS,
    }
    where = {Level.PROCESS: str(spec.run_dir / "scratch"), Level.SANDBOX: "/tmp"}[level]
    assert os.readlink(f"/proc/{worker.pid}/cwd") == where
    assert spec.run_dir.stat().st_mode & 0o777 == 0o700


def test_memory_over_the_limit_is_refused_and_told(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "x = np.ones(3_000_000_000, np.uint8)\nreturn p")
    worker = start(spec, WorkerLimits(memory_bytes=2 * 2**30))
    with pytest.raises(WorkerError, match="MemoryError"):
        worker.perform(train_task(spec), payload_of(spec))
    assert worker.alive


def test_processor_time_over_the_limit_ends_the_worker(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "while True:\n    pass")
    worker = start(spec, WorkerLimits(cpu_s=2, task_s=60))
    with pytest.raises(WorkerError, match=r"SIGXCPU \(it used its 2 s"):
        worker.perform(train_task(spec), payload_of(spec))


def test_a_file_over_the_limit_is_refused_and_told(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "open('big', 'wb').write(bytes(2_000_000))\nreturn p")
    with pytest.raises(WorkerError, match="File too large"):
        start(spec, WorkerLimits(file_bytes=1_000_000)).perform(train_task(spec), payload_of(spec))


def test_the_limits_and_no_new_privileges_hold_in_the_process(start: Start, tmp_path: Path) -> None:
    worker = start(spec_for(tmp_path), WorkerLimits(open_files=77))
    status = Path(f"/proc/{worker.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "open files" in line).split()[3:5] == ["77", "77"]
    assert next(line for line in limits.splitlines() if "core file" in line).split()[4:6] == ["0", "0"]


def test_nonsense_on_the_control_channel_kills_the_worker(start: Start, tmp_path: Path) -> None:
    write = r"""
    for fd in range(3, 20):
        try:
            os.write(fd, b"\x00\x00\x00\x02{]")
        except OSError:
            pass
    time.sleep(600)
    """
    spec = spec_for(tmp_path, write)
    worker = start(spec)
    with pytest.raises(WorkerError, match="answered nonsense"):
        worker.perform(train_task(spec), payload_of(spec))
    assert not _exists(worker.pid)


def test_closing_from_another_thread_breaks_off_a_task(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "print('started')\ntime.sleep(600)")
    worker = start(spec)
    log = spec.run_dir / "worker.log"
    closer = threading.Thread(target=lambda: (_until(lambda: "started" in log.read_text()), worker.close()))
    closer.start()
    with pytest.raises(WorkerError, match="was closed during train of round 1"):
        worker.perform(train_task(spec), payload_of(spec))
    closer.join()
    assert not _exists(worker.pid)


def test_a_worker_lives_longer_than_the_thread_that_started_it(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    workers: list[Worker] = []
    thread = threading.Thread(target=lambda: workers.append(start(spec)))
    thread.start()
    thread.join()
    threading.Event().wait(0.2)  # the kernel would end it at once
    assert workers[0].perform(train_task(spec), payload_of(spec)).weight == 6


@pytest.mark.parametrize(
    "hang", ["time.sleep(600)", "sum(range(10**18))"]
)  # the second one never lets other threads in
def test_a_worker_dies_with_its_agent_and_all_that_it_started(tmp_path: Path, level: Level, hang: str) -> None:
    spec = spec_for(tmp_path, f"{CHILD}\n{hang}".replace("TAG", str(tmp_path)))
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(tmp_path), spec.app_digest, str(int(level))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert agent.stdout is not None
    worker_pid = int(agent.stdout.readline())
    _until(lambda: "started" in (spec.run_dir / "worker.log").read_text())
    assert _exists(worker_pid)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    agent.stdout.close()
    _until(lambda: not _exists(worker_pid) and not _with_tag(tmp_path))


CHILD = "subprocess.Popen(['sleep', '600'], env={'TAG': 'TAG'})\nprint('started')"


AGENT = """
import sys
from pathlib import Path
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.ports.launcher import Level, WorkerLimits, WorkerSpec
from septum.protocol.plan import StrategyRef
folder, digest, level = Path(sys.argv[1]), sys.argv[2], Level(int(sys.argv[3]))
data, run_dir = folder / "data.csv", folder / "run"
spec = WorkerSpec("r1", "north", folder / "app", digest, data, {}, 0, StrategyRef(), run_dir)
worker = SubprocessLauncher(level).start(spec, WorkerLimits())
print(worker.pid, flush=True)
from tests.silo.small_app import payload_of, train_task
worker.perform(train_task(spec), payload_of(spec))
"""


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, start: Start) -> None:
    packages = tmp_path / "packages"
    (packages / "numpy").mkdir(parents=True)
    (packages / "numpy" / "__init__.py").write_text("raise ImportError('no numpy here')")
    spec = replace(spec_for(tmp_path), paths=(packages,))
    with pytest.raises(WorkerError, match="exited with code 1 during its start"):
        start(spec)
    _until(lambda: "no numpy here" in (spec.run_dir / "worker.log").read_text())


def _exists(pid: int) -> bool:
    """Whether the process runs. One that ended and was not waited for by its parent counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _with_tag(folder: Path) -> list[int]:
    """The living processes in whose environment or arguments a test's folder is named."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid() and _exists(int(entry.name)):
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if str(folder).encode() in told:
                    found.append(int(entry.name))
    return found


def _until(condition: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


CUT_OFF = """
import socket, sys, time
from septum.adapters.launch.frames import TO_WORKER, Done, Ready, ToWorker, receive, send
control = socket.socket(fileno=int(sys.argv[1]))
receive(control, ToWorker, TO_WORKER)
send(control, Ready())
receive(control, ToWorker, TO_WORKER)
send(control, Done(1, {}, b"", FOLLOW))
control.sendall(bytes(100_000))
END
"""


@pytest.mark.parametrize(
    ("follow_bytes", "end", "says"),
    [
        ("100_001", "sys.exit(7)", "exited with code 7 during train of round 1"),
        ("100_001", "control.close(); time.sleep(600)", "closed its control channel and was killed"),
        ("100_001", "time.sleep(600)", "was killed: train of round 1 took longer than 2 s"),
        ("2**62", "time.sleep(600)", f"its payload has {2**62} bytes, the limit is 1000000"),
        ("-1", "time.sleep(600)", "answered nonsense to train of round 1"),
    ],
)
def test_of_a_payload_that_does_not_come_to_its_end_nothing_is_kept(tmp_path, follow_bytes, end, says):
    program = CUT_OFF.replace("FOLLOW", follow_bytes).replace("END", end)
    process, control = worker_process(["-c", program])
    spec = spec_for(tmp_path)
    worker = SubprocessWorker(spec, WorkerLimits(task_s=2, file_bytes=1_000_000), WorkerProcess(process), control)
    worker.begin()
    with pytest.raises(WorkerError, match=says):
        worker.perform(train_task(spec), payload_of(spec))
    assert not worker.alive
    assert not _exists(worker.pid)
    assert not payload_of(spec).exists()
