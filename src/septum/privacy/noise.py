"""How are records drawn and noise made from random bytes, so that the result has exactly the promised distribution?

Gaussian noise made with floating-point numbers has gaps that tell which sum it was added to (Mironov 2012, for Laplace;
Jin, McMurtry, Rubinstein, Ohrimenko 2022, for Gaussian). So none is made here: what is drawn are integers of the
discrete Gaussian distribution, P(x) ~ exp(-x^2 / 2 sigma^2), by the exact algorithm of Canonne, Kamath, Steinke 2020
(sections 5.1 to 5.3), every decision by comparing integers, and they are added to a sum of integers. No rounding
follows or precedes them, so there is nothing in low-order bits to be found.

sigma is always `SIGMA` steps of the grid; the grid is made to fit. That fine, the discrete Gaussian has the cost of the
continuous one, up to what can be neglected: within 12 sigma the two differ by a factor of at most exp(6 / SIGMA^2) =
exp(2.2e-14) a coordinate (the integral over one step against its middle), and beyond lies less than 1e-32. An epsilon
told for `steps` releases of `width` coordinates is thus too small by at most 2 * steps * width * 2.2e-14: 4.4e-5 for a
million coordinates and a thousand steps.

Unit and adjacency are those of the caller. Assumption: `random` gives independent uniform bytes nobody else knows, such
as `os.urandom`; never a seeded generator, outside of tests. What voids it: bytes that are used twice or kept. Not
covered: how long drawing takes depends on what is drawn, which whoever measures it closely enough may learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RandomBytes: TypeAlias = Callable[[int], bytes]
Integers: TypeAlias = NDArray[np.int64]

SIGMA = 1 << 24  # a power of two: then every probability below has a denominator that divides 2^64
_CHUNK = 1 << 17  # draws at once: the arrays of one pass stay in the processor's cache


def poisson_sample(records: int, rate: float, random: RandomBytes) -> Integers:
    """The numbers of the records that were drawn, each by itself with probability `rate` (rounded down to 2^-64)."""
    limit = int(rate * 2.0**64)  # exact: a multiplication by a power of two
    if limit >= 2**64:
        return np.arange(records)
    drawn: Integers = np.flatnonzero(_words(records, random) < np.uint64(limit))
    return drawn


def discrete_gaussian(count: int, random: RandomBytes, sigma: int = SIGMA) -> Integers:
    """Independent integers with P(x) proportional to exp(-x^2 / (2 sigma^2)): algorithm 3 of the paper, with t = sigma.

    `sigma` is a power of two. A draw beyond 128 sigma would not fit the arithmetic; it is one in e^8000.

    >>> seeded = np.random.default_rng(1).bytes  # for this test; os.urandom otherwise
    >>> bool(abs(discrete_gaussian(1000, seeded).std() / SIGMA - 1) < 0.1)
    True
    """
    drawn = np.empty(count, np.int64)
    done = 0
    while done < count:
        tried = _discrete_laplace(min(_CHUNK, 16 + int(2.2 * (count - done))), sigma, random)
        distance = np.abs(tried) - sigma
        # exp(-(|y| - sigma^2 / t)^2 / (2 sigma^2)), t = sigma
        accepted = tried[_exponential_coin(distance * distance, 2 * sigma * sigma, random)]
        taken = min(accepted.size, count - done)
        drawn[done : done + taken] = accepted[:taken]
        done += taken
    return drawn


def _discrete_laplace(tries: int, sigma: int, random: RandomBytes) -> Integers:
    """Some integers with P(x) proportional to exp(-|x| / sigma), from `tries` tries: algorithm 2."""
    low = _below(sigma, tries, random)
    low = low[_fraction_coin(low, sigma, random)]
    high = _geometric(low.size, random)
    sign = _below(2, low.size, random)
    size = low + sigma * high
    kept = (high < 1 << 7) & ((size != 0) | (sign == 0))  # zero has one sign only
    kept_ones: Integers = (size * (1 - 2 * sign))[kept]
    return kept_ones


def _exponential_coin(numerator: Integers, denominator: int, random: RandomBytes) -> NDArray[np.bool_]:
    """True with probability exp(-numerator / denominator), for each: algorithm 1."""
    whole, rest = np.divmod(numerator, denominator)
    heads = _fraction_coin(rest, denominator, random)
    left = np.flatnonzero(heads & (whole > 0))
    while left.size:  # exp(-3.2) = exp(-1) exp(-1) exp(-1) exp(-0.2)
        won = _fraction_coin(np.ones(left.size, np.int64), 1, random)
        heads[left[~won]] = False
        whole[left] -= 1
        left = left[won & (whole[left] > 0)]
    return heads


def _fraction_coin(numerator: Integers, denominator: int, random: RandomBytes) -> NDArray[np.bool_]:
    """True with probability exp(-gamma), gamma = numerator / denominator at most 1.

    Coins of probability gamma / k are thrown for k = 1, 2, ... until one fails; the last k is odd with exp(-gamma).
    """
    heads = np.empty(numerator.size, np.bool_)
    left, k = np.arange(numerator.size), 1
    while left.size:
        won = _below(denominator, left.size, random) < numerator[left]
        if k > 1:
            won &= _below(k, left.size, random) == 0
        heads[left[~won]] = k % 2 == 1
        left, k = left[won], k + 1
    return heads


def _geometric(count: int, random: RandomBytes) -> Integers:
    """How many coins of probability exp(-1) came up heads before the first tails, for each."""
    heads, left = np.zeros(count, np.int64), np.arange(count)
    while left.size:
        left = left[_fraction_coin(np.ones(left.size, np.int64), 1, random)]
        heads[left] += 1
    return heads


def _below(limit: int, count: int, random: RandomBytes) -> Integers:
    """Uniform integers from 0 to `limit` - 1; words in which the remainders are not evenly many are drawn again."""
    if limit == 1:
        return np.zeros(count, np.int64)
    words = _words(count, random)
    surplus = 2**64 % limit
    if surplus:
        end = np.uint64(2**64 - surplus)
        while (again := np.flatnonzero(words >= end)).size:
            words[again] = _words(again.size, random)
    return (words % np.uint64(limit)).astype(np.int64)


def _words(count: int, random: RandomBytes) -> NDArray[np.uint64]:
    return np.frombuffer(random(8 * count), "<u8").astype(np.uint64)  # a copy: it is written to
