"""A silo's line to a coordinator in the same process: the simulator's channel.

Every message, and every error, is encoded and decoded on its way, so nothing passes here that the wire could not carry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol, TypeVar, cast

from septum.adapters.channel.blob_files import save_blob
from septum.adapters.channel.wire_errors import error_body, error_of
from septum.errors import ConnectionFailedError, SeptumError
from septum.ports.blobs import OpenBlob
from septum.protocol.codec import decode, encode
from septum.protocol.messages import Instruction, Poll, PollAnswer, SiloMessage
from septum.protocol.sources import SourceFile

RELEASE_AGAIN_S = 0.05
T = TypeVar("T")


class SiloService(Protocol):
    """What a coordinator offers its silos.

    Contract: thread-safe; calls block, `poll` and `exchange` until there is something to say. `silo` is who asks,
    already proven. Errors are those of `ports.channel.Channel`.
    """

    def poll(self, silo: str, message: Poll) -> PollAnswer:
        """A run that wants this silo, or Wait."""

    def exchange(self, silo: str, run: str, message: SiloMessage) -> Instruction:
        """The next instruction."""

    def put_blob(self, silo: str, run: str, digest: str, path: Path) -> None:
        """Take a copy of a file, if its bytes have this digest."""

    def blob(self, silo: str, run: str, digest: str) -> AbstractContextManager[OpenBlob]:
        """A blob that this silo may read. Raises NotFoundError on entering."""

    def release(self, silo: str) -> None:
        """Answer the silo's calls that are being held at once, with Wait. Later calls are as before."""


class MemoryChannel:
    """A `Channel` without a network. See `ports.channel` for the contract."""

    def __init__(self, silo: str, service: SiloService) -> None:
        self._silo = silo
        self._service = service
        self._closed = False
        self._calls = 0  # under way
        self._changed = threading.Condition()

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        """Ask for a run to take part in, other than `serving`."""
        message = cast("Poll", decode(Poll, encode(Poll(tuple(serving)))))
        answer = self._call(lambda: self._service.poll(self._silo, message))
        return cast("PollAnswer", decode(PollAnswer, encode(answer)))

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        """Say something in a run, and get the next instruction."""
        sent = cast("SiloMessage", decode(SiloMessage, encode(message)))
        answer = self._call(lambda: self._service.exchange(self._silo, run, sent))
        return cast("Instruction", decode(Instruction, encode(answer)))

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        """Send a file that a report will refer to. A repeat is a no-op."""
        self._call(lambda: self._service.put_blob(self._silo, run, digest, path))

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        """Write a blob that an instruction refers to into `path`; its digest is checked. Raises DigestError."""
        with ExitStack() as stack:
            opening = self._service.blob(self._silo, run, digest)
            blob = self._call(lambda: stack.enter_context(opening))
            save_blob(SourceFile(blob.source).readinto, digest, path, size_bytes)

    def close(self) -> None:
        """Give up, also in calls that are being held: they raise ConnectionFailedError."""
        with self._changed:
            self._closed = True
            # A call that is on its way is held only after it was asked to let go: so ask until none is left.
            while True:
                self._service.release(self._silo)
                if self._changed.wait_for(lambda: self._calls == 0, RELEASE_AGAIN_S):
                    return

    def _call(self, call: Callable[[], T]) -> T:
        with self._changed:
            self._refuse_if_closed()
            self._calls += 1
        try:
            result = call()
        except SeptumError as error:
            self._refuse_if_closed()
            raise error_of(error.http_status, error_body(error)) from error
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()
        self._refuse_if_closed()
        return result

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConnectionFailedError(f"the channel of {self._silo} was closed")
