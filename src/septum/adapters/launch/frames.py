"""What do an agent and its worker say to each other, and how is it framed?

A socket pair carries frames: 4 bytes big-endian length, then one message through `protocol.codec` (JSON, versioned,
strict). Small tensors pass inside. A large model lies in a file, which the worker maps; a large payload and the app's
carried state follow their frame as they are. The worker runs an author's code, so the agent trusts no frame.

Both come from one installation. If it is upgraded while the agent runs, a new worker may speak other frames than the
old agent; no older version is spoken, for all it takes is to start the agent again.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import ConnectionFailedError, MessageError, TimedOutError
from septum.ports.launcher import Loop, Task, WorkerLimits, WorkerSpec
from septum.protocol.codec import LATER, MAX_MESSAGE_BYTES, Scalar, decode, encode
from septum.protocol.messages import INLINE_LIMIT_BYTES, MAX_DETAILS_CHARS, MAX_REASON_CHARS, Stage
from septum.protocol.plan import StrategyRef
from septum.protocol.versions import Sides, Wire
from septum.sdk.attested import Attested
from septum.sdk.private_loss import PrivateLoss

FRAMES = Wire(
    "septum-frames",
    4,
    advice="septum was upgraded while the agent ran; start the agent again: septum silo start",
)
TO_WORKER = Sides("the agent", "the worker")
TO_AGENT = Sides("the worker", "the agent")
_LENGTH = struct.Struct(">I")


# --- agent -> worker -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The first frame: what the worker is for and may use. It limits itself before any code of the app runs."""

    run: str
    silo: str
    app_dir: str
    app_digest: str
    data_path: str
    hyper: Mapping[str, Scalar]
    seed: int
    strategy: StrategyRef
    run_dir: str
    limits: WorkerLimits
    paths: tuple[str, ...]
    rows_for: PrivateLoss | None = field(default=None, metadata=LATER)
    loop: Loop | None = field(default=None, metadata=LATER)
    private: tuple[str, ...] = field(default=(), metadata=LATER)
    personalise: int = field(default=0, metadata=LATER)
    scores: bool = field(default=False, metadata=LATER)
    train_loss: bool = field(default=False, metadata=LATER)

    @classmethod
    def of(cls, spec: WorkerSpec, limits: WorkerLimits) -> Start:
        """The frame for a spec."""
        return cls(
            run=spec.run,
            silo=spec.silo,
            app_dir=str(spec.app_dir),
            app_digest=spec.app_digest,
            data_path=str(spec.data_path),
            hyper=spec.hyper,
            seed=spec.seed,
            strategy=spec.strategy,
            run_dir=str(spec.run_dir),
            limits=limits,
            paths=tuple(str(path) for path in spec.paths),
            rows_for=spec.rows_for,
            loop=spec.loop,
            private=spec.private,
            personalise=spec.personalise,
            scores=spec.scores,
            train_loss=spec.train_loss,
        )

    def spec(self) -> WorkerSpec:
        """The spec that the frame was made from, as far as it is the worker's business."""
        return WorkerSpec(
            run=self.run,
            silo=self.silo,
            app_dir=Path(self.app_dir),
            app_digest=self.app_digest,
            data_path=Path(self.data_path),
            hyper=self.hyper,
            seed=self.seed,
            strategy=self.strategy,
            run_dir=Path(self.run_dir),
            paths=tuple(Path(path) for path in self.paths),
            rows_for=self.rows_for,
            loop=self.loop,
            private=self.private,
            personalise=self.personalise,
            scores=self.scores,
            train_loss=self.train_loss,
        )


@dataclass(frozen=True, slots=True)
class Perform:
    """Do this task. `content` is the model itself, `model` the path of its file."""

    stage: Stage
    round: int
    model: str | None
    initial: bool
    state: str | None
    carry: str
    content: bytes | None = None

    @classmethod
    def of(cls, task: Task) -> Perform:
        """The frame for a task."""
        content = task.model if isinstance(task.model, bytes) else None
        model = str(task.model) if isinstance(task.model, Path) else None
        state = None if task.state is None else str(task.state)
        return cls(task.stage, task.round, model, task.initial, state, str(task.carry), content)

    def task(self) -> Task:
        """The task that the frame was made from."""
        model = self.content if self.model is None else Path(self.model)
        state = None if self.state is None else Path(self.state)
        return Task(self.stage, self.round, model, self.initial, state, Path(self.carry))


ToWorker = Start | Perform


# --- worker -> agent -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The limits are set and the worker waits for tasks."""


@dataclass(frozen=True, slots=True)
class Done:
    """The task is done. A small payload is in the frame; of a large one `follow_bytes` come after it, as they are.

    After that come `state_bytes` of the app's carried state; 0 when it carries none on.
    """

    weight: int
    durations_s: Mapping[str, float]
    payload: bytes = b""
    follow_bytes: int = 0
    state_bytes: int = 0
    attested: Attested | None = field(default=None, metadata=LATER)
    train_loss: float | None = field(default=None, metadata=LATER)

    def check(self) -> None:
        """Raise MessageError for what cannot be."""
        if self.weight < 0 or len(self.durations_s) > 32 or any(seconds < 0 for seconds in self.durations_s.values()):
            raise MessageError(f"weight {self.weight}, {len(self.durations_s)} durations: a task cannot give these")
        if len(self.payload) > INLINE_LIMIT_BYTES:
            raise MessageError(f"a payload of {len(self.payload)} bytes in the frame, at most {INLINE_LIMIT_BYTES}")
        if min(self.follow_bytes, self.state_bytes) < 0 or (self.follow_bytes > 0 and self.payload):
            raise MessageError(f"{len(self.payload)} bytes in the frame and {self.follow_bytes} behind it cannot be")


@dataclass(frozen=True, slots=True)
class Failed:
    """The task could not be done; the worker lives on. `details` is a traceback."""

    message: str
    hint: str
    details: str

    @classmethod
    def of(cls, message: str, hint: str, details: str) -> Failed:
        """The frame, cut to its limits; of a traceback the last lines say most."""
        return cls(message[:MAX_REASON_CHARS], hint[:MAX_REASON_CHARS], details[-MAX_DETAILS_CHARS:])


FromWorker = Ready | Done | Failed


# --- frames --------------------------------------------------------------------------------------------------------


def send(sock: socket.socket, message: ToWorker | FromWorker, wire: Wire = FRAMES) -> None:
    """Write one frame. Raises ConnectionFailedError when the other side is gone."""
    data = encode(message, wire)
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageError(f"a frame of {len(data)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    try:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    except OSError as error:
        raise ConnectionFailedError(f"the other end of the control channel is gone: {error}") from error


def receive(
    sock: socket.socket, expected: object, sides: Sides, *, timeout_s: float | None = None, wire: Wire = FRAMES
) -> object:
    """Read one frame, a message of the union `expected`.

    Raises ConnectionFailedError at the end of the stream, TimedOutError when the whole frame is not there in time,
    VersionError when it is of another septum, and MessageError when it is no such message.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    (size,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size, deadline))
    if size > MAX_MESSAGE_BYTES:
        raise MessageError(f"a frame of {size} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    return decode(expected, _exactly(sock, size, deadline), sides, wire)


def send_pieces(sock: socket.socket, pieces: Iterable[memoryview]) -> None:
    """Write what follows a frame. Raises ConnectionFailedError when the other side is gone."""
    try:
        for piece in pieces:
            sock.sendall(piece)
    except OSError as error:
        raise ConnectionFailedError(f"the other end of the control channel is gone: {error}") from error


def _exactly(sock: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            sock.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            chunk = sock.recv(size - len(data))
        except TimeoutError as error:
            raise TimedOutError(f"{len(data)} of {size} bytes of a frame came in time") from error
        except OSError as error:
            raise ConnectionFailedError(f"the control channel broke: {error}") from error
        if not chunk:
            raise ConnectionFailedError("the control channel was closed")
        data += chunk
    return bytes(data)
