"""Which rows are for training and which for testing, as scikit-learn's `train_test_split` chooses them?

Published protocols fix their splits by a seed of scikit-learn. These functions give the same rows without it. The
generator is numpy's legacy MT19937, whose stream numpy has promised never to change.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from septum.errors import DataError
from septum.sdk.data import Integers


def stratified(y: npt.ArrayLike, train_size: float, seed: int) -> tuple[Integers, Integers]:
    """Row numbers (train, test) with each class in both parts in proportion, shuffled.

    Equal to `train_test_split(rows, train_size=train_size, random_state=seed, stratify=y)`.

    >>> train, test = stratified([0, 1, 0, 1, 0, 1], train_size=0.67, seed=43)
    >>> sorted(train.tolist() + test.tolist()), len(train)
    ([0, 1, 2, 3, 4, 5], 4)
    """
    classes, membership, counts = np.unique(np.asarray(y), return_inverse=True, return_counts=True)
    rows = len(membership)
    train_rows, test_rows = _sizes(rows, train_size)
    if counts.min() < 2 or min(train_rows, test_rows) < len(classes):
        raise DataError(
            f"{rows} rows of {len(classes)} classes, the smallest with {counts.min()}, cannot be split by class "
            f"into {train_rows} and {test_rows}: each class needs a row in both",
            hint="split.shuffled does without classes",
        )
    legacy = np.random.RandomState(seed)
    by_class = np.split(np.argsort(membership, kind="stable"), np.cumsum(counts)[:-1])
    in_train = _proportional(counts, train_rows, legacy)
    in_test = _proportional(counts - in_train, test_rows, legacy)
    train, test = [], []
    for members, first, second in zip(by_class, in_train, in_test, strict=True):
        order = members[legacy.permutation(len(members))]
        train.append(order[:first])
        test.append(order[first : first + second])
    return legacy.permutation(np.concatenate(train)), legacy.permutation(np.concatenate(test))


def shuffled(rows: int, train_size: float, seed: int) -> tuple[Integers, Integers]:
    """Row numbers (train, test) at random, equal to `train_test_split(..., random_state=seed)` without `stratify`.

    >>> train, test = shuffled(10, train_size=0.8, seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    train_rows, test_rows = _sizes(rows, train_size)
    order = np.random.RandomState(seed).permutation(rows)
    return order[test_rows : test_rows + train_rows], order[:test_rows]


def _sizes(rows: int, train_size: float) -> tuple[int, int]:
    if not 0 < train_size < 1:
        raise DataError(f"train_size is {train_size}, it must be between 0 and 1")
    train_rows = math.floor(train_size * rows)
    if not 0 < train_rows < rows:
        raise DataError(f"{rows} rows are too few to split at train_size {train_size}")
    return train_rows, rows - train_rows


def _proportional(counts: npt.NDArray[np.int64], draws: int, legacy: np.random.RandomState) -> npt.NDArray[np.int64]:
    """About the most likely number of each class among `draws` rows drawn without replacement.

    Shares are rounded down; the rows still missing go to the classes with the largest remainders, equal ones by lot.
    """
    shares = counts / counts.sum() * draws
    chosen: npt.NDArray[np.int64] = np.floor(shares).astype(np.int64)
    remainders = shares - chosen
    for remainder in np.unique(remainders)[::-1]:
        missing = draws - int(chosen.sum())
        if missing == 0:
            break
        tied = np.flatnonzero(remainders == remainder)
        chosen[legacy.choice(tied, size=min(len(tied), missing), replace=False)] += 1
    return chosen
