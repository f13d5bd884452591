"""A round is one trace, made of what its journal says, with the journal's times."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from septum.coordinator.config import CoordinatorConfig
from septum.coordinator.live import Told
from septum.coordinator.traces import Traces
from septum.errors import ConfigError
from septum.protocol import facts
from septum.protocol.messages import Outcome, Stage
from septum.testing.fakes import MemorySpans

PLAIN = SimpleNamespace(id="r-1", plan=SimpleNamespace(masking=None))
MASKED = SimpleNamespace(id="r-1", plan=SimpleNamespace(masking=object()))
MADE = facts.ModelMade(1, None)


def opened(round_=1, attempt=1, cohort=("a", "b")):
    return facts.StageOpened(Stage.TRAIN, round_, attempt, cohort)


def reported(silo):
    return facts.SiloReported(silo, Stage.TRAIN, 1, 1)


def closed(missing=()):
    return facts.StageClosed(Stage.TRAIN, 1, 1, ("a",), missing)


def told(run, *entries):
    spans = MemorySpans()
    traces = Traces(spans)
    traces.committed(0.0, [(run, [Told(fact, at) for at, fact in entries])])
    return traces, spans


def times(spans):
    return {span.name: (span.began_at, span.ended_at) for span in spans.spans.values()}


def test_the_round_has_each_silo_and_combining_within_it():
    _, spans = told(MASKED, (1.0, opened()), (2.0, reported("a")), (3.0, reported("b")), (3.5, closed()), (4.0, MADE))
    assert times(spans) == {
        "round": (1.0, 4.0),
        "silo a": (1.0, 2.0),
        "silo b": (1.0, 3.0),
        "unmask": (3.0, 3.5),
        "combine": (3.5, 4.0),
    }
    root = next(key for key, span in spans.spans.items() if span.name == "round")
    assert {span.parent for key, span in spans.spans.items() if key != root} == {root}
    assert spans.spans[root].about == {"septum.run_id": "r-1", "septum.stage": "train", "septum.round": 1}


def test_a_silo_is_within_its_span_until_it_has_reported():
    traces, spans = told(PLAIN, (1.0, opened()))
    asked = traces.traceparent("r-1", "a")
    assert spans.spans[asked].name == "silo a"
    assert traces.traceparent("r-1", "c") == traces.traceparent("r-2", "a") == ""
    traces.committed(0.0, [(PLAIN, [Told(reported("a"), 2.0)])])
    assert traces.traceparent("r-1", "a") == ""


def test_a_second_attempt_is_in_the_same_trace_and_the_next_round_in_another():
    failed = facts.AttemptFailed(Stage.TRAIN, 1, 1, ("a",), ("b",))
    _, spans = told(
        PLAIN,
        *((1.0, opened()), (2.0, failed), (2.0, opened(attempt=2, cohort=("a",))), (3.0, reported("a"))),
        *((3.0, closed()), (4.0, MADE), (4.0, opened(2)), (5.0, facts.RunEnded(Outcome.STOPPED, ""))),
    )
    rounds = [span for span in spans.spans.values() if span.name == "round"]
    assert [(span.began_at, span.ended_at, span.problem) for span in rounds] == [
        (1.0, 4.0, ""),
        (4.0, 5.0, "the run was stopped"),
    ]
    of_a = [(span.began_at, span.problem) for span in spans.spans.values() if span.name == "silo a"]
    assert of_a == [(1.0, "it made no report in time"), (2.0, ""), (4.0, "it made no report in time")]
    assert len({key.split("-")[1] for key in spans.spans}) == 2
    assert all(span.ended_at is not None for span in spans.spans.values())


@pytest.mark.parametrize("url", ["ftp://h", "http://otel.example:4318", "otel:4318", "https://"])
def test_a_collector_that_cannot_be_one_is_refused(tmp_path, url):
    with pytest.raises(ConfigError, match="no address of a collector"):
        CoordinatorConfig(tmp_path, traces_endpoint=url)
    CoordinatorConfig(tmp_path, traces_endpoint="http://127.0.0.1:4318")


@pytest.mark.processes
def test_nobody_pays_for_traces_that_are_not_asked_for():
    """FastAPI itself loads OpenTelemetry's API where that is installed; what costs is the SDK."""
    loaded = "print(sum('opentelemetry' in name for name in sys.modules))"
    heavy = "print(sum(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')) for name in sys.modules))"
    code = f"import sys, septum.silo.root\n{loaded}\nimport septum.coordinator.root\n{heavy}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0", "0"]
