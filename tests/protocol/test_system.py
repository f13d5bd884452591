"""A long history in few points: the same time, the same mean, the same peaks, and gaps where there were gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import MessageError
from septum.protocol.system import Readings, SystemPoint, SystemReport, SystemSample, fewer


def point(at: float, cpu: float, highest: float, count: int = 1, gpu: float | None = None) -> SystemPoint:
    return SystemPoint(
        at, 10.0, count, Readings(cpu, 1.0, 2.0, 3.0, 4.0, gpu), Readings(highest, 1.0, 2.0, 3.0, 4.0, gpu)
    )


histories = st.lists(
    st.tuples(st.integers(1, 30), st.floats(0, 100), st.floats(0, 100), st.integers(1, 5)), min_size=1, max_size=60
).map(
    lambda steps: [
        point(10.0 * sum(gap for gap, *_ in steps[: number + 1]), min(low, high), max(low, high), count)
        for number, (_, low, high, count) in enumerate(steps)
    ]
)


@given(histories, st.integers(1, 70))
def test_no_point_too_many_no_sample_lost_no_peak_lowered_and_the_mean_is_the_mean(points, most):
    found = fewer(points, most)
    assert len(found) <= most
    assert sum(one.count for one in found) == sum(one.count for one in points)
    assert max(one.highest.cpu for one in found) == max(one.highest.cpu for one in points)
    mean = sum(one.mean.cpu * one.count for one in points) / sum(one.count for one in points)
    assert sum(one.mean.cpu * one.count for one in found) / sum(one.count for one in found) == pytest.approx(mean)


@given(histories, st.integers(1, 70))
def test_points_stay_in_order_within_the_time_that_they_had(points, most):
    found = fewer(points, most)
    assert [one.at for one in found] == sorted({one.at for one in found})
    assert found[0].at >= points[0].at - 1e-6
    assert found[-1].at + found[-1].span_s <= points[-1].at + points[-1].span_s + 1e-6


def test_by_hand():
    points = [point(0.0, 10.0, 20.0), point(10.0, 40.0, 90.0, count=2), point(70.0, 5.0, 5.0, gpu=50.0)]
    first, second = fewer(points, 2)
    assert (first.at, first.span_s, first.count, first.mean.cpu, first.highest.cpu) == (0.0, 40.0, 3, 30.0, 90.0)
    assert (second.at, second.count, second.mean.gpu, first.mean.gpu) == (40.0, 1, 50.0, None)


def test_a_gap_stays_a_gap():
    points = [point(0.0, 1.0, 1.0), point(10.0, 1.0, 1.0), point(990.0, 1.0, 1.0)]
    assert fewer(points, 3) == tuple(points)
    assert [one.at for one in fewer([*points, point(1_000.0, 1.0, 1.0)], 2)] == [0.0, 505.0]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1, 1e13])
def test_what_is_no_reading_cannot_be_made(wrong):
    with pytest.raises(MessageError):
        Readings(wrong, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(MessageError):
        SystemSample(-1.0 if wrong == -0.1 else wrong, Readings(0.0, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(MessageError):
        SystemReport((SystemSample(0.0, Readings(0.0, 0.0, 0.0, 0.0, 0.0)),), memory_mb=wrong)
