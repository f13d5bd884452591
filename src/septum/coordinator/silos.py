"""Who are the silos? The registry, kept in memory for the hot path: one process owns it, so the copy is the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from septum.coordinator.effects import Performer
from septum.coordinator.feed import Feed
from septum.errors import ConfigError, NotFoundError, SeptumError, did_you_mean
from septum.ports.accounts import NOTHING_SAID, SiloAccount
from septum.ports.clock import Clock
from septum.ports.registry import SiloRecord, SiloRegistry
from septum.protocol.feed import Change, Kind
from septum.protocol.roster import fingerprint, key_text
from septum.protocol.views import SiloDetail, SiloView, silo_status

log = logging.getLogger("septum.coordinator.silos")

SEEN_EVERY_S = 5.0  # how often the registry hears who was here


class Silos:
    """Every invited or enrolled silo. For the event loop; the registry is asked in the writer's thread."""

    def __init__(
        self,
        registry: SiloRegistry,
        performer: Performer,
        clock: Clock,
        online: Callable[[], set[str]],
        feed: Feed,
        account: Callable[[str], SiloAccount] = lambda _: NOTHING_SAID,
    ) -> None:
        self._registry = registry
        self._performer = performer
        self._clock = clock
        self._online = online
        self._feed = feed
        self._account = account
        self._records: dict[str, SiloRecord] = {}
        self._seen: dict[str, float] = {}
        self._unnoted: set[str] = set()  # seen since the registry was told
        self._noted_at = clock.monotonic()

    async def load(self) -> None:
        """Read the registry again."""
        records = await self._performer.write(self._registry.all)
        self._records = {record.name: record for record in records}

    def public_key(self, silo: str) -> bytes | None:
        """The key by which a silo proves itself; None if it is unknown, not enrolled yet, or revoked."""
        record = self._records.get(silo)
        return None if record is None or record.revoked or not record.public_key else record.public_key

    def seen(self, silo: str) -> str:
        """Note an authenticated request; when it is time, hands what was noted to the registry."""
        self._seen[silo] = self._clock.unix()
        self._unnoted.add(silo)
        return silo

    async def note(self, *, at_once: bool = False) -> None:
        """Tell the registry who was here, if it was not told lately."""
        now = self._clock.monotonic()
        if not at_once and now - self._noted_at < SEEN_EVERY_S:
            return
        self._noted_at = now
        silos, self._unnoted = sorted(self._unnoted), set()
        if not silos:
            return
        try:
            await self._performer.write(self._registry.seen, silos, at=max(self._seen[silo] for silo in silos))
        except SeptumError as error:
            self._unnoted.update(silos)
            log.warning("seen_not_noted", extra={"error": error.message})

    async def invite(
        self, silo: str, token_hash: bytes, *, expires_at: float, organisation: str, by: str, renew: bool = False
    ) -> None:
        """Let a silo of an organisation enrol once. Raises ConflictError when it is enrolled, or is another one's."""
        change = Change(Kind.SILO_INVITED, by, silo=silo, organisation=organisation)
        invite, terms = self._registry.invite, (silo, token_hash)
        await self._feed.write(change, invite, *terms, expires_at=expires_at, organisation=organisation, renew=renew)
        await self.load()

    async def enroll(self, silo: str, token_hash: bytes, public_key: bytes) -> SiloRecord:
        """Burn the invitation and know the key. Raises AuthError when no valid invitation fits."""
        at = self._clock.unix()
        change = Change(Kind.SILO_ENROLLED, silo=silo, organisation=self.owner(silo))
        record = await self._feed.write(change, self._registry.enroll, silo, token_hash, public_key, at=at)
        await self.load()
        return record

    def owner(self, silo: str) -> str:
        """The organisation of a silo; empty when there is none of that name."""
        record = self._records.get(silo)
        return record.organisation if record else ""

    async def revoke(self, silo: str, by: str) -> None:
        """Refuse this silo's key from now on. Raises NotFoundError."""
        change = Change(Kind.SILO_REVOKED, by, silo=silo, organisation=self.owner(silo))
        await self._feed.write(change, self._registry.revoke, silo)
        await self.load()

    def require(self, silos: tuple[str, ...]) -> None:
        """Whether all these silos are enrolled. Raises ConfigError naming the first that is not."""
        enrolled = [name for name in self._records if self.public_key(name) is not None]
        for silo in silos:
            if silo in enrolled:
                continue
            if silo in self._records:
                what = "has been revoked" if self._records[silo].revoked else "was invited and has not enrolled yet"
                raise ConfigError(
                    f"silo {silo!r} {what}", hint=f"septum silo invite {silo}, then septum silo enroll there"
                )
            nearest = did_you_mean(silo, enrolled) if enrolled else "no silo is enrolled"
            raise ConfigError(f"there is no silo {silo!r}; {nearest}", hint="septum silo list")

    def views(self) -> tuple[SiloView, ...]:
        """Every silo, by name."""
        now, online = self._clock.unix(), self._online()
        return tuple(self._view(record, online, now) for _, record in sorted(self._records.items()))

    def detail(self, silo: str) -> SiloDetail:
        """One silo with all that it says of itself. Raises NotFoundError."""
        if silo not in self._records:
            raise NotFoundError(f"there is no silo {silo[:80]!r}", hint="septum silo list")
        account = self._account(silo)
        view = self._view(self._records[silo], self._online(), self._clock.unix())
        return SiloDetail(view, account.description, account.described_at, account.standing, account.stood_at)

    def _view(self, record: SiloRecord, online: set[str], now: float) -> SiloView:
        seen_at = max(record.seen_at, self._seen.get(record.name, 0.0), now if record.name in online else 0.0)
        account = self._account(record.name)
        status = silo_status(
            enrolled_at=record.enrolled_at,
            seen_at=seen_at,
            revoked=record.revoked,
            paused=account.standing.paused,
            now=now,
        )
        own = fingerprint(key_text(record.public_key)) if record.public_key else ""
        view = SiloView(record.name, status, record.enrolled_at, seen_at, record.organisation, fingerprint=own)
        said = account.description
        return view if said is None else replace(view, septum=said.septum, labels=said.labels)
