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

    def machine(self, silo: str) -> str:
        """What a silo said of its software and processor, in a line; empty while it has said nothing."""
        said = self.of(silo).description
        return "" if said is None else said.machine

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
        """Keep how a silo stands. What is known already costs nothing."""
        before = self.of(silo).standing
        if before == standing:
            return
        self._take_turn(silo, "standing")
        at = self._clock.unix()
        changes = self._changes(silo, before, standing)
        if changes:
            await self._feed.write(changes[0], self._store.stand, silo, standing, at=at)
        else:
            await self._performer.write(self._store.stand, silo, standing, at=at)
        if changes[1:]:
            await self._feed.add(changes[1:])
        for change in changes:
            log.info(change.kind.value.replace(".", "_"), extra={"silo": silo, "reason": change.reason})
        self._accounts[silo] = replace(self.of(silo), standing=standing, stood_at=at)

    def _changes(self, silo: str, before: Standing, now: Standing) -> list[Change]:
        """What there is to tell of how a silo stands now."""
        kinds: list[tuple[Kind, str]] = []
        if (now.paused, now.reason) != (before.paused, before.reason):
            kinds.append((Kind.SILO_PAUSED if now.paused else Kind.SILO_RESUMED, now.reason))
        if set(now.budget_low) - set(before.budget_low):
            kinds.append((Kind.SILO_BUDGET_LOW, ", ".join(now.budget_low)))
        owner = self._owner(silo)
        return [Change(kind, silo=silo, organisation=owner, reason=reason) for kind, reason in kinds]

    def _take_turn(self, silo: str, what: str) -> None:
        """Let a silo change now and then: one that does so in a loop would wear the disk out. Raises otherwise."""
        if (silo, what) in self._changing:
            raise ConnectionFailedError(
                f"the {what} of silo {silo!r} changes too often", hint="it is tried again by itself"
            )
        self._changing.add((silo, what))
        asyncio.get_running_loop().call_later(CHANGE_EVERY_S, self._changing.discard, (silo, what))
