"""How does a coordinator run whose rounds are in no audit log? Here alone, to be compared with one whose are.

`python -m benchmarks.unrecorded coordinator start ...` is septum's own command, but for what a round's commit records
and signs. No setting can do that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager

from septum.adapters.store.audit import SqlAudit
from septum.cli.main import main as command
from septum.ports.audit import UNRECORDED
from septum.protocol.audit import Record


def unrecorded(
    log: SqlAudit, records: Sequence[Record], *, at: float, sign: bool = False
) -> AbstractContextManager[None]:
    """In place of the log's own."""
    del log
    return UNRECORDED.recording(records, at=at, sign=sign)


def main(arguments: list[str]) -> None:
    """Run septum's command with these arguments."""
    SqlAudit.recording = unrecorded  # type: ignore[assignment,method-assign] # that is what this program is for
    sys.exit(command(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
