"""How busy machines are: told by silos, bounded, and shown in as many points as are asked for."""

from __future__ import annotations

import json
import time

import pytest
from tests.coordinator.support import engine, telling_of
from tests.coordinator.visitors import operator, person

from septum.client import Client
from septum.coordinator.loads import BURST_SAMPLES
from septum.errors import NotFoundError, RateLimitedError
from septum.protocol.codec import encode
from septum.protocol.system import MAX_SAMPLES
from septum.testing.contracts.telemetry import NOW, report

pytestmark = pytest.mark.served

SYSTEM = "/silo/v1/system"


def test_what_a_silo_tells_is_shown_of_it_and_of_its_runs(coordinator, silos, round_one):
    run, _ = round_one
    now = time.time()
    assert silos[0].post(SYSTEM, encode(report((now - 30.0, 12.0), (now, 80.0)))).status == 200
    with Client(coordinator.access) as client:
        found = client.loads.of_silo("cleveland")
        assert [point.mean.cpu for point in found.points] == [12.0, 80.0]
        assert (found.silo, found.memory_mb) == ("cleveland", 16_000.0)
        (one,) = client.loads.of_silo("cleveland", points=1).points
        assert (one.count, one.mean.cpu, one.highest.cpu) == (2, 46.0, 80.0)
        assert client.loads.of_silo("cleveland", since=now - 7_200.0, until=now - 3_600.0).points == ()
        of_run = client.loads.of_run(run, "cleveland")
        assert of_run.points[-1].highest.cpu == 80.0
        with pytest.raises(NotFoundError, match="is not part of run"):
            client.loads.of_run(run, "basel")


def test_the_coordinator_looks_at_its_own_machine(coordinator):
    until = time.monotonic() + 10.0
    with Client(coordinator.access) as client:
        while not (points := client.loads.of_coordinator().points):
            assert time.monotonic() < until
            time.sleep(0.2)
    assert points[-1].mean.memory_mb > 0


def test_who_may_not_see_a_silo_does_not_see_its_load(coordinator, silos):
    assert silos[1].post(SYSTEM, encode(report((time.time(), 1.0)))).status == 200
    assert operator(coordinator).ask("GET", "/silos/hungary/system").status == 200
    operator(coordinator).told("POST", "/organisations", {"name": "far", "title": "Far"})
    other = person(coordinator, "otto", "viewer@far", organisation="far")
    assert other.ask("GET", "/silos/hungary/system").status == 404
    assert other.ask("GET", "/system").status == 403
    assert coordinator.ask("GET", "/api/v1/silos/hungary/system").status == 401
    for wrong in ("points=0", "points=2001", "since=nan", "since=-1", "until=inf"):
        assert operator(coordinator).ask("GET", f"/silos/hungary/system?{wrong}").status == 422, wrong


def with_sample(**fields: object) -> bytes:
    message = json.loads(encode(report((NOW, 1.0))))
    message["samples"][0]["readings"].update(fields)
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        with_sample(cpu=-1.0),
        with_sample(cpu="much"),
        with_sample(cpu=1e13),
        with_sample(rows=303),
        encode(report((NOW, 1.0))).replace(b'"cpu":1.0', b'"cpu":NaN'),
        encode(report((NOW, 1.0))).replace(b'"at":1800000000.0', b'"at":-5'),
        encode(report((NOW, 1.0))).replace(
            b'"samples":[',
            b'"samples":['
            + b",".join([json.dumps(json.loads(encode(report((NOW, 1.0))))["samples"][0]).encode()] * MAX_SAMPLES)
            + b",",
        ),
    ],
)
def test_what_is_no_report_is_refused(coordinator, silos, body):
    assert silos[2].post(SYSTEM, body).status == 400
    with Client(coordinator.access) as client:
        assert client.loads.of_silo("switzerland", since=0.0).points == ()


@pytest.mark.anyio
async def test_of_half_a_million_samples_of_one_silo_all_but_a_few_are_refused():
    async with engine() as e:
        _, loads = telling_of(e)
        now, taken, refused = e.clock.unix(), 0, 0
        for start in range(0, 500_000, MAX_SAMPLES):
            samples = report(*((now - 3_000.0 + 0.005 * (start + n), 50.0) for n in range(MAX_SAMPLES)))
            try:
                await loads.take("hungary", samples)
                taken += MAX_SAMPLES
            except RateLimitedError:
                refused += MAX_SAMPLES
        assert taken <= BURST_SAMPLES
        assert refused > 499_000
        series = await loads.series("hungary", since=0.0, until=now, points=2_000)
        assert 0 < sum(point.count for point in series.points) <= taken
        await loads.take("basel", report((now, 1.0)))
        await loads.close()
