"""Prometheus reads what is written, and nothing that was not declared becomes a series of its own."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from septum.protocol.exposition import Kind, Metric, Numbers, page

SECONDS = Metric("took_seconds", Kind.HISTOGRAM, "How long.", {"step": ("a",)}, (0.1, 1.0))


def samples(*numbers):
    return {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(page(numbers))
        for one in family.samples
    }


def test_a_histogram_counts_each_value_in_every_bucket_that_it_fits_into():
    took = Numbers(SECONDS)
    for value in (0.05, 0.1, 0.5, 7.0):
        took.observe(value, "a")
    assert samples(took) == {
        ("took_seconds_bucket", "a", "0.1"): 2,
        ("took_seconds_bucket", "a", "1"): 3,
        ("took_seconds_bucket", "a", "+Inf"): 4,
        ("took_seconds_sum", "a"): pytest.approx(7.65),
        ("took_seconds_count", "a"): 4,
    }


def test_every_series_is_there_before_anything_happened():
    counted = Numbers(Metric("a_total", Kind.COUNTER, "As.", {"x": ("1", "2"), "y": ("3", "4")}))
    assert set(samples(counted).values()) == {0.0}
    assert len(samples(counted)) == 4


def test_a_value_that_was_not_declared_is_counted_among_the_others():
    counted = Numbers(Metric("a_total", Kind.COUNTER, "As.", {"code": ("known",)}))
    for name in ("known", "r-1", "r-2"):
        counted.add(1, name)
    assert samples(counted) == {("a_total", "known"): 1, ("a_total", "other"): 2}


def test_a_text_is_escaped():
    said = Numbers(Metric("b", Kind.GAUGE, "B.", {"v": ('a"\\\n',)}))
    assert samples(said) == {("b", 'a"\\\n'): 0}
