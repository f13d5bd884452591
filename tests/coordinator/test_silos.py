"""What the coordinator notes of its silos: who was here, and when."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.support import engine, feed_of

from septum.adapters.identity.keys import public_bytes
from septum.coordinator.silos import SEEN_EVERY_S, Silos
from septum.testing.fakes import MemoryRegistry

pytestmark = pytest.mark.anyio


async def test_a_silo_that_stays_away_is_not_noted_again_when_others_are_here():
    async with engine() as e:
        registry = MemoryRegistry()
        for silo in ("hungary", "switzerland"):
            registry.invite(silo, b"hash", expires_at=e.clock.unix() + 1)
            registry.enroll(silo, b"hash", public_bytes(Ed25519PrivateKey.generate()), at=e.clock.unix())
        silos = Silos(registry, e.driver.performer, e.clock, e.driver.held.silos, feed_of(e))
        await silos.load()
        last = e.clock.unix()
        for seen in (("hungary", "switzerland"), ("hungary",)):
            for silo in seen:
                silos.seen(silo)
            e.clock.advance(SEEN_EVERY_S + 1)
            await silos.note()
        assert registry.get("switzerland").seen_at == last
        assert registry.get("hungary").seen_at > last
