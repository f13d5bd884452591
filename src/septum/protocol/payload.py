"""How do updates, statistics, counts and models become the tensors of a file, and back?

Their names are in contents.py. A payload is one file in the safetensors layout, so a data steward can look at
everything that leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from septum.algorithms.evaluation import Evaluation
from septum.algorithms.finite import all_finite
from septum.algorithms.roc_auc import LARGEST_BIN, MAX_ROWS
from septum.errors import TensorError
from septum.protocol.contents import BINS, INITIAL, STATISTICS, SUMS, UPDATE
from septum.protocol.tensors import Array, Tensors

MAX_LOG_LOSS = 1e300  # summed over one silo's rows; the sum over all silos stays finite

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def update_tensors(update: Mapping[str, Floats], evaluation: Evaluation) -> dict[str, Array]:
    """The payload of a `train` report: new minus base, and how the base did."""
    return {**{UPDATE + name: array for name, array in update.items()}, **evaluation_tensors(evaluation)}


def evaluation_tensors(evaluation: Evaluation) -> dict[str, Array]:
    """The payload of an `evaluate` report."""
    auc = math.nan if evaluation.roc_auc is None else evaluation.roc_auc
    sums = np.array([evaluation.rows, evaluation.correct, evaluation.log_loss_sum, auc], np.float64)
    return {BINS: np.ascontiguousarray(evaluation.bins, np.int64), SUMS: sums}


def prepared_tensors(summands: Mapping[str, Doubles], initial: Mapping[str, Floats] | None) -> dict[str, Array]:
    """The payload of a `prepare` report."""
    result: dict[str, Array] = {STATISTICS + name: array for name, array in summands.items()}
    return result | {INITIAL + name: array for name, array in (initial or {}).items()}


def model_tensors(parameters: Mapping[str, Floats], statistics: Mapping[str, Doubles]) -> dict[str, Array]:
    """A model file: parameters under their own names, and the federated statistics."""
    result: dict[str, Array] = dict(parameters)
    return result | {STATISTICS + name: array for name, array in statistics.items()}


def split_model(model: Tensors) -> tuple[dict[str, Floats], dict[str, Doubles]]:
    """Parameters and statistics of a model file."""
    parameters = {name: _floats(array) for name, array in model.items() if not name.startswith(STATISTICS)}
    return parameters, read_statistics(model)


def read_statistics(payload: Tensors) -> dict[str, Doubles]:
    """The statistics in a model or a `prepare` report, by `STAT.FIELD`."""
    found = {name: array for name, array in payload.items() if name.startswith(STATISTICS)}
    return {name.removeprefix(STATISTICS): array.astype(np.float64) for name, array in found.items()}


def _floats(array: Array) -> Floats:
    return array.astype(np.float32, copy=False)


def read_evaluation(payload: Tensors) -> Evaluation:
    """The evaluation in a report; of no rows where nothing was measured. Raises TensorError when it cannot be."""
    bins, sums = payload[BINS].astype(np.int64), payload[SUMS].astype(np.float64)
    rows, correct, log_loss_sum, auc = (float(value) for value in sums)
    countable = math.isfinite(rows) and math.isfinite(correct) and rows == int(rows) and correct == int(correct)
    if not (countable and 0 <= rows <= MAX_ROWS and 0 <= correct <= rows and 0 <= log_loss_sum <= MAX_LOG_LOSS):
        raise TensorError(f"tensor {SUMS!r}: {rows} rows, {correct} correct, log loss {log_loss_sum} cannot be")
    if not (math.isnan(auc) or 0 <= auc <= 1):
        raise TensorError(f"tensor {SUMS!r}: a ROC-AUC of {auc} cannot be")
    counts = bins[:, 1:]
    if (counts < 0).any() or (counts > rows).any() or int(counts.sum()) != int(rows):
        raise TensorError(f"tensor {BINS!r}: these are not the counts of {int(rows)} rows")
    if (np.abs(bins[:, 0]) > LARGEST_BIN).any() or (np.diff(bins[:, 0]) <= 0).any():
        raise TensorError(f"tensor {BINS!r}: bins rise from {-LARGEST_BIN} to {LARGEST_BIN}")
    return Evaluation(int(rows), int(correct), log_loss_sum, None if math.isnan(auc) else auc, bins)


def check_finite(name: str, block: Array, start: int = 0) -> None:
    """Refuse NaN and infinity. `block` begins at element `start`. Raises TensorError with tensor and place."""
    if not all_finite(block):
        first = int(np.argmin(np.isfinite(block)))
        raise TensorError(f"tensor {name!r} holds {block.reshape(-1)[first]} at element {start + first}")
