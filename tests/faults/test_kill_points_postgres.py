"""Fault 1 on PostgreSQL: the coordinator is killed at its commits, and each run ends as if nothing had been.

One point of each kind that the database has a part in: an opening, a run's first commit and its last, a report, a
model, what the outbox has to do, a person, and what the audit log gets for itself. What is not in the database is the
same on both: tests/faults/test_kill_points.py meets all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.audited import check, heads_seen_beside, key_in, read
from tests.faults.counting import UNCLOSED
from tests.faults.kill_points import COORDINATOR_POINTS
from tests.faults.mortal import Place, mortal_federation
from tests.faults.test_kill_points import dies_and_goes_on
from tests.postgres_server import Server

from septum.adapters.store.open import DATABASE_NAME

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

POINTS = (
    "open the store",
    "create a run",
    "commit: SiloReported train",
    "commit: ModelMade",
    "commit: RunEnded",
    "commit: outbox - done",
    "add a person",
    "keep a countersignature",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Place]:
    with postgres.database() as name:
        with mortal_federation(tmp_path_factory.mktemp("kills"), postgres.url(name)) as place:
            yield place
        folder = place.federation.operator_dir
        assert not (folder / DATABASE_NAME).exists()
        with postgres.session(name) as session:
            log = read(lambda statement: session.run(statement, ()).rows)
        assert log.countersignatures
        check(log, key_in(folder), heads_seen_beside(folder))


@pytest.mark.parametrize("point", POINTS)
def test_on_postgresql_a_coordinator_that_is_killed_there_goes_on_as_if_nothing_had_been(place, point):
    assert point in COORDINATOR_POINTS
    dies_and_goes_on(place, point)
