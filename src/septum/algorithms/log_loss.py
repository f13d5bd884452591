"""What is the log loss of some logits, as a sum that silos can add up?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.scores import checked_scores
from septum.errors import TensorError


def log_loss_sum(logits: ArrayLike, labels: ArrayLike) -> float:
    """Sum over rows of -log p(label), in nats; divide by the rows of all silos for the mean.

    From logits, log(1 + exp(-z)) with z the logit towards the true class: a probability that saturates at 0 or 1 would
    have lost what a logit of 800 still says.

    Raises:
        TensorError: as for every metric (see `checked_scores`), or a logit that is infinite.

    >>> round(log_loss_sum([0.0, 0.0], [0, 1]) / 2, 6)  # log 2
    0.693147
    """
    scores, positive = checked_scores(logits, labels)
    infinite = np.flatnonzero(np.isinf(scores))
    if infinite.size:
        raise TensorError(
            f"{infinite.size} of {scores.size} logits are infinite, the first in row {int(infinite[0])}",
            hint="the model has diverged: submit the run again with a smaller learning rate",
        )
    towards_truth = np.where(positive, scores, -scores).astype(np.float64)  # (rows,)
    return float(np.sum(np.logaddexp(0.0, -towards_truth)))
