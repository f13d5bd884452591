"""Every rule of septum's own keeps the laws that a plugin's rule has to keep; a rule that breaks one is found."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest

from septum.algorithms import fedavg, fedopt, fedprox, geometric_median, krum, norm_clipping, trimmed_mean
from septum.algorithms.rule import CoordinateWise, Need, WeightGiving
from septum.algorithms.strategy import strategy_names
from septum.algorithms.weighted_mean import weighted_mean
from septum.errors import SeptumError
from septum.testing.contracts.strategy import WIDTHS, StrategyContract


class TestFedAvg(StrategyContract):
    def rule(self):
        return fedavg.FEDAVG


class TestFedProx(StrategyContract):
    def rule(self):
        return fedprox.FEDPROX


class TestFedAvgM(StrategyContract):
    def rule(self):
        return fedopt.FEDAVGM


class TestFedAdagrad(StrategyContract):
    def rule(self):
        return fedopt.FEDADAGRAD


class TestFedAdam(StrategyContract):
    def rule(self):
        return fedopt.FEDADAM


class TestFedYogi(StrategyContract):
    def rule(self):
        return fedopt.FEDYOGI


class TestMedian(StrategyContract):
    def rule(self):
        return trimmed_mean.MEDIAN


class TestTrimmedMean(StrategyContract):
    def rule(self):
        return trimmed_mean.TRIMMED_MEAN

    def settings(self):
        return {"trim": 3}


class TestKrum(StrategyContract):
    def rule(self):
        return krum.KRUM

    def settings(self):
        return {"f": 3}


class TestMultiKrum(StrategyContract):
    def rule(self):
        return krum.MULTI_KRUM


class TestGeometricMedian(StrategyContract):
    def rule(self):
        return geometric_median.GEOMETRIC_MEDIAN


class TestNormClipping(StrategyContract):
    def rule(self):
        return norm_clipping.NORM_CLIPPING

    def settings(self):
        return {"norm": 100.0}


def test_every_strategy_of_septums_own_is_tried_here():
    tried = [suite().rule().name for suite in StrategyContract.__subclasses__() if suite.__name__.startswith("Test")]
    assert sorted(tried) == sorted(strategy_names())


def blas(settings, block, weights):
    return (np.asarray(weights, np.float32) / np.float32(sum(weights))) @ block


def by_width(settings, block, weights):
    return weighted_mean(block, weights) / np.float32(1 + block.shape[1] % 3)


def not_normalised(settings, block, weights):
    return weighted_mean(block, weights) * np.float32(sum(weights))


def first_twice(settings, block, weights):
    return (weighted_mean(block, weights) + block[0]) / np.float32(2)


def in_float64(settings, block, weights):
    return weighted_mean(block, weights).astype(np.float64)


def share(gram, weights):
    return np.asarray(weights, np.float64) / sum(weights)


def by_position(settings, gram, weights):
    return np.arange(len(gram), dtype=np.float64) / sum(range(len(gram)))


def too_much(settings, gram, weights):
    return 2 * share(gram, weights)


def one_factor_short(settings, gram, weights):
    return share(gram, weights)[1:]


def into_the_matrix(settings, gram, weights):
    gram[0, 0] *= 2
    return share(gram, weights)


def in_place(settings, base, delta, state):
    base += delta
    return base, {}


def forgetful(settings, base, delta, state):
    return base + delta, {}


def remembering(seen):
    def step(settings, base, delta, state):
        seen.append(0.5)
        return base + delta * np.float32(sum(seen)), {}

    return step


BROKEN = {
    "BLAS, whose bits depend on the width": replace(fedavg.FEDAVG, combine=CoordinateWise(blas)),
    "normalised by the block": replace(fedavg.FEDAVG, combine=CoordinateWise(by_width)),
    "weights are not normalised": replace(fedavg.FEDAVG, combine=CoordinateWise(not_normalised)),
    "the first silo counts twice": replace(fedavg.FEDAVG, combine=CoordinateWise(first_twice)),
    "factors by position": replace(krum.KRUM, combine=WeightGiving(by_position)),
    "factors that add up to 2": replace(krum.KRUM, combine=WeightGiving(too_much)),
    "factors for all but one": replace(krum.KRUM, combine=WeightGiving(one_factor_short)),
    "changes the matrix": replace(krum.KRUM, combine=WeightGiving(into_the_matrix)),
    "needs more silos than there are": replace(krum.KRUM, needs=lambda _: Need(10, "ten")),
    "does not say why it needs several": replace(krum.KRUM, needs=lambda _: Need(2)),
    "works in place": replace(fedavg.FEDAVG, step=in_place),
    "gives float64": replace(fedavg.FEDAVG, combine=CoordinateWise(in_float64)),
    "forgets its state": replace(fedopt.FEDAVGM, step=forgetful),
    "remembers in a global": replace(fedavg.FEDAVG, step=remembering([])),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_rule_that_breaks_a_law_fails_the_suite(what):
    class Broken(StrategyContract):
        def rule(self):
            return BROKEN[what]

    assert failures(Broken()), what


def failures(suite):
    """The tests of a suite that fail, run here."""
    fixtures = {name: _unwrapped(StrategyContract.__dict__[name]) for name in ("chosen", "history")}
    failed = []
    for name, test in inspect.getmembers(suite, inspect.ismethod):
        wanted = inspect.signature(test).parameters
        given = {key: fixture(suite) for key, fixture in fixtures.items() if key in wanted}
        cases = [{"width": width} for width in WIDTHS] if "width" in wanted else [{}]
        for case in cases if name.startswith("test_") else []:
            try:
                test(**given, **case)
            except (AssertionError, SeptumError):
                failed.append(name)
    return failed


def _unwrapped(fixture):
    return getattr(fixture, "_fixture_function", None) or inspect.unwrap(fixture)


def test_a_good_rule_passes_run_in_this_way():
    assert failures(TestFedAdam()) == []
