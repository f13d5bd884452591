"""Which silos are invited to a run, and does it take other room than before?"""

from __future__ import annotations

from collections.abc import Sequence

from septum.protocol.messages import Invitation
from septum.protocol.run_state import Phase, Presence, Run


def is_open(run: Run) -> bool:
    """Whether silos are invited to a run: it has begun, and has not ended."""
    return run.outcome is None and run.phase is not Phase.QUEUED


def takes_other_room(before: Run, run: Run) -> bool:
    """Whether a run takes more room than before or less, or waits for it in another way."""
    queued = Phase.QUEUED in (before.phase, run.phase)
    if is_open(before) != is_open(run) or (queued and before is not run):
        return True
    return before.presence is not run.presence and _refused(before) != _refused(run)


def _refused(run: Run) -> int:
    return sum(presence is Presence.REFUSED for presence in run.presence.values())


def invitation(run: Run, silo: str, serving: Sequence[str]) -> Invitation | None:
    """An invitation for `silo`, if the run is at work, wants it, and it does not serve it yet."""
    wanted = is_open(run) and run.presence.get(silo, Presence.REFUSED) is not Presence.REFUSED
    return Invitation(run.id, run.plan) if wanted and run.id not in serving else None
