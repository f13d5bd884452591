"""What does masking need of a silo? Apart from masking.py, which needs numpy: an idle agent does without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from septum.secagg.primitives import Primitives
from septum.silo.journal import Journal


@dataclass(frozen=True, slots=True)
class MaskingTools:
    """What masking needs of the silo.

    keys        the identity keys of these silos by the pinned roster. Raises SecAggError when it lacks one
    sign        under this silo's own identity key
    min_cohort  of the silo's policy: it signs no sum over fewer silos
    """

    keys: Callable[[tuple[str, ...]], Mapping[str, bytes]]
    sign: Callable[[bytes], bytes]
    primitives: Primitives
    journal: Journal
    min_cohort: int
