"""Async tests run on asyncio, as the coordinator does; tests over the network share one coordinator in each file."""

import pytest
from tests.coordinator.running import KEYS, NARROW, Running, next_seed, start_round_one
from tests.coordinator.support import plan_of


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), max_blob_mb=1)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def silos(coordinator):
    return [coordinator.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]


@pytest.fixture
def round_one(silos):
    """A run whose silos have been asked for round 1, small payloads."""
    return start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
