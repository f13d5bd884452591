"""What is a tracker told of single silos? Of a run without masks, what the coordinator sees of each; of others nothing.

Under masks the coordinator knows sums. Then it is for each silo to track its own: septum.silo.tracking.
"""

from __future__ import annotations

from septum.ports.store import JournalEntry
from septum.ports.tracker import SiloEnded, SiloMeasured, SiloStarted, SiloTold
from septum.protocol import facts
from septum.protocol.plan import Plan


def silos_told(run: str, plan: Plan, entry: JournalEntry) -> tuple[SiloTold, ...]:
    """What an entry of a run's journal tells of its silos."""
    if plan.masking is not None or plan.privacy is not None or plan.query is not None:
        return ()
    ranks = ranks_of(plan)
    match entry.fact:
        case facts.RunCreated():
            return tuple(SiloStarted(run, entry.at, silo, rank, plan) for silo, rank in ranks.items())
        case facts.ModelMeasured(round_, _, silos):
            return tuple(
                SiloMeasured(run, entry.at, silo, ranks[silo], round_, metrics)
                for silo, metrics in sorted(silos.items())
                if silo in ranks
            )
        case facts.RunEnded(outcome):
            return tuple(SiloEnded(run, entry.at, silo, rank, outcome) for silo, rank in ranks.items())
        case _:
            return ()


def ranks_of(plan: Plan) -> dict[str, int]:
    """Each silo's rank: its place in the order of their names, from 1."""
    return {silo: number for number, silo in enumerate(sorted(plan.silos), start=1)}
