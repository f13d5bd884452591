"""Large payloads and models over lines that are cut, coordinators that are killed, and disks that rot."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.coordinator.running import Silo
from tests.coordinator.support import evaluated, plan_of, prepared, update
from tests.faults.lone import Lone, lone_coordinator

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.tls import client_context
from septum.client import Client
from septum.errors import ConnectionFailedError, DigestError
from septum.protocol.messages import (
    Blob,
    End,
    Evaluate,
    Instruction,
    Join,
    Outcome,
    Prepare,
    Report,
    Stage,
    Train,
)
from septum.protocol.plan import digest_of
from septum.testing.network import Line, NetworkProxy

pytestmark = pytest.mark.faults

WIDTH = 8_000_000  # 32 MB
SIZE = 4 * WIDTH
STEADY = 40_000_000.0  # bytes a second: what was sent and is not there yet stays little
MIB = 2**20
WAIT_S = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transfers")


@pytest.fixture(scope="module")
def coordinator(folder: Path) -> Iterator[Lone]:
    with lone_coordinator(folder, "max_blob_mb = 64\nhold_s = 2.0\n") as lone:
        yield lone


@pytest.fixture(scope="module")
def silo(coordinator: Lone) -> Silo:
    return coordinator.enrolled("north")


@pytest.fixture
def proxy(coordinator: Lone) -> Iterator[NetworkProxy]:
    with NetworkProxy(coordinator.port) as proxy:
        yield proxy


@pytest.fixture
def channel(coordinator: Lone, silo: Silo, proxy: NetworkProxy) -> Iterator[HttpsChannel]:
    channel = channel_of(coordinator, silo, proxy)
    yield channel
    channel.close()


def channel_of(coordinator: Lone, silo: Silo, proxy: NetworkProxy) -> HttpsChannel:
    return HttpsChannel(
        f"https://127.0.0.1:{proxy.port}", Ed25519Signer(silo.name, silo.key), ca_file=coordinator.ca_file
    )


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload in a file."""

    path: Path
    blob: Blob

    @classmethod
    def of(cls, path: Path, data: bytes) -> "Payload":
        path.write_bytes(data)
        return cls(path, Blob(digest_of(data), len(data)))


@pytest.fixture(scope="module")
def initial(folder: Path) -> Payload:
    return Payload.of(folder / "initial", prepared(initial=True, width=WIDTH))


@pytest.fixture(scope="module")
def trained(folder: Path) -> Payload:
    values = np.arange(WIDTH, dtype=np.float32) * np.float32(1e-7)
    return Payload.of(folder / "trained", update(0.0, WIDTH, w=values))


def join(coordinator: Lone, channel: HttpsChannel, key: str) -> str:
    """A run that waits for its initial model."""
    plan = plan_of(["north"], rounds=1, hyper={"rounds": 1, "lr": 0.1})
    with Client(coordinator.access) as client:
        run = client.submit(plan, key=key).id
    assert isinstance(channel.exchange(run, Join(plan.digest)), Prepare)
    return run


def report(channel: HttpsChannel, run: str, stage: Stage, round_: int, base: str, payload: Payload) -> Instruction:
    send(channel, run, payload)
    return channel.exchange(run, Report(stage, round_, 1, base, payload.blob, 10 if stage is not Stage.EVALUATE else 0))


def send(channel: HttpsChannel, run: str, payload: Payload) -> None:
    again(lambda: channel.send_blob(run, payload.blob.digest, payload.path))


def again(transfer: Callable[[], None]) -> None:
    """Try a transfer again until it gets through, as an agent does."""
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.2)):
        try:
            transfer()
        except ConnectionFailedError:
            pause.wait(0.2)
        else:
            return
    raise AssertionError(f"no transfer got through in {WAIT_S} s")


def start_training(coordinator: Lone, channel: HttpsChannel, key: str, initial: Payload) -> tuple[str, Blob]:
    """A run whose first round waits for its update, and its model."""
    run = join(coordinator, channel, key)
    told = report(channel, run, Stage.PREPARE, 0, "", initial)
    assert isinstance(told, Train)
    return run, told.model


def finish(channel: HttpsChannel, run: str, base: str, trained: Payload, folder: Path) -> str:
    """Report an update, and the evaluation; the last model's digest."""
    told = report(channel, run, Stage.TRAIN, 1, base, trained)
    assert isinstance(told, Evaluate)
    end = report(channel, run, Stage.EVALUATE, 1, told.model.digest, Payload.of(folder / "evaluated", evaluated()))
    assert isinstance(end, End)
    assert end.outcome is Outcome.FINISHED
    return told.model.digest


@pytest.fixture(scope="module")
def undisturbed(coordinator: Lone, silo: Silo, initial: Payload, trained: Payload, folder: Path) -> str:
    """The last model's digest when nothing goes wrong."""
    with NetworkProxy(coordinator.port) as proxy:
        channel = channel_of(coordinator, silo, proxy)
        run, model = start_training(coordinator, channel, "undisturbed", initial)
        digest = finish(channel, run, model.digest, trained, folder)
        channel.close()
    return digest


class Middle:
    """In the middle of a transfer, something is done to it."""

    def __init__(self, proxy: NetworkProxy, up: bool, action: Callable[[], None]) -> None:
        self._proxy = proxy
        self._up = up
        self._action = action
        before = self._passed
        proxy.become(Line(bytes_per_s=STEADY))
        self._thread = threading.Thread(target=self._run, args=(before + SIZE // 2,))
        self._thread.start()

    @property
    def _passed(self) -> int:
        return self._proxy.counts.bytes_up if self._up else self._proxy.counts.bytes_down

    def _run(self, passed: int) -> None:
        self._proxy.wait_until(lambda counts: (counts.bytes_up if self._up else counts.bytes_down) >= passed, WAIT_S)
        self._action()

    def __enter__(self) -> "Middle":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(WAIT_S)
        self._proxy.heal()


# --- cuts ------------------------------------------------------------------------------------------------------------


def test_uploads_that_are_cut_in_the_middle_go_on_there_and_give_the_same_model(
    coordinator, channel, proxy, initial, trained, undisturbed, folder
):
    run, model = start_training(coordinator, channel, "cut-up", initial)
    before = proxy.counts.bytes_up
    with Middle(proxy, up=True, action=proxy.cut):
        send(channel, run, trained)
    assert proxy.counts.resets >= 1
    assert SIZE <= proxy.counts.bytes_up - before < 1.3 * SIZE
    assert finish(channel, run, model.digest, trained, folder) == undisturbed
    assert proxy.counts.bytes_up - before < 1.3 * SIZE  # the report did not send it again


def test_a_download_that_is_cut_in_the_middle_goes_on_there(coordinator, channel, proxy, initial, tmp_path):
    run, model = start_training(coordinator, channel, "cut-down", initial)
    before = proxy.counts.bytes_down
    target = tmp_path / "model"
    with Middle(proxy, up=False, action=proxy.cut):
        again(lambda: channel.fetch_blob(run, model.digest, target, size_bytes=model.size_bytes))
    assert digest_of(target.read_bytes()) == model.digest
    assert SIZE <= proxy.counts.bytes_down - before < 1.3 * SIZE
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_agent_that_was_killed_in_the_middle_of_a_download_goes_on_with_it(
    coordinator, silo, channel, proxy, initial, tmp_path
):
    run, model = start_training(coordinator, channel, "agent", initial)
    before = proxy.counts.bytes_down
    target = tmp_path / "model"
    with (
        Middle(proxy, up=False, action=channel.close),
        pytest.raises(ConnectionFailedError),
    ):
        channel.fetch_blob(run, model.digest, target, size_bytes=model.size_bytes)
    other = channel_of(coordinator, silo, proxy)  # knows nothing of what the first one did
    other.fetch_blob(run, model.digest, target, size_bytes=model.size_bytes)
    other.close()
    assert digest_of(target.read_bytes()) == model.digest
    assert proxy.counts.bytes_down - before < 1.3 * SIZE


def test_an_upload_goes_on_after_the_coordinator_was_killed_in_the_middle_of_it(
    coordinator, channel, proxy, initial, trained, undisturbed, folder
):
    run, model = start_training(coordinator, channel, "killed", initial)
    before = proxy.counts.bytes_up

    def kill_and_start() -> None:
        coordinator.kill()
        coordinator.start()

    with Middle(proxy, up=True, action=kill_and_start):
        send(channel, run, trained)
    assert SIZE <= proxy.counts.bytes_up - before < 1.3 * SIZE
    assert finish(channel, run, model.digest, trained, folder) == undisturbed
    assert not list((coordinator.data_dir / "blobs" / ".cut").glob("*/*"))


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_mb(coordinator: Lone) -> float:
    """The most memory that the coordinator held since `forget_peak`."""
    status = Path(f"/proc/{coordinator.pid}/status").read_text()
    match = re.search(r"VmHWM:\s*([0-9]+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


def forget_peak(coordinator: Lone) -> float:
    """Begin anew; what it holds now."""
    Path(f"/proc/{coordinator.pid}/clear_refs").write_text("5")
    return peak_mb(coordinator)


def settled_peak_mb(coordinator: Lone) -> float:
    """The same, once it grows no more."""
    pause, peaks = threading.Event(), [peak_mb(coordinator)]
    while len(peaks) < 5 or peaks[-1] > peaks[-5]:
        pause.wait(0.2)
        peaks.append(peak_mb(coordinator))
    return peaks[-1]


def raw(coordinator: Lone, silo: Silo, method: str, path: str, fields: str = "") -> socket.socket:
    """A connection on which a request was made, whose answer nobody has read."""
    signed = "".join(f"{name}: {value}\r\n" for name, value in silo.signed(method, path).items())
    plain = socket.create_connection(("127.0.0.1", coordinator.port), timeout=WAIT_S)
    connection = client_context(coordinator.ca_file).wrap_socket(plain, server_hostname="localhost")
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{signed}{fields}\r\n".encode())
    return connection


@pytest.mark.parametrize("declared", [True, False])
def test_an_upload_that_is_too_large_is_refused_and_not_held_in_memory(coordinator, silo, channel, declared):
    run = join(coordinator, channel, f"large-{declared}")
    path = f"/silo/v1/runs/{run}/blobs/{digest_of(b'large')}"
    piece = bytes(MIB)
    before = forget_peak(coordinator)
    fields = f"Content-Length: {256 * MIB}\r\n" if declared else "Transfer-Encoding: chunked\r\n"
    sent = 0
    with raw(coordinator, silo, "PUT", path, fields) as connection:
        answer = b""
        try:
            for _ in range(256):
                connection.sendall(piece if declared else b"%x\r\n%b\r\n" % (len(piece), piece))
                sent += len(piece)
        except OSError:  # it does not listen to the end
            pass
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"too_large"' in answer
    assert sent <= (16 if declared else 64 + 32) * MIB  # the limit is 64, and some are on their way
    assert peak_mb(coordinator) - before < 64
    assert not list((coordinator.data_dir / "blobs" / ".cut").glob("*/*"))


def test_silos_that_take_their_model_slowly_cost_little_memory(coordinator, silo, channel, initial):
    run, model = start_training(coordinator, channel, "slow", initial)
    path = f"/silo/v1/runs/{run}/blobs/{model.digest}"
    before = forget_peak(coordinator)
    with ExitStack() as stack:
        for number in range(16):
            fields = f"Range: bytes={number}-\r\n" if number % 2 else ""
            connection = stack.enter_context(raw(coordinator, silo, "GET", path, fields))
            assert connection.recv(12) == (b"HTTP/1.1 206" if number % 2 else b"HTTP/1.1 200")
        with Client(coordinator.access) as client:
            assert client.run(run).id == run  # others are served meanwhile
        assert settled_peak_mb(coordinator) - before < 64


# --- rot -------------------------------------------------------------------------------------------------------------


def test_a_model_whose_bytes_rotted_on_the_coordinators_disk_is_a_digest_error(
    coordinator, channel, proxy, initial, tmp_path
):
    run, model = start_training(coordinator, channel, "rot", initial)
    name = model.digest.removeprefix("blake3:")
    stored = coordinator.data_dir / "blobs" / f"models-{run}" / name[:2] / name
    with stored.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"rotten")
    before = proxy.counts.bytes_down
    with pytest.raises(DigestError, match="came damaged twice") as caught:
        channel.fetch_blob(run, model.digest, tmp_path / "model", size_bytes=model.size_bytes)
    assert caught.value.hint.endswith(f"septum run show {run}")
    assert list(tmp_path.iterdir()) == []
    assert proxy.counts.bytes_down - before > 2 * SIZE  # it was fetched once more from the start
