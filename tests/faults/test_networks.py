"""Slow, dead and cut lines between real agents and a real coordinator; requests that come twice, late or wrong."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.coordinator.running import Answer, Silo, finish, start_round_one, together
from tests.coordinator.support import SILOS, engine, plan_of, prepared, update, work
from tests.e2e.runs import APP, FILES, OPEN, Journal, a_plan, client_of, undisturbed
from tests.faults.lone import Lone, lone_coordinator

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.client import Client
from septum.errors import AuthError
from septum.protocol import facts
from septum.protocol.codec import encode
from septum.protocol.messages import Join, Poll, Report, Stage, Train, blob_of
from septum.protocol.views import RunStatus
from septum.testing.network import Line, NetworkProxy, Passage

pytestmark = pytest.mark.faults

SLOW = Line(latency_s=0.05, bytes_per_s=100_000)
FAR_SILO = "switzerland"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, Mapping[str, NetworkProxy]]]:
    """A federation whose silos each reach the coordinator over a line of their own."""
    proxies: dict[str, NetworkProxy] = {}

    def route(silo: str, url: str) -> str:
        proxies[silo] = NetworkProxy(urlsplit(url).port or 0)
        return f"https://127.0.0.1:{proxies[silo].port}"

    base = tmp_path_factory.mktemp("federation")
    with Federation(base, example("heart_disease"), APP.app.name, FILES, policy=OPEN) as federation:
        federation.start(route)
        yield federation, proxies
    for proxy in proxies.values():
        proxy.close()


@pytest.fixture
def federation(started) -> Iterator[Federation]:
    yield started[0]
    for proxy in started[1].values():
        proxy.heal()


@pytest.fixture
def lines(started, federation) -> Mapping[str, NetworkProxy]:
    return started[1]


# --- lines -----------------------------------------------------------------------------------------------------------


def test_over_slow_lines_a_run_finishes_with_the_same_model(federation, lines):
    plan = a_plan(4)
    for proxy in lines.values():
        proxy.become(SLOW)
    with client_of(federation) as client:
        run = client.submit(plan, key="slow")
        Journal(client, run).until(facts.RunEnded)
        assert client.run(run.id).model == undisturbed(plan)


def test_over_lines_that_are_cut_again_and_again_a_run_finishes_with_the_same_model(federation, lines):
    plan = a_plan(40)
    before = sum(proxy.counts.resets for proxy in lines.values())
    for proxy in lines.values():
        proxy.become(Line(cut_up_after=12_000))
    with client_of(federation) as client:
        run = client.submit(plan, key="cut")
        journal = Journal(client, run)
        journal.until(facts.RunEnded)
        assert client.run(run.id).model == undisturbed(plan)
    assert sum(proxy.counts.resets for proxy in lines.values()) - before >= 8
    assert_each_report_counts_once(journal)


def test_an_answer_that_is_lost_is_asked_for_again_and_the_report_counts_once(federation, lines):
    plan = a_plan(60)
    before = sum(proxy.counts.swallowed for proxy in lines.values())
    with client_of(federation) as client:
        run = client.submit(plan, key="lost")
        journal = Journal(client, run)
        for number, silo in enumerate(sorted(lines) * 3):
            journal.until(facts.ModelMade, round=4 * number + 2)
            lines[silo].swallow()
        journal.until(facts.RunEnded)
        assert client.run(run.id).model == undisturbed(plan)
    assert sum(proxy.counts.swallowed for proxy in lines.values()) - before >= 8
    assert_each_report_counts_once(journal)


@pytest.mark.parametrize(
    "line",
    [Line(passage=Passage.HALF_OPEN), Line(bytes_per_s=1.0), Line(passage=Passage.REFUSED)],
    ids=["half-open", "a byte a second", "refused"],
)
def test_a_silo_whose_line_fails_is_dropped_at_the_deadline_and_rejoins(federation, lines, line):
    plan = a_plan(1000, quorum=3, deadline_s=1.5)
    with client_of(federation) as client:
        run = client.submit(plan, key=str(line))
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=3)
        lines[FAR_SILO].become(line)
        journal.until(facts.SiloLeft, silo=FAR_SILO)
        missed = journal.until(facts.StageClosed)
        assert isinstance(missed, facts.StageClosed)
        assert missed.missing == (FAR_SILO,)
        journal.until(facts.ModelMade, round=missed.round + 5)
        client.pause(run.id)  # the others are fast: there are to be rounds left for it
        lines[FAR_SILO].heal()
        journal.until(facts.SiloReturned, silo=FAR_SILO)
        client.resume(run.id)
        journal.until(facts.SiloReported, silo=FAR_SILO)
        client.stop(run.id)
        journal.until(facts.RunEnded)
    assert journal.models_made() == list(range(len(journal.models_made())))
    assert_each_report_counts_once(journal)
    in_time = {(fact.silo, fact.round) for fact in journal.facts if isinstance(fact, facts.SiloReported)}
    assert (FAR_SILO, missed.round) not in in_time
    if line.passage is Passage.HALF_OPEN:  # what it was asked for came through late, and so did its report
        until(lambda: missed.round in rounds_that_an_agent_reported(federation, run.id, FAR_SILO))


def assert_each_report_counts_once(journal: Journal) -> None:
    reports = [fact for fact in journal.facts if isinstance(fact, facts.SiloReported)]
    counted = Counter((fact.silo, fact.stage, fact.round, fact.attempt) for fact in reports)
    assert set(counted.values()) == {1}


def rounds_that_an_agent_reported(federation: Federation, run_id: str, silo: str) -> set[int]:
    entries = [json.loads(line) for line in federation.log(silo).read_text().splitlines() if '"reported"' in line]
    return {entry["round"] for entry in entries if entry["run_id"] == run_id and entry["stage"] == "train"}


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lone]:
    with lone_coordinator(tmp_path_factory.mktemp("lone"), "hold_s = 2.0\n") as lone:
        yield lone


@pytest.fixture(scope="module")
def silos(coordinator: Lone) -> list[Silo]:
    return [coordinator.enrolled(name) for name in SILOS]


def state_of(coordinator: Lone, run: str) -> object:
    """All that a run's history and its view say."""
    with Client(coordinator.access) as client:
        return client.run(run), client.journal(run)


def test_reports_three_times_out_of_order_and_a_round_late_change_nothing(coordinator, silos):
    plan = plan_of(rounds=3, hyper={"rounds": 3, "lr": 0.1})
    undisturbed_run, told = start_round_one(silos, plan, "undisturbed", 3)
    finish(silos, undisturbed_run, told, 3)
    run, told = start_round_one(silos, plan, "disturbed", 3)
    first = {silo.name: work(one, silo.name) for silo, one in zip(silos, told, strict=True)}
    repeated = [silo for silo in silos for _ in range(3)]
    together(repeated, lambda silo: silo.say(run, first[silo.name][0]))
    told = together(silos, lambda silo: silo.say(run, Join(plan.digest)))
    assert [one.round for one in told if isinstance(one, Train)] == [2, 2, 2]
    before = state_of(coordinator, run)
    reports = [fact for fact in facts_of(before) if isinstance(fact, facts.SiloReported) and fact.round == 1]
    assert sorted(fact.silo for fact in reports) == sorted(SILOS)
    first_of_all = Report(Stage.PREPARE, 0, 1, "", blob_of(prepared(initial=False)), 10)
    for message in (first[silos[0].name][0], first_of_all, first[silos[0].name][0]):
        assert silos[0].say(run, message) == told[0]
    assert state_of(coordinator, run) == before
    finish(silos, run, told, 3)
    with Client(coordinator.access) as client:
        assert client.run(run).status is RunStatus.FINISHED
        assert client.run(run).model == client.run(undisturbed_run).model


def facts_of(state) -> list[facts.Fact]:
    return [entry.fact for entry in state[1]]


def test_a_replayed_request_is_refused_and_logged_and_changes_nothing(coordinator, silos):
    run, told = start_round_one(silos, plan_of(), "replayed", 3)
    silo = silos[0]
    body = encode(work(told[0], silo.name)[0])
    path = f"/silo/v1/runs/{run}/exchange"
    headers = silo.signed("POST", path, body)
    coordinator.ask("POST", path, body, headers)
    before = state_of(coordinator, run)
    again = coordinator.ask("POST", path, body, headers)
    assert again.status == 401
    assert "received before" in again.error["message"]
    assert state_of(coordinator, run) == before
    logged = [json.loads(line) for line in coordinator.log.read_text().splitlines() if '"silo_refused"' in line]
    assert [entry for entry in logged if entry["path"] == path and entry["error"] == again.error["message"]]


@pytest.mark.parametrize(("offset_s", "side"), [(600.0, "ahead of"), (-600.0, "behind")])
def test_a_silo_whose_clock_is_ten_minutes_off_is_told_by_how_much(coordinator, silos, offset_s, side):
    silo = silos[0]
    signer = Ed25519Signer(silo.name, silo.key, now=lambda: time.time() + offset_s)
    channel = HttpsChannel(f"https://127.0.0.1:{coordinator.port}", signer, ca_file=coordinator.ca_file)
    said = rf"{silo.name}.* signed (599|600|601) s {side} "
    with pytest.raises(AuthError, match=said) as refused:
        channel.poll(())
    assert "NTP" in refused.value.hint
    channel.close()


def test_deadlines_do_not_follow_a_clock_that_jumps():
    async def play() -> None:
        async with engine() as at_work:
            plan = plan_of(deadline_s=60.0, quorum=2)
            run, asked = await at_work.start_round_one(plan)
            reports = [asyncio.create_task(at_work.report(silo, run, work(asked[silo], silo))) for silo in SILOS[:2]]
            for jump_s in (3600.0, -7200.0):
                at_work.clock.jump(jump_s)
                at_work.driver.nudge()
                await asyncio.wait(reports, timeout=0.05)
                assert not any(report.done() for report in reports)
            at_work.clock.advance(61.0)
            at_work.driver.nudge()
            told = await asyncio.gather(*reports)
            assert [one.round for one in told if isinstance(one, Train)] == [2, 2]

    asyncio.run(play())


WRONG = {
    "not a number": (update(float("nan")), "update.w"),
    "infinite": (update(float("inf")), "update.w"),
    "wrong shape": (update(0.1, width=4), "update.w"),
    "wrong type": (update(0.1).replace(b'"F32"', b'"I32"'), "update.w"),
    "not asked for": (update(0.1, extra=np.ones(2, np.float32)), "update.extra"),
    "missing": (update(0.1).replace(b"update.w", b"update.v"), "update.w"),
}


def test_wrong_updates_are_refused_naming_the_tensor_and_the_run_goes_on(coordinator, silos):
    run, told = start_round_one(silos, plan_of(), "wrong", 3)
    model = told[0].model.digest
    before = state_of(coordinator, run)
    for data, tensor in WRONG.values():
        report = Report(Stage.TRAIN, 1, told[0].attempt, model, blob_of(data), 10)
        answer = silos[0].post(f"/silo/v1/runs/{run}/exchange", encode(report))
        assert answer.status == 422, answer.body
        assert answer.error["code"] == "tensor"
        assert tensor in answer.error["message"], answer.error
        assert silos[0].name in answer.error["message"]
    assert state_of(coordinator, run) == before
    finish(silos, run, told, 3)
    with Client(coordinator.access) as client:
        assert client.run(run).status is RunStatus.FINISHED


def test_a_coordinator_that_goes_down_says_when_to_come_back(tmp_path: Path):
    body = encode(Poll())
    with lone_coordinator(tmp_path) as lone:
        silo = lone.enrolled("north")
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(silo.post("/silo/v1/poll", body)))
        asking.start()
        with Client(lone.access) as client:
            until(lambda: client.health().silos_online == 1)
        lone.stop()
        asking.join()
    assert [answer.status for answer in answers] == [503]
    assert int(answers[0].headers["retry-after"]) >= 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
