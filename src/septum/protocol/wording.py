"""How is it said where a run is, and whom it misses?"""

from __future__ import annotations

from collections.abc import Sequence

from septum.protocol.messages import Stage
from septum.protocol.run_state import Run

MAX_SILOS_IN_REASON = 8  # of 500 characters each: far from the limit of a message


def where(stage: Stage | None, round_: int) -> str:
    """A piece of work, in words.

    >>> where(Stage.TRAIN, 3)
    'round 3'
    """
    return "preparation" if stage is Stage.PREPARE else f"round {round_}"


def not_active(run: Run) -> str:
    """The silos that do not take part now, and what is known of them."""
    return some([f"{silo} ({run.presence[silo].value})" for silo in run.plan.silos if silo not in run.active])


def some(items: Sequence[str]) -> str:
    """The first few, so that a reason fits into a message however many silos there are.

    >>> some(["a", "b"]), some("abcdefghij")
    ('a; b', 'a; b; c; d; e; f; g; h; and 2 more')
    """
    shown = list(items[:MAX_SILOS_IN_REASON])
    return "; ".join(shown if len(items) == len(shown) else [*shown, f"and {len(items) - len(shown)} more"])
