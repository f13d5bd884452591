"""A silo's spans lie within what it was asked, and end when it has said what came of it."""

from __future__ import annotations

import pytest

from septum.errors import ConfigError
from septum.protocol.messages import Stage
from septum.silo.policy import Policy
from septum.silo.traces import Traces
from septum.testing.fakes import MemorySpans

ASKED = f"00-{7:032x}-{9:016x}-01"
WHERE = (Stage.TRAIN, 3, 1)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def made():
    clock, spans = Clock(), MemorySpans()
    return Traces(spans, "north", clock), spans, clock


def test_the_work_has_its_steps_in_their_order_before_its_end():
    traces, spans, clock = made()
    traces.told("r-1", ASKED)
    asked = traces.asked("r-1")
    clock.now = 110.0
    traces.told("r-1", f"00-{8:032x}-{9:016x}-01")  # the answer to the report asks for the next piece of work
    traces.worked("r-1", asked, WHERE, {"send": 0.5, "train": 7.0, "receive": 1.0, "protect": 0.0, "unknown": 3.0})
    whole, *steps = spans.spans.values()
    assert (whole.name, whole.parent, whole.began_at, whole.ended_at) == ("train in north", ASKED, 100.0, 110.0)
    assert whole.about["septum.round"] == 3
    found = [(span.name, span.began_at, span.ended_at) for span in steps]
    assert found == [("receive", 101.5, 102.5), ("train", 102.5, 109.5), ("send", 109.5, 110.0)]
    assert len({key.split("-")[1] for key in spans.spans}) == 1


def test_a_run_that_says_no_durations_has_no_steps():
    traces, spans, _ = made()
    traces.told("r-1", ASKED)
    traces.worked("r-1", traces.asked("r-1"), WHERE, {})
    assert [span.name for span in spans.spans.values()] == ["train in north"]


def test_what_is_of_no_trace_is_not_put_into_an_older_one():
    traces, _, _ = made()
    traces.told("r-1", ASKED)
    traces.told("r-1", "")
    assert traces.asked("r-1") is None
    traces.told("r-1", ASKED)
    traces.forget("r-1")
    assert traces.asked("r-1") is None


def test_the_policy_names_a_collector_that_can_be_one():
    assert Policy(traces="https://otel.st-marys.org:4318").traces
    with pytest.raises(ConfigError, match=r"\[policy\]: traces"):
        Policy(traces="http://otel.st-marys.org:4318")
