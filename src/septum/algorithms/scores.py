"""What does a metric accept as logits and labels? One number and one 0/1 label a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from septum.errors import TensorError


def checked_scores(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The logits as floats and the labels as booleans, one each a row.

    Raises:
        TensorError: not one-dimensional, not as many labels as logits, a NaN, or a label other than 0 and 1.

    >>> checked_scores([0.5, -1], [1, 0])
    (array([ 0.5, -1. ]), array([ True, False]))
    """
    scores, classes = checked_logits(logits), np.asarray(labels)
    if classes.shape != scores.shape:
        raise TensorError(f"{scores.shape[0]} logits came with labels of shape {classes.shape}")
    positive = classes.astype(bool)
    other = np.flatnonzero(positive != classes)
    if other.size:
        raise TensorError(f"row {int(other[0])} has label {classes[other[0]]}; labels are 0 and 1")
    return scores, positive


def checked_logits(logits: ArrayLike) -> NDArray[np.floating]:
    """The logits as a vector of floats, in the precision they have.

    Raises:
        TensorError: not one-dimensional, not numbers, or a NaN among them.
    """
    scores = np.asarray(logits)
    if scores.ndim != 1 or scores.dtype.kind not in "fiub":
        raise TensorError(f"logits are one number a row, got {scores.dtype} of shape {scores.shape}")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    missing = np.flatnonzero(np.isnan(scores))
    if missing.size:
        raise TensorError(
            f"{missing.size} of {scores.size} logits are NaN, the first in row {int(missing[0])}",
            hint="the app's predict must return one finite log-odds a row: look for missing values in its inputs",
        )
    return scores
