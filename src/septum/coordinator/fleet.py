"""What have the silos said of themselves? Their accounts, kept in memory; the store is written when one changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from septum.coordinator.effects import Performer
from septum.coordinator.feed import Feed
from septum.errors import ConnectionFailedError
from septum.ports.accounts import NOTHING_SAID, SiloAccount, SiloAccounts
from septum.ports.clock import Clock
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.feed import Change, Kind
from septum.protocol.resources import Capacity

log = logging.getLogger("septum.coordinator.fleet")

CHANGE_EVERY_S = 1.0  # of one silo: each change is written to the disk


class Fleet:
    """The accounts of all silos. For the event loop. `owner`: the organisation of a silo."""

    def __init__(
        self, accounts: SiloAccounts, performer: Performer, clock: Clock, feed: Feed, owner: Callable[[str], str]
    ) -> None:
        self._store = accounts
        self._performer = performer
        self._clock = clock
        self._feed = feed
        self._owner = owner
        self._accounts: dict[str, SiloAccount] = {}
        self._changing: set[tuple[str, str]] = set()
        self.on_capacity: list[Callable[[], None]] = []  # a silo gives more or less than before

    async def load(self) -> None:
        """Read all accounts."""
        self._accounts = dict(await self._performer.read(self._store.accounts))

    def of(self, silo: str) -> SiloAccount:
        """What a silo has said."""
        return self._accounts.get(silo, NOTHING_SAID)

    def capacities(self) -> Mapping[str, Capacity]:
        """What each silo gives that says so."""
        said = {silo: account.description for silo, account in self._accounts.items()}
        return {silo: one.capacity for silo, one in said.items() if one is not None and one.capacity is not None}

    async def describe(self, silo: str, description: SiloDescription) -> None:
        """Keep a silo's description. What is known already costs nothing."""
        if self.of(silo).description == description:
            return
        self._take_turn(silo, "description")
        at = self._clock.unix()
        await self._performer.write(self._store.describe, silo, description, at=at)
        before = self.of(silo).description
        self._accounts[silo] = replace(self.of(silo), description=description, described_at=at)
        if before is None or before.capacity != description.capacity:
            for tell in self.on_capacity:
                tell()
        log.info("silo_described", extra={"silo": silo, "septum": description.septum})

    async def stand(self, silo: str, standing: Standing) -> None:
        """Keep whether a silo is paused. What is known already costs nothing."""
        if self.of(silo).standing == standing:
            return
        self._take_turn(silo, "standing")
        at = self._clock.unix()
        kind = Kind.SILO_PAUSED if standing.paused else Kind.SILO_RESUMED
        change = Change(kind, silo=silo, organisation=self._owner(silo), reason=standing.reason)
        await self._feed.write(change, self._store.stand, silo, standing, at=at)
        self._accounts[silo] = replace(self.of(silo), standing=standing, stood_at=at)
        log.info("silo_paused" if standing.paused else "silo_resumed", extra={"silo": silo, "reason": standing.reason})

    def _take_turn(self, silo: str, what: str) -> None:
        """Let a silo change now and then: one that does so in a loop would wear the disk out. Raises otherwise."""
        if (silo, what) in self._changing:
            raise ConnectionFailedError(
                f"the {what} of silo {silo!r} changes too often", hint="it is tried again by itself"
            )
        self._changing.add((silo, what))
        asyncio.get_running_loop().call_later(CHANGE_EVERY_S, self._changing.discard, (silo, what))
