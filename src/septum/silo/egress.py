"""What is said when the silo's rule keeps a model from being fetched elsewhere? The rule's name, here and there.

Reasons why work failed stay in the silo, as they can quote a cell. This one cannot: it is the rule's name, and the host
that the coordinator itself has named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from septum.ports.channel import EGRESS_RULE, Channel, EgressError
from septum.protocol.messages import MAX_REASON_CHARS, Failure, Instruction, PollAnswer, SiloMessage
from septum.silo.log import Log


class WatchedChannel:
    """A Channel that tells of refusals to fetch. `answered`: called when the coordinator has answered."""

    def __init__(self, channel: Channel, log: Log, answered: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._answered = answered
        self._log = log
        self._lock = threading.Lock()
        self._refused: dict[str, EgressError] = {}

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        """Ask for a run to take part in, other than `serving`."""
        answer = self._channel.poll(serving)
        self._answered()
        return answer

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        """Say something in a run; why its model was not fetched, if that is why the work failed."""
        if isinstance(message, Failure):
            with self._lock:
                refused = self._refused.pop(run, None)
            if refused is not None:
                message = replace(message, reason=refused.message[:MAX_REASON_CHARS])
        answer = self._channel.exchange(run, message)
        self._answered()
        return answer

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        """Send a file that a report will refer to."""
        self._channel.send_blob(run, digest, path)

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        """Write a blob that an instruction refers to into `path`."""
        with self._lock:
            self._refused.pop(run, None)
        try:
            self._channel.fetch_blob(run, digest, path, size_bytes=size_bytes)
        except EgressError as error:
            self._log.error("egress_refused", run_id=run, rule=EGRESS_RULE, reason=error.message, hint=error.hint)
            with self._lock:
                self._refused[run] = error
            raise

    def close(self) -> None:
        """Give up, also in calls that are being held."""
        self._channel.close()
