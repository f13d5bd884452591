"""How does a roster look to people? Who is in it, who signed it, what it changed: fingerprints in place of keys.

What the coordinator says of a roster proves nothing, as docs/decisions/0009 has it: a silo checks the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from septum.protocol.roster import Roster, SignedRoster, Verify, diff, fingerprint, signers


@dataclass(frozen=True, slots=True)
class RosterView:
    """A roster that the coordinator passes on.

    administrators, silos  fingerprints of their keys, by name
    signed_by              its own administrators who signed it
    signed_before          those of the roster before who did; empty for the first
    changes                what it changed, in words; of the first roster all that is in it
    """

    federation: str
    serial: int
    digest: str
    previous: str
    threshold: int
    administrators: Mapping[str, str]
    silos: Mapping[str, str]
    signed_by: tuple[str, ...]
    signed_before: tuple[str, ...]
    changes: tuple[str, ...]


def roster_view(signed: SignedRoster, before: Roster | None, verify: Verify) -> RosterView:
    """A roster, and how it follows the one before."""
    roster = signed.roster
    return RosterView(
        federation=roster.federation,
        serial=roster.serial,
        digest=roster.digest,
        previous=roster.previous,
        threshold=roster.threshold,
        administrators={name: fingerprint(key) for name, key in sorted(roster.administrators.items())},
        silos={name: fingerprint(key) for name, key in sorted(roster.silos.items())},
        signed_by=signers(signed, roster, verify),
        signed_before=() if before is None else signers(signed, before, verify),
        changes=diff(before, roster),
    )
