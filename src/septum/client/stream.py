"""How is a stream of server-sent events read, and taken up again when it breaks?"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from septum.errors import ConnectionFailedError
from septum.protocol.codec import from_json, loads

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
MAX_EVENT_BYTES = 2 * 1024 * 1024  # a fact with something of each of 1,000 silos is a few hundred KB
T = TypeVar("T")

Lines = Callable[[str, int, Mapping[str, str | list[str]]], AbstractContextManager[Iterator[str]]]
"""Given path, last entry known and query: the lines of a stream of server-sent events."""


class Numbered(Protocol):
    """What a stream resumes by."""

    @property
    def seq(self) -> int:
        """Its place in the stream."""


N = TypeVar("N", bound=Numbered)


def follow(
    cls: type[N],
    lines_after: Callable[[int], AbstractContextManager[Iterator[str]]],
    *,
    after: int,
    patience_s: float,
    over: Callable[[N | None], bool],
) -> Iterator[N]:
    """The entries of a stream after entry `after`, as they come, until a stream that was closed is `over`.

    A broken connection is taken up again where it broke, for up to `patience_s` seconds without success.

    over  asked with the last entry, None while there was none; what it raises as ConnectionFailedError counts as broken
    """
    backoff = Backoff(patience_s)
    last: N | None = None
    while True:
        try:
            with lines_after(after) as lines:
                for entry in entries(cls, lines):
                    backoff.reset()
                    after, last = entry.seq, entry
                    yield entry
            if over(last):
                return
        except ConnectionFailedError:
            pass
        backoff.pause_or_raise()


def entries(cls: type[T], lines: Iterable[str]) -> Iterator[T]:
    """The entries in the lines of an event stream, each a `cls`. Comments (keep-alives) are skipped.

    >>> from septum.protocol.views import JournalView
    >>> list(entries(JournalView, [": still here", ""]))
    []
    """
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield from_json(cls, loads("\n".join(data).encode(), limit=MAX_EVENT_BYTES))
            data = []


class Backoff:
    """Longer and longer pauses with jitter, so that many watchers do not come back at one moment."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self.reset()

    def reset(self) -> None:
        """It worked: start over."""
        self._pause_s = FIRST_PAUSE_S
        self._failing_since: float | None = None

    def pause_or_raise(self) -> None:
        """Wait, or raise ConnectionFailedError once it has not worked for `patience_s`."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since + self._pause_s > self._patience_s:
            raise ConnectionFailedError(
                f"the coordinator has been away for {now - self._failing_since:.0f} s",
                hint="septum coordinator start, on its machine; then watch again",
            )
        threading.Event().wait(self._pause_s * self._random.uniform(0.5, 1.0))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
