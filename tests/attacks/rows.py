"""One line of the table: an attack, what whoever makes it holds, whether it succeeds, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What becomes of an attack."""

    SUCCEEDS = "**succeeds**"
    IN_PART = "**in part**"
    FAILS = "fails"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """`verdict` and `figure` are measured, never written down; `test`: the module that holds them to what they are."""

    attack: str
    holds: str
    verdict: Verdict
    figure: str
    test: str
