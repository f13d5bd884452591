"""How long requests are held."""

from __future__ import annotations

import asyncio

import pytest

from septum.coordinator.held import POLL, HeldRequests

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("run", "at_most_s", "seconds"), [("r1", 1e9, 10.0), (POLL, 1e9, 20.0), (POLL, 1.0, 1.0)])
async def test_a_poll_is_held_twice_as_long_as_what_a_run_waits_for(run, at_most_s, seconds):
    requests = HeldRequests(hold_s=10.0, per_silo=4)
    held = requests.hold("hungary", run, at_most_s=at_most_s)
    assert held.timer is not None
    assert held.timer.when() - asyncio.get_running_loop().time() == pytest.approx(seconds, abs=0.5)
    requests.release(held)
