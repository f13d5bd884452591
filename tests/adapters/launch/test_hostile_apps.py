"""What an app that means harm can do, and what it cannot: real attacks, in a real worker, at each level.

Each attack in the sandbox fails, and the silo goes on with the next task. What level 1 does not protect is here as
well, so that SECURITY.md says no more than what is so.
"""

from __future__ import annotations

import ast
import contextlib
import os
import platform
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.silo.small_app import payload_of, spec_for, train_task, write_app, write_data

from septum.adapters.launch.process import readable
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import WorkerError
from septum.ports.launcher import Level, Worker, WorkerLimits, WorkerSpec
from septum.sdk.package import digest_of

pytestmark = pytest.mark.faults
SECRET = "the key of this silo"
TRY = """
def tried(attack):
    try:
        return repr(attack())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

"""


@dataclass
class Silo:
    """A silo's directory with its secrets, its launcher, and a neighbour's records."""

    folder: Path
    neighbour: Path
    launcher: SubprocessLauncher
    workers: list[Worker]

    def spec(self, train: str) -> WorkerSpec:
        """An app with this training, and this silo's records."""
        app_dir = write_app(self.folder / "app", train, TRY)
        work = self.folder / "runs" / "r1" / "work"
        data = write_data(self.folder / "data.csv")
        spec = spec_for(self.folder.parent / "unused")
        return replace(spec, app_dir=app_dir, app_digest=digest_of(app_dir), data_path=data, run_dir=work)

    def start(self, train: str, limits: WorkerLimits | None = None) -> tuple[WorkerSpec, Worker]:
        """A worker for such an app."""
        spec = self.spec(train)
        self.workers.append(self.launcher.start(spec, limits or WorkerLimits(task_s=60)))
        return spec, self.workers[-1]

    def told(self, train: str, limits: WorkerLimits | None = None) -> str:
        """What comes of an attack; after it the silo does its work."""
        spec, worker = self.start(train, limits)
        with pytest.raises(WorkerError) as told:
            worker.perform(train_task(spec), payload_of(spec))
        worker.close()
        self.goes_on()
        return told.value.message

    def result(self, attack: str, before: str = "pass") -> str:
        """What an expression gives, or raises."""
        return self.told(f"{before}\nraise ValueError(tried(lambda: {attack}))")

    def printed(self, value: str, before: str = "pass") -> Any:
        """What an expression gives in the worker, of any length."""
        self.told(f"{before}\nprint(repr({value}), flush=True)\nraise ValueError")
        return ast.literal_eval((self.folder / "runs" / "r1" / "work" / "worker.log.1").read_text())

    def goes_on(self) -> None:
        """The next worker of this silo does its task."""
        spec, worker = self.start("return {'w': p['w'] + np.float32(h.lr) * np.float32(len(data))}")
        assert worker.perform(train_task(spec), payload_of(spec)).weight == 6
        worker.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Level], Silo]]:
    workers: list[Worker] = []

    def silo(level: Level) -> Silo:
        folder, neighbour = tmp_path / "silo", tmp_path / "neighbour"
        (folder / "runs" / "r0").mkdir(parents=True)
        neighbour.mkdir()
        for path in (folder / "silo.key", folder / "silo.toml", folder / "runs" / "r0" / "session.0"):
            path.write_text(SECRET)
        (neighbour / "data.csv").write_text(SECRET)
        return Silo(folder, neighbour, SubprocessLauncher(level, hidden=(folder,)), workers)

    yield silo
    for worker in workers:
        worker.close()


@pytest.fixture
def silo(make: Callable[[Level], Silo], sandbox: None) -> Silo:
    """A silo whose workers are in the sandbox."""
    return make(Level.SANDBOX)


@pytest.fixture
def plain(make: Callable[[Level], Silo]) -> Silo:
    """A silo whose workers are processes and no more."""
    return make(Level.PROCESS)


# --- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["SILO/silo.key", "SILO/silo.toml", "SILO/runs/r0/session.0", "NEIGHBOUR/data.csv", "/etc/passwd", "/etc/shadow"],
)
def test_no_file_outside_of_what_is_named_is_there(silo: Silo, path: str) -> None:
    path = path.replace("SILO", str(silo.folder)).replace("NEIGHBOUR", str(silo.neighbour))
    assert Path(path).exists()
    assert "FileNotFoundError" in silo.result(f"open({path!r}).read()")


def test_nothing_of_the_silo_is_listed_but_what_the_app_may_read(silo: Silo) -> None:
    folders = [str(silo.folder), str(silo.folder / "runs"), "/etc"]
    of_silo, of_runs, of_system = silo.printed(f"[sorted(os.listdir(folder)) for folder in {folders}]")
    assert (of_silo, of_runs) == (["app", "data.csv", "runs"], ["r1"])
    assert set(of_system) <= {"alternatives", "ld.so.cache"}


def test_records_that_lie_beside_an_app_are_not_there(silo: Silo) -> None:
    (silo.folder / "app" / "data").mkdir(parents=True)
    (silo.folder / "app" / "data" / "hungary.csv").write_text(SECRET)
    assert "ValueError: []" in silo.result(f"os.listdir({str(silo.folder / 'app' / 'data')!r})")


def test_secrets_in_a_folder_that_python_needs_are_not_there(silo: Silo) -> None:
    key = str(silo.folder / "silo.key")
    spec = silo.spec(f"raise ValueError(tried(lambda: open({key!r}).read()))")
    spec = replace(spec, paths=(silo.folder.parent,))
    worker = silo.launcher.start(spec, WorkerLimits())
    silo.workers.append(worker)
    with pytest.raises(WorkerError, match="FileNotFoundError"):
        worker.perform(train_task(spec), payload_of(spec))


def test_the_agents_environment_and_memory_cannot_be_reached(silo: Silo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPTUM_TEST_SECRET", SECRET)
    seen = silo.printed("{pid: open(f'/proc/{pid}/environ').read() for pid in os.listdir('/proc') if pid.isdigit()}")
    assert len(seen) == 2  # the namespace's first process, and the worker
    assert SECRET not in repr(seen)
    assert "FileNotFoundError" in silo.result(f"open('/proc/{os.getpid()}/mem', 'rb')")


def test_a_worker_inherits_the_control_channel_and_no_other_descriptor(silo: Silo) -> None:
    with socket.socket() as other:
        os.set_inheritable(other.fileno(), True)
        model = str(silo.folder / "runs" / "r1" / "work" / "model")  # which it has been given
        links = "[tried(lambda: os.readlink(f'/proc/self/fd/{n}')) for n in range(1000)]"
        found = silo.printed(f"[link for link in {links} if 'FileNotFoundError' not in link]")
    assert [link.strip("'").split(":")[0] for link in found] == ["/dev/null", "pipe", "pipe", model, "socket"]


def test_a_process_without_a_sandbox_can_read_the_silos_key(plain: Silo) -> None:
    """What level 1 does not protect: SECURITY.md says so."""
    assert SECRET in plain.result(f"open({str(plain.folder / 'silo.key')!r}).read()")


# --- the network ---------------------------------------------------------------------------------------------------

CONNECT = "socket.create_connection(('{}', {}), timeout=5)"


def test_nobody_can_be_reached_over_the_network(silo: Silo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as coordinator:
        port = coordinator.getsockname()[1]
        assert "ConnectionRefusedError" in silo.result(CONNECT.format("127.0.0.1", port), "import socket")
    assert "Network is unreachable" in silo.result(CONNECT.format("192.0.2.1", 443), "import socket")
    assert "Network is unreachable" in silo.result(CONNECT.format("2001:db8::1", 443), "import socket")
    assert "gaierror" in silo.result("socket.getaddrinfo('example.org', 443)", "import socket")


def test_no_socket_of_the_machine_can_be_reached(silo: Silo) -> None:
    path = silo.folder.parent / "socket"
    name = f"\0septum-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
        for sock, address in ((named, str(path)), (abstract, name)):
            sock.bind(address)
            sock.listen()
        connect = "socket.socket(socket.AF_UNIX).connect({!r})"
        assert "FileNotFoundError" in silo.result(connect.format(str(path)), "import socket")
        assert "ConnectionRefusedError" in silo.result(connect.format(name), "import socket")


def test_a_process_without_a_sandbox_can_reach_the_network(plain: Silo) -> None:
    """What level 1 does not protect."""
    with socket.create_server(("127.0.0.1", 0)) as coordinator:
        port = coordinator.getsockname()[1]
        assert "socket.socket fd=" in plain.result(CONNECT.format("127.0.0.1", port), "import socket")


# --- using everything up -------------------------------------------------------------------------------------------


def test_a_fork_bomb_is_ended_at_its_limit(silo: Silo) -> None:
    bomb = "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    spec, worker = silo.start(bomb, WorkerLimits(processes=40, task_s=5))
    over = r"was killed: it had \d+ processes and threads, the limit is 40, during train"
    with pytest.raises(WorkerError, match=over if os.geteuid() == 0 else "longer than"):  # the kernel exempts root
        worker.perform(train_task(spec), payload_of(spec))
    assert _named(silo.folder) == []
    silo.goes_on()


def test_the_kernel_holds_a_user_who_is_not_root_to_the_number_of_processes(silo: Silo) -> None:
    told = silo.result("__import__('resource').getrlimit(__import__('resource').RLIMIT_NPROC)")
    soft = int(told.rpartition("(")[2].partition(",")[0])
    assert 1024 < soft < 1024 + 10  # its own few processes, and 1,024 more


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm", "."])
def test_no_more_can_be_written_than_the_scratch_space_holds(silo: Silo, where: str) -> None:
    fill = f"""
    for number in range(64):
        file = open(f'{where}/{{number}}', 'wb')
        os.unlink(file.name)  # what has no name counts as well
        file.write(bytes(1_000_000))
        file.flush()
        kept = globals().setdefault('kept', [])
        kept.append(file)
    """
    assert "No space left on device" in silo.told(fill, WorkerLimits(scratch_bytes=8_000_000))


@pytest.mark.parametrize("where", ["/", "/dev", "/usr", "SILO/runs/r1/work", "SILO/app"])
def test_nothing_else_can_be_written_to(silo: Silo, where: str) -> None:
    path = where.replace("SILO", str(silo.folder))
    assert "Read-only file system" in silo.result(f"open({path + '/new'!r}, 'w')")


def test_nothing_that_is_written_is_on_a_disk(silo: Silo) -> None:
    paths = [str(folder / "new") for folder in (silo.folder, silo.folder / "runs", silo.neighbour, Path("/tmp"))]
    silo.printed(f"[tried(lambda: open(path, 'w')) for path in {paths}]")
    assert not any(Path(path).exists() for path in paths)


def test_a_process_that_fills_its_own_folder_is_ended(plain: Silo) -> None:
    fill = "file = open('big', 'wb')\nwhile True:\n    file.write(bytes(1_000_000))\n    time.sleep(0.001)"
    told = plain.told(fill, WorkerLimits(scratch_bytes=8_000_000))
    assert "was killed: its files have more than 8000000 bytes, during train" in told
    assert not (plain.folder / "runs" / "r1" / "work" / "scratch").exists()


def test_many_processes_have_no_more_memory_together_than_one(silo: Silo) -> None:
    share = """
    for _ in range(8):
        if os.fork() == 0:
            mine = np.ones(200_000_000, np.uint8)
            time.sleep(600)
    time.sleep(600)
    """
    told = silo.told(share, WorkerLimits(memory_bytes=900_000_000, task_s=60))
    assert "was killed: its processes together had" in told


def test_pages_that_processes_share_count_once(silo: Silo) -> None:
    share = """
    mine = np.ones(200_000_000, np.uint8)
    for _ in range(8):
        if os.fork() == 0:
            time.sleep(600)
    time.sleep(2)
    return p
    """
    spec, worker = silo.start(share, WorkerLimits(memory_bytes=900_000_000, task_s=60))
    assert worker.perform(train_task(spec), payload_of(spec)).weight == 6


def test_a_flood_of_output_neither_fills_the_disk_nor_holds_up_the_silo(silo: Silo) -> None:
    spec, worker = silo.start("for _ in range(300):\n    os.write(1, b'x' * 100_000)\nreturn p")
    worker.perform(train_task(spec), payload_of(spec))
    worker.close()
    assert (spec.run_dir / "worker.log").stat().st_size < 1_100_000


def test_a_payload_over_the_limit_is_not_taken(silo: Silo) -> None:
    large = "return {'w': np.zeros((1, 1), np.float32)}"
    grow = "ctx.state['s'] = np.zeros(1_000_000)\n" + large
    told = silo.told(grow, WorkerLimits(file_bytes=5_000_000))
    assert "its payload has 8000" in told
    assert "the limit is 5000000" in told


# --- other processes -----------------------------------------------------------------------------------------------

DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range(3):
            os.close(fd)
        os.execve('/bin/sleep', ['sleep', '601'], {'TAG': 'FOLDER'})
    os._exit(0)
os.wait()
return p
"""


def test_a_daemon_ends_with_its_worker(silo: Silo) -> None:
    spec, worker = silo.start(DAEMON.replace("FOLDER", str(silo.folder)))
    worker.perform(train_task(spec), payload_of(spec))
    _until(lambda: any(_is_sleep(pid) for pid in _named(silo.folder)))
    worker.close()
    assert _named(silo.folder) == []  # at once: `close` waits for all of them
    silo.goes_on()


def test_a_daemon_does_not_outlive_a_worker_that_exits_by_itself(silo: Silo) -> None:
    spec, worker = silo.start(DAEMON.replace("FOLDER", str(silo.folder)).replace("return p", "os._exit(5)"))
    with pytest.raises(WorkerError, match="exited with code 5"):
        worker.perform(train_task(spec), payload_of(spec))
    assert _named(silo.folder) == []


def test_closing_waits_for_the_last_of_many(silo: Silo) -> None:
    crowd = """
    for _ in range(60):
        if os.fork() == 0:
            mine = np.ones(8_000_000, np.uint8)  # what has to be given back takes its time
            time.sleep(600)
    time.sleep(1)
    return p
    """
    spec, worker = silo.start(crowd)
    worker.perform(train_task(spec), payload_of(spec))
    here = os.dup(worker._process._first)
    worker.close()
    assert readable(here, 0)  # the namespace's first process has ended, which it does after all others
    os.close(here)
    assert _named(silo.folder) == []


def test_a_daemon_of_a_process_without_a_sandbox_lives_on(plain: Silo) -> None:
    """What level 1 does not protect."""
    spec, worker = plain.start(DAEMON.replace("FOLDER", str(plain.folder)))
    worker.perform(train_task(spec), payload_of(spec))
    worker.close()
    (daemon,) = [pid for pid in _named(plain.folder) if _is_sleep(pid)]
    os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["os.getppid()", "AGENT", "1"])
def test_no_process_outside_can_be_killed(silo: Silo, victim: str) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    with bystander:
        attack = f"os.kill({victim.replace('AGENT', str(bystander.pid))}, signal.SIGKILL)"
        silo.told(f"for _ in range(3):\n    tried(lambda: {attack})\ntried(lambda: os.kill(-1, 9))\nraise ValueError")
        assert bystander.poll() is None
        bystander.kill()


def test_a_process_of_any_level_cannot_raise_its_limits_or_gain_a_right(make: Callable[[Level], Silo], level: Level):
    silo = make(level)
    raise_it = "__import__('resource').setrlimit(__import__('resource').RLIMIT_NOFILE, (2048, 2048))"
    assert "not allowed to raise maximum limit" in silo.result(raise_it)
    status = "open('/proc/self/status').read()"
    inside = "subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True).stdout"
    seen = [status, inside]  # a program that it starts gets nothing back
    if level is Level.SANDBOX:
        seen.append("open('/proc/1/status').read()")  # whose memory it can write to
    for told in silo.printed(f"[{', '.join(seen)}]"):
        lines = dict(line.split(":\t", 1) for line in told.splitlines())
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", *(["CapBnd"] if os.geteuid() == 0 else [])):
            assert int(lines[name], 16) == 0
        assert lines["NoNewPrivs"] == "1"
        assert level is Level.PROCESS or platform.machine() != "x86_64" or lines["Seccomp"] == "2"


@pytest.fixture(params=[Level.PROCESS, Level.SANDBOX], ids=lambda level: level.name.lower())
def level(request: pytest.FixtureRequest) -> Level:
    if request.param is Level.SANDBOX:
        request.getfixturevalue("sandbox")
    return request.param


# --- its own code and data, and the silo's files -------------------------------------------------------------------


@pytest.mark.parametrize("file", ["app/app.py", "data.csv"])
@pytest.mark.parametrize("attack", ["open({!r}, 'a')", "os.unlink({!r})", "os.chmod({!r}, 0o777)", "os.utime({!r})"])
def test_neither_code_nor_data_can_be_changed(silo: Silo, file: str, attack: str) -> None:
    told = silo.result(attack.format(str(silo.folder / file)))
    assert "Read-only file system" in told or "Device or resource busy" in told  # it is a mount of its own


def test_what_an_app_leaves_in_the_place_of_the_silos_files_is_not_followed(plain: Silo) -> None:
    work = plain.folder / "runs" / "r1" / "work"
    tricks = f"""
    os.chdir({str(work)!r})
    os.unlink('worker.log')
    os.symlink({str(plain.folder / "silo.key")!r}, 'worker.log')
    os.makedirs('worker.log.1/deep')
    os.link({str(plain.folder / "silo.key")!r}, 'scratch/hard')
    os.symlink({str(plain.folder)!r}, 'scratch/soft')
    os.mkdir('scratch/closed')
    os.chmod('scratch/closed', 0)
    os.chdir('scratch')
    for _ in range(3000):  # no path of this length can be opened
        os.mkdir('down')
        os.chdir('down')
    raise ValueError('done')
    """
    assert "done" in plain.told(tricks)
    assert (plain.folder / "silo.key").read_text() == SECRET
    assert sorted(path.name for path in work.iterdir()) == ["model", "worker.log"]
    assert not (work / "worker.log").is_symlink()


# --- the kernel ----------------------------------------------------------------------------------------------------

SYSCALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    return os.strerror(ctypes.get_errno())
"""
NEW_USER, NEW_NET = 0x10000000, 0x40000000
CALLS = {
    "ptrace": (101, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, NEW_USER),
    "setns": (308, 0, 0),
    "clone": (56, NEW_USER | NEW_NET | 17, 0, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "keyctl": (250, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
}
ABSENT = {
    "io_uring_setup": (425, 1, 0),
    "memfd_create": (319, 0, 0),
    "shmget": (29, 0, 4096, 0o600),
    "clone3": (435, 0, 0),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter is for x86-64")
def test_system_calls_that_no_training_needs_are_refused(silo: Silo) -> None:
    calls = {**CALLS, **ABSENT}
    found = silo.printed(f"{{name: call(*words) for name, words in {calls!r}.items()}}", SYSCALL)
    assert {name for name in CALLS if found[name] == "Operation not permitted"} == set(CALLS)
    assert {name for name in ABSENT if found[name] == "Function not implemented"} == set(ABSENT)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter is for x86-64")
@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_NETLINK", "AF_PACKET", "AF_ALG"])
def test_sockets_of_families_that_no_namespace_holds_in_are_refused(silo: Silo, family: str) -> None:
    told = silo.result(f"socket.socket(socket.{family}, socket.SOCK_DGRAM)", "import socket")
    assert "Address family not supported" in told


def test_threads_and_processes_of_an_app_still_work(silo: Silo) -> None:
    work = """
    import concurrent.futures as futures, multiprocessing, socket
    with futures.ThreadPoolExecutor(2) as threads, multiprocessing.Pool(2) as processes:
        assert list(threads.map(abs, [-1, -2])) == processes.map(abs, [-1, -2]) == [1, 2]
    here, there = socket.socketpair()
    assert subprocess.run(['echo', 'yes'], capture_output=True).stdout == b'yes\\n'
    return p
    """
    spec, worker = silo.start(work)
    assert worker.perform(train_task(spec), payload_of(spec)).weight == 6


def _named(folder: Path) -> list[int]:
    """The living processes, but for this one, that name a folder in their environment or arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if state not in "ZX" and str(folder).encode() in told:
                    found.append(int(entry.name))
    return found


def _is_sleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00601\x00"


def _until(condition: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
