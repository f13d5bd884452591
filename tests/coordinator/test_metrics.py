"""What the coordinator measures: counted from its journals, declared and documented, and shown to whom it may be."""

from __future__ import annotations

import base64
import http.client
import json
import re
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.coordinator.running import KEYS, NARROW, Running, finish, next_seed, start_round_one
from tests.coordinator.support import engine, plan_of, work
from tests.coordinator.visitors import operator, person
from tests.faults.counting import until

from septum.adapters.tracking.registry import TRACKERS
from septum.client import Client
from septum.coordinator import metrics
from septum.coordinator.live import Told
from septum.coordinator.metrics import METRICS, Meters
from septum.coordinator.metrics_page import page
from septum.coordinator.probes import Probes
from septum.errors import NotFoundError, StorageError
from septum.ports.tracker import RunStarted
from septum.protocol import facts
from septum.protocol.exposition import Kind
from septum.protocol.messages import Outcome, Stage
from septum.testing.fakes import FakeClock, MemoryBlobs

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
BOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "septum-coordinator.json"
PLAIN = SimpleNamespace(id="r-1", plan=SimpleNamespace(masking=None))
MASKED = SimpleNamespace(id="r-1", plan=SimpleNamespace(masking=object()))
OPENED = facts.StageOpened(Stage.TRAIN, 1, 1, ("a", "b"))
CLOSED = facts.StageClosed(Stage.TRAIN, 1, 1, ("a", "b"), ())
MADE = facts.ModelMade(1, None)


def reported(silo, **durations_s):
    return facts.SiloReported(silo, Stage.TRAIN, 1, 1, durations_s)


def heard(run, *entries):
    meters = Meters()
    meters.committed(0.004, [(run, [Told(fact, at) for at, fact in entries])])
    return meters


# --- counting ---------------------------------------------------------------------------------------------------------


def test_a_round_is_counted_with_where_its_time_went():
    meters = heard(PLAIN, (10.0, OPENED), (11.0, reported("a", train=0.5)), (13.0, reported("b")), (13.0, CLOSED))
    assert meters.of(metrics.ROUNDS).value("train") == 0
    meters.committed(0.002, [(PLAIN, [Told(MADE, 13.25), Told(MADE, 99.0)])])
    assert meters.of(metrics.ROUNDS).value("train") == 1
    assert meters.of(metrics.ROUND_S).value("train") == 3.25
    assert [meters.of(metrics.STEP_S).value(step) for step in ("wait", "unmask", "aggregate")] == [3.0, 0.0, 0.25]
    assert meters.of(metrics.SILO_STEP_S).value("train") == 0.5
    assert meters.of(metrics.REPORTS).value("accepted") == 2
    assert meters.of(metrics.COMMIT_S).value() == pytest.approx(0.006)


def test_taking_masks_off_begins_with_the_last_report():
    meters = heard(MASKED, (10.0, OPENED), (12.0, reported("a")), (12.5, CLOSED), (12.75, MADE))
    assert [meters.of(metrics.STEP_S).value(step) for step in ("wait", "unmask", "aggregate")] == [2.0, 0.5, 0.25]


def test_a_second_attempt_belongs_to_the_round_and_why_the_first_failed_is_counted():
    failed = facts.AttemptFailed(Stage.TRAIN, 1, 1, ("a",), ("b",))
    again = facts.StageOpened(Stage.TRAIN, 1, 2, ("a",))
    meters = heard(PLAIN, (0.0, OPENED), (5.0, failed), (5.0, again), (7.0, CLOSED), (7.0, MADE))
    assert meters.of(metrics.ROUND_S).value("train") == 7.0
    assert meters.of(metrics.ATTEMPTS_FAILED).value(metrics.TOO_FEW) == 1


def test_a_run_that_ends_in_the_middle_of_a_round_has_not_completed_it():
    ended = facts.RunEnded(Outcome.STOPPED, "")
    meters = heard(PLAIN, (0.0, OPENED), (1.0, CLOSED), (2.0, ended), (3.0, MADE))
    assert meters.of(metrics.ROUNDS).value("train") == 0
    assert meters.of(metrics.RUNS_ENDED).value("stopped") == 1


@pytest.mark.anyio
async def test_a_report_that_is_refused_is_counted_by_the_errors_code():
    async with engine() as e:
        meters = Meters()
        e.service.on_refused = meters.refused
        made = (await e.start_round_one(plan_of()))[1]["cleveland"]
        report, _ = work(made, "cleveland")
        with pytest.raises(NotFoundError):
            await e.service.exchange("cleveland", "r-none", report)
        assert meters.of(metrics.REPORTS_REFUSED).value("not_found") == 1


# --- declared and documented ------------------------------------------------------------------------------------------


def test_the_page_of_metrics_is_up_to_date():
    assert DOCS.read_text() == page(), "run: python -m septum.coordinator.metrics_page > docs/reference/metrics.md"


def test_no_label_can_have_a_value_of_one_run_silo_or_person():
    for metric in METRICS:
        assert not {"run", "run_id", "silo", "person", "user", "round", "project"} & set(metric.labels), metric.name
        series = 1
        for values in metric.labels.values():
            assert values
            series *= len(values)
        assert series <= 40, metric.name
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name


def test_the_dashboard_asks_for_metrics_that_there_are_and_for_all_of_them():
    text = BOARD.read_text()
    panels = json.loads(text)["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    names = {name for expr in asked for name in re.findall(r"\b((?:septum|process)_[a-z_]+)", expr)}
    names |= set(re.findall(r"label_values\((\w+)", text))
    known = {metric.name for metric in METRICS} | {
        f"{metric.name}_{end}"
        for metric in METRICS
        if metric.kind is Kind.HISTOGRAM
        for end in ("bucket", "sum", "count")
    }
    assert names - known == set()
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert {metric.name for metric in METRICS} - bare == set()
    assert {label for expr in asked for label in re.findall(r"by \(([^)]*)\)", expr)} <= {
        "le, stage",
        "part, direction",
        "part, answer",
    }


# --- a coordinator ----------------------------------------------------------------------------------------------------


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.mark.served
def test_a_whole_run_is_in_the_numbers_that_prometheus_gets(coordinator, silos):
    with Client(coordinator.access) as client:
        before = families(client.metrics())
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
    finish(silos, run, told, NARROW)
    bearer = {"authorization": f"Bearer {coordinator.access.token}"}
    answer = coordinator.ask("GET", "/metrics", headers=bearer)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    after = families(answer.body.decode())
    assert {name.removesuffix("_total") for name in after} == {one.name.removesuffix("_total") for one in METRICS}

    def gained(name, **labels):
        return sum(
            sign * sample.value
            for sign, found in ((1, after), (-1, before))
            for sample in found[name].samples
            if sample.name in (name, f"{name}_total", f"{name}_count") and labels.items() <= sample.labels.items()
        )

    assert [gained("septum_rounds", stage=stage) for stage in ("prepare", "train", "evaluate")] == [1, 2, 1]
    assert gained("septum_reports", result="accepted") == 12
    assert gained("septum_round_seconds", stage="train") == 2
    assert gained("septum_runs_ended", outcome="finished") == 1
    assert gained("septum_commit_seconds") >= 4
    assert gained("septum_http_bytes", part="silo", direction="in") > 1000
    assert gained("septum_http_bytes", part="silo", direction="out") > 1000
    assert gained("septum_http_requests", part="silo", answer="2xx") >= 15
    for name in ("process_resident_memory_bytes", "septum_disk_free_bytes", "process_start_time_seconds"):
        assert after[name].samples[0].value > 0
    assert run not in answer.body.decode()
    assert "cleveland" not in answer.body.decode()


class Refusing:
    """A tracker whose service stores the start of a run and refuses everything else for good."""

    def tell_all(self, told):
        return sum(not isinstance(one, RunStarted) for one in told)

    def tell(self, told):
        self.tell_all([told])

    def close(self):
        pass


@pytest.mark.served
def test_what_trackers_refuse_and_what_waits_for_them_is_in_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setitem(TRACKERS, "refusing", lambda _: Refusing())
    (tmp_path / "webhook.secret").write_text(f"whsec_{base64.b64encode(bytes(24)).decode()}\n")
    (tmp_path / "webhook.secret").chmod(0o600)
    down = {"url": "http://127.0.0.1:9/nobody", "on": "started,measured,ended"}
    running = Running(tmp_path, tracking={"refusing": {}, "webhook": down})
    try:
        silos = [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
        run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
        finish(silos, run, told, NARROW)

        def numbers():
            with Client(running.access) as client:
                found = families(client.metrics())
            return {name: found[f"septum_tracker_{name}"].samples[0].value for name in wanted}

        wanted = ("pending", "waiting", "failures", "refused")
        # a start, models 0, 1 and 2 measured, an end: all of it waits for the webhook, all but the start was refused
        until(lambda: (now := numbers())["refused"] == 4 and now["pending"] == 1, "the tracker was told")
        now = numbers()
        assert now["waiting"] == 5
        assert now["failures"] >= 1
    finally:
        running.stop()


@pytest.mark.served
def test_metrics_are_for_those_who_may_see_all_runs(coordinator):
    assert coordinator.ask("GET", "/metrics").status == 401
    assert operator(coordinator).ask("GET", "/metrics").status == 200
    assert person(coordinator, "vera", "viewer").ask("GET", "/metrics").status == 200
    assert person(coordinator, "rita", "researcher@default").ask("GET", "/metrics").status == 403


@pytest.mark.served
def test_on_this_machine_a_listener_of_its_own_needs_no_token_and_serves_nothing_else(tmp_path):
    running = Running(tmp_path, metrics_port=0)
    try:
        port = int(running.metrics_url.rpartition(":")[2])

        def ask(path, host=f"127.0.0.1:{port}"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with closing(connection):
                connection.request("GET", path, headers={"host": host})
                answer = connection.getresponse()
                return answer.status, answer.read()

        assert b"septum_build_info{" in ask("/metrics")[1]
        assert ask("/healthz") == (200, b"ok\n")
        assert ask("/readyz")[0] == 200
        assert ask("/api/v1/runs")[0] == 404
        assert ask("/silo/v1/ca")[0] == 404
        assert ask("/metrics", "rebound.example:80")[0] == 403
    finally:
        running.stop()


# --- probes -----------------------------------------------------------------------------------------------------------


@pytest.mark.served
def test_probes_need_no_token_and_tell_no_more_than_how_it_is(coordinator):
    assert coordinator.ask("GET", "/healthz").body == b"ok\n"
    answer = coordinator.ask("GET", "/readyz")
    assert answer.status == 200
    assert json.loads(answer.body) == {"ready": True, "checks": {"store": "ok", "disk": "ok", "draining": "ok"}}


class Disk(MemoryBlobs):
    free = 2**40

    def free_bytes(self):
        return self.free


@pytest.mark.anyio
async def test_a_coordinator_that_cannot_write_has_no_room_or_drains_is_not_ready():
    clock, blobs, broken = FakeClock(), Disk(), []

    def check():
        if broken:
            raise StorageError("the database is read-only")

    async with engine(clock=clock, blobs=blobs) as e:
        probes = Probes(e.driver, blobs, check)
        assert set((await probes.checks()).values()) == {"ok"}
        broken.append(1)
        blobs.free = 10
        assert set((await probes.checks()).values()) == {"ok"}  # it was looked at a moment ago
        clock.advance(6.0)
        assert await probes.checks() == {"store": "failing", "disk": "full", "draining": "ok"}
        sent = []

        async def send(message):
            sent.append(message)

        await probes({"path": "/readyz"}, None, send)
        assert sent[0]["status"] == 503
        assert json.loads(sent[1]["body"])["ready"] is False
        e.driver.drain(StorageError("going down"))
        assert (await probes.checks())["draining"] == "draining"
