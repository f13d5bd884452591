"""How does a program hear that it is to end? By SIGTERM or Ctrl-C, which wait in a queue until somebody looks.

A handler runs in the middle of whatever the main thread does, maybe while that holds a lock of a log or of an event: it
may take none. `SimpleQueue.put` takes none.
"""

from __future__ import annotations

import signal
from queue import SimpleQueue

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def told_to_end() -> SimpleQueue[int]:
    """Where the numbers of these signals come in from now on. To be called in the main thread."""
    told: SimpleQueue[int] = SimpleQueue()
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: told.put(number))
    return told
