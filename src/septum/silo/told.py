"""Which of the agent's own lines leave the silo, and what of each? What is named here; everything else stays.

A field that leaves is one that the coordinator knows anyway, as it asked for it or was told it: stages, rounds,
attempts, kinds of messages, names of rules. Rows, paths, values, reasons, hints, tracebacks and digests of data are in
none. A test goes through all events that the agent logs: for each it was decided whether it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_STEP = ("stage", "round", "attempt")

# By event, the fields that leave with it.
LEAVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "consent_granted": ("app",),
        "consent_denied": ("app", "rule"),
        "connected": (),
        "disconnected": (),
        "egress_refused": ("rule",),
        "joined": (),
        "left": (),
        "model_kept": ("round",),
        "model_not_kept": (),
        "not_admitted_yet": (),
        "not_begun": (),
        "not_exchanged": (*_STEP, "step"),
        "not_masked": _STEP,
        "outside_hours": (),
        "package_approved": ("app",),
        "package_fetched": ("app",),
        "package_not_usable": ("app",),
        "privacy_not_paid": ("stage", "round"),
        "privacy_not_settled": (),
        "privacy_reserved": (),
        "privacy_settled": (),
        "private_parameters_continued": (),
        "private_parameters_fresh": (),
        "recalled": (),
        "refused_by_coordinator": (),
        "reported": (*_STEP, "answer"),
        "roster_not_fetched": (),
        "roster_waits_for_the_steward": (),
        "run_ended": ("outcome",),
        "run_resumed": (),
        "session_failed": (),
        "shares_revealed": _STEP,
        "state_not_saved": (),
        "sum_signed": _STEP,
        "work_failed": ("stage", "round"),
        "worker_started": (),
        "working": _STEP,
    }
)


def told(event: str, fields: Mapping[str, object]) -> str | None:
    """The line as it leaves; None if it stays.

    >>> told("working", {"stage": "train", "round": 3, "attempt": 1, "rows": 303})
    'working stage=train round=3 attempt=1'
    >>> told("data_ready", {"rows": 303}) is None
    True
    """
    if event not in LEAVES:
        return None
    words = (f"{name}={fields[name]}" for name in LEAVES[event] if name in fields)
    return " ".join((event, *words))
