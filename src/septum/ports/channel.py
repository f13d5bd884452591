"""How a silo talks to its coordinator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from septum.errors import ProtocolError
from septum.protocol.messages import Instruction, PollAnswer, SiloMessage

EGRESS_RULE = "policy.egress_hosts"


class EgressError(ProtocolError):
    """The coordinator sent this silo for a blob where its own rule, EGRESS_RULE, does not let it go."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{EGRESS_RULE}: {message}", hint=hint)


class Channel(Protocol):
    """One silo's line to the coordinator.

    Contract: each call is one attempt. It raises ConnectionFailedError when the other side cannot be reached or went
    away (the caller tries again after a pause), AuthError when the silo is not accepted, ProtocolError, TensorError,
    MessageError, TooLargeError, NotFoundError as the coordinator answered them. `poll` and `exchange` may take half a
    minute: the coordinator holds them until it has something to say. A transfer of a blob that is cut goes on where it
    stopped: within the call while it moves on, else in the next call, also in that of another process. One Channel may
    be used by several threads, by one at a time for each blob.
    """

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        """Ask for a run to take part in, other than `serving`."""

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        """Say something in a run, and get the next instruction. Blobs over 64 KiB were sent before."""

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        """Send a file that a report will refer to. A repeat is a no-op."""

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        """Write a blob that an instruction refers to into `path`, which is there only once it is whole and right.

        Raises DigestError when other bytes came, also a second time and from the start; nothing of them is kept. Raises
        EgressError when the coordinator wants them to be fetched where this silo does not go.
        """

    def close(self) -> None:
        """Give up, also in calls that are being held: they raise ConnectionFailedError."""
