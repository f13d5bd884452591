"""Which of the runs that wait may begin? By priority, then by age, where all of their silos have room.

A run that waits keeps its place in every one of its silos: what comes behind it begins only with what would be left if
it had begun. So a run over many silos is not overtaken for ever by runs over few, at the price of silos that stand
idle meanwhile (conservative backfilling without run times: Mu'alem and Feitelson 2001, doi:10.1109/71.932708, need
estimates that nobody has here). And who has waited AGES_S counts as one priority higher, so that what is urgent every
day does not keep the rest waiting for ever. See docs/decisions/0028.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from septum.errors import ConfigError
from septum.protocol.priority import Priority
from septum.protocol.resources import IDLE, NOTHING, Capacity, Lack, Load, Resources, lacking, load_of
from septum.protocol.run_state import Phase, Presence, Run
from septum.protocol.wording import some

AGES_S = 6 * 3600.0  # what has waited for so long counts as one priority higher
SILOS_IN_REASON = 3
_UNITS = {"cpus": "processors", "memory_mb": "MB of memory", "gpus": "GPUs"}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run takes: so much in each of these silos. `project`: in which it is, empty for none."""

    run: str
    silos: tuple[str, ...]
    needs: Resources = NOTHING
    project: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that has not begun.

    since   when it was submitted, Unix seconds
    barred  why this coordinator may not drive it; empty: it may
    """

    claim: Claim
    priority: Priority
    since: float
    barred: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a run waits, and at which place, from 1."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who begins now, in this order, and why the others do not."""

    begin: tuple[str, ...]
    waits: Mapping[str, Wait]


def decide(offers: Mapping[str, Capacity], at_work: Sequence[Claim], waiting: Sequence[Waiting], now: float) -> Verdict:
    """Who begins at Unix time `now`. A silo that is not in `offers` does not say how much it has: there is always room.

    >>> one, two = (Waiting(Claim(run, ("a",)), Priority.NORMAL, since) for run, since in (("r-1", 1.0), ("r-2", 2.0)))
    >>> decide({"a": Capacity(runs=1)}, [], [two, one], now=3.0).begin
    ('r-1',)
    """
    silos: defaultdict[str, _Silo] = defaultdict(_Silo)
    for claim in at_work:
        for silo in claim.silos:
            silos[silo].take(claim, begun=True)
    begin: list[str] = []
    waits: dict[str, Wait] = {}
    for one in sorted(waiting, key=lambda one: _order(one, now)):
        claim = one.claim
        never = _never(offers, claim)
        full = [silo for silo in claim.silos if silo in offers and not silos[silo].has_room(claim.needs, offers[silo])]
        if one.barred or never or full:
            position = len(waits) + 1
            shown = [_why(silo, claim, offers[silo], silos[silo]) for silo in full[:SILOS_IN_REASON]]
            more = [f"and {len(full) - len(shown)} more silos"] if len(full) > len(shown) else []
            why = one.barred or some(never) or "; ".join([*shown, *more])
            waits[claim.run] = Wait(position, f"{why}; position {position} in the queue")
        else:
            begin.append(claim.run)
        if not (one.barred or never):  # what cannot begin at all keeps nobody else waiting
            for silo in claim.silos:
                silos[silo].take(claim, begun=not full)
    return Verdict(tuple(begin), waits)


def claim_of(run: Run, project: str = "") -> Claim:
    """What a run takes while it lasts: of each of its silos but those that refused it, also where one is away."""
    silos = tuple(silo for silo in run.plan.silos if run.presence.get(silo) is not Presence.REFUSED)
    return Claim(run.id, silos, run.plan.resources or NOTHING, project)


def waiting_of(run: Run, project: str = "", barred: str = "") -> Waiting | None:
    """A run as one that waits; None where it does not, or is not to begin now."""
    if run.phase is not Phase.QUEUED or run.paused:
        return None
    return Waiting(claim_of(run, project), run.priority, run.queued_at, barred)


def takes_room(run: Run) -> bool:
    """Whether a run has begun and has not ended: paused ones keep their training processes."""
    return run.outcome is None and run.phase is not Phase.QUEUED


def check_possible(offers: Mapping[str, Capacity], claim: Claim) -> None:
    """Raises ConfigError naming every silo that can never have room for this run, with what is too little there."""
    never = _never(offers, claim)
    if never:
        raise ConfigError(
            f"this run can never begin: {some(never)}",
            hint="septum silo show SILO; ask for less with --cpus, --memory-mb and --gpus, or leave the silo out",
        )


@dataclass(slots=True)
class _Silo:
    """What is taken of a silo: by runs that have begun, and by those that wait before the one that is looked at."""

    begun: list[Claim] = field(default_factory=list)
    kept_for: list[Claim] = field(default_factory=list)
    taken: Load = IDLE  # of both; how many they are is the length of the lists

    def has_room(self, needs: Resources, offer: Capacity) -> bool:
        return len(self.begun) + len(self.kept_for) < offer.runs and not lacking(needs, offer, self.taken)

    def take(self, claim: Claim, *, begun: bool) -> None:
        (self.begun if begun else self.kept_for).append(claim)
        if claim.needs is not NOTHING:
            self.taken = self.taken.plus(claim.needs)


def _order(one: Waiting, now: float) -> tuple[int, float, str]:
    aged = math.floor(max(0.0, now - one.since) / AGES_S)
    return -min(one.priority.rank + aged, Priority.HIGH.rank), one.since, one.claim.run


def _never(offers: Mapping[str, Capacity], claim: Claim) -> list[str]:
    return [
        f"{silo} offers {lack.offered:g} {_UNITS[lack.what]} ({lack.what}), the run needs {lack.needed:g}"
        for silo in claim.silos
        if silo in offers
        for lack in lacking(claim.needs, offers[silo])
    ]


def _why(silo: str, claim: Claim, offer: Capacity, taken: _Silo) -> str:
    """Why there is no room in this silo: by what has begun, or else by what is kept for those that came before."""
    if len(taken.begun) >= offer.runs:
        return f"{silo} serves {len(taken.begun)} of {offer.runs} runs: {_named(taken.begun, claim.project)}"
    lacks = lacking(claim.needs, offer, load_of(one.needs for one in taken.begun))
    if lacks:
        return f"{silo} has {_left(lacks)}; it serves {_named(taken.begun, claim.project)}"
    return f"{silo} is kept for {_named(taken.kept_for, claim.project)}, which is before it"


def _left(lacks: Sequence[Lack]) -> str:
    return " and ".join(
        f"{max(0.0, lack.left):g} of {lack.offered:g} {_UNITS[lack.what]} left, where the run needs {lack.needed:g}"
        for lack in lacks
    )


def _named(claims: Sequence[Claim], project: str) -> str:
    """Runs by name; those of another project only by their number: who sees this run need not see those.

    A run of no project is seen by those alone who see all.
    """
    if not project and len(claims) > 4:
        return f"{', '.join(claim.run for claim in claims[:4])}, {len(claims) - 4} more"
    known = [claim.run for claim in claims if not project or claim.project == project]
    shown, others = known[:4], len(claims) - len(known)
    more = [f"{len(known) - len(shown)} more"] if len(known) > len(shown) else []
    elsewhere = [f"{others} {'run' if others == 1 else 'runs'} outside its project"] if others else []
    return ", ".join([*shown, *more, *elsewhere])
