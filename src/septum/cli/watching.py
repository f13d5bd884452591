"""How does one follow a run? As a display that redraws itself, as lines, or as JSON lines.

The journal is the source of all three. What a silo reports of itself is on the display; lines name what changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from septum.cli import views
from septum.cli.failures import Interrupted
from septum.cli.output import Answer, Output
from septum.errors import RunFailedError, SeptumError
from septum.protocol import facts
from septum.protocol.codec import kind_of, to_json
from septum.protocol.facts import Fact
from septum.protocol.views import JournalView, RunStatus, RunView

if TYPE_CHECKING:
    from septum.client import Client


def watch(output: Output, client: Client, run_id: str, *, after: int = 0) -> None:
    """Follow a run to its end.

    Raises:
        Interrupted: Ctrl-C; the run goes on.
        RunFailedError: it failed.
    """
    raise NotImplementedError
