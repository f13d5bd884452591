"""How do the noisy counts of silos become the metrics of the last model? Summed, under masks or without."""

from __future__ import annotations

import numpy as np

from septum.errors import TensorError
from septum.protocol.combine import Blobs
from septum.protocol.contents import NOISY, NOISY_LENGTH
from septum.protocol.facts import ModelMeasured
from septum.protocol.masked import Asked, layout_digest, sums
from septum.protocol.masked_combine import Unmask
from septum.protocol.messages import Stage
from septum.protocol.noisy_metrics import metrics_of
from septum.protocol.plan import Plan
from septum.protocol.run_state import Combine, Combined
from septum.protocol.sources import Source, layout_of, small_tensors


def asked_of(plan: Plan, stage: Stage) -> bool:
    """Whether silos tell metrics with noise at the end of this stage."""
    return stage is Stage.EVALUATE and plan.privacy is not None and plan.privacy.metrics_epsilon is not None


def perform(effect: Combine, plan: Plan, blobs: Blobs, unmask: Unmask | None = None) -> Combined:
    """The metrics; without `unmask` of bare numbers. Raises TensorError, SecAggError."""
    assert plan.privacy is not None
    mechanism = plan.privacy.metrics
    assert mechanism is not None
    sources = [blobs.payload(given.payload) for _, given in sorted(effect.contributions.items())]
    if plan.masking is None:
        numbers = sum((_numbers(source) for source in sources), np.zeros(NOISY_LENGTH))
    else:
        digest = layout_digest(layout_of(sources[0]), Asked(effect.against, effect.edges))
        found = sums(sources, None if unmask is None else unmask(digest)).numbers
        if NOISY not in found:
            raise TensorError("the silos sent no metrics with noise")
        numbers = found[NOISY].reshape(-1)
    metrics = metrics_of(numbers, len(sources), mechanism)
    measured = None if metrics is None else ModelMeasured(effect.round, metrics, {})
    return Combined(effect.stage, effect.round, effect.attempt, measured=measured)


def _numbers(source: Source) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    tensors = small_tensors(source, layout_of(source), NOISY)
    if NOISY not in tensors:
        raise TensorError("a silo sent no metrics with noise")
    return tensors[NOISY].astype(np.float64)
