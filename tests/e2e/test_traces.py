"""Each round is one trace over real processes: the coordinator's spans, and those of the silos that tell theirs."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.e2e.runs import FILES, FOLDER, OPEN, a_plan, client_of

from septum.cli.federation import Federation
from septum.protocol.facts import ModelMade

pytestmark = pytest.mark.e2e
SILOS = sorted(FILES)[:2]


class Collector:
    """An OpenTelemetry collector: it keeps every span, with the name of the program that told it."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, object]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                    about = {entry.key: entry.value.string_value for entry in one.resource.attributes}
                    told = [span for scope in one.scope_spans for span in scope.spans]
                    outer.spans += [(about["service.name"], span) for span in told]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def test_a_round_is_one_trace_over_the_coordinator_and_the_silos(tmp_path, collector):
    base = tmp_path / "federation"
    records = {name: FILES[name] for name in SILOS}
    with Federation(base, FOLDER, "heart-disease", records, policy={**OPEN, "traces": collector.url}) as federation:
        federation.operator_dir.mkdir(parents=True)
        (federation.operator_dir / "coordinator.toml").write_text(f'traces_endpoint = "{collector.url}"\n')
        federation.start()
        with client_of(federation) as client:
            run = client.submit(a_plan(2, silos=tuple(SILOS), quorum=2, masking=None), key="traced")
            journal = list(client.watch(run.id))
            assert client.run(run.id).status.ended
    assert sum(isinstance(entry.fact, ModelMade) for entry in journal) == 3
    until = time.monotonic() + 10
    while len({span.trace_id for _, span in collector.spans}) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    traces = defaultdict(list)
    for service, span in collector.spans:
        traces[span.trace_id].append((service, span))
    assert len(traces) == 4  # preparing, two rounds, and measuring the last model
    trained = [told for told in traces.values() if any(span.name.startswith("train in") for _, span in told)]
    assert len(trained) == 2
    for told in trained:
        check(told)


def check(told):
    by_name = {span.name: (service, span) for service, span in told}
    (root,) = [span for _, span in told if not span.parent_span_id]
    assert root.name == "round"
    assert by_name["combine"][1].parent_span_id == root.span_id
    for silo in SILOS:
        service, asked = by_name[f"silo {silo}"]
        assert (service, asked.parent_span_id) == ("septum-coordinator", root.span_id)
        service, work = by_name[f"train in {silo}"]
        assert (service, work.parent_span_id) == ("septum-silo", asked.span_id)
        steps = {span.name for _, span in told if span.parent_span_id == work.span_id}
        assert {"train", "send"} & steps == {"train"}  # such a small update goes with the report
        assert asked.start_time_unix_nano <= work.start_time_unix_nano + 5_000_000_000
        assert work.end_time_unix_nano >= work.start_time_unix_nano
