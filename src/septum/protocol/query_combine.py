"""How do the masked results of silos become the answer to a query? Summed, unmasked, and at once without small counts.

The sums are in this process's memory only, and go no further than the answer that is made of them.
"""

from __future__ import annotations

import math

from septum.errors import TensorError
from septum.protocol.answering import answer
from septum.protocol.combine import Blobs
from septum.protocol.contents import MASKED, STATISTICS, WEIGHT
from septum.protocol.facts import StatisticsMade
from septum.protocol.masked import layout_digest, sums
from septum.protocol.masked_combine import Unmask
from septum.protocol.noisy_answering import noisy_answer
from septum.protocol.query import Query
from septum.protocol.run_state import Combine, Combined
from septum.protocol.sources import Source, layout_of

SUMMED = f"{STATISTICS}counts"  # the one tensor that a silo makes for a query


def check_sums(query: Query, source: Source) -> None:
    """Whether a silo's masked result has as many numbers as the query. Raises TensorError."""
    found = {spec.name: math.prod(spec.shape[:-1]) for spec in layout_of(source).region(MASKED + STATISTICS)}
    if found != {MASKED + SUMMED: query.size}:
        raise TensorError(f"the query has {query.size} numbers, and this result has {found}")


def perform(effect: Combine, query: Query, blobs: Blobs, unmask: Unmask | None) -> Combined:
    """The answer; without `unmask` from bare numbers, as a simulation makes them. Raises TensorError, SecAggError."""
    sources = [blobs.payload(given.payload) for _, given in sorted(effect.contributions.items())]
    masker = None if unmask is None else unmask(layout_digest(layout_of(sources[0])))
    total = sums(sources, masker)
    if SUMMED not in total.numbers:
        raise TensorError("the silos sent no counts")
    silos, numbers = tuple(sorted(effect.contributions)), total.numbers[SUMMED].reshape(-1)
    if query.noise is None:
        answered = answer(query, silos, float(total.numbers[WEIGHT].item()), numbers)
    else:  # the weight is 1 for each silo: its rows are among the numbers
        answered = noisy_answer(query, silos, numbers)
    return Combined(effect.stage, effect.round, effect.attempt, answered=StatisticsMade(query, answered))
