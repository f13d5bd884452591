"""May these silos train together? By the roster that is pinned here; the coordinator may have brought a newer one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from septum.errors import ConfigError, SecAggError, SeptumError
from septum.protocol.plan import Plan
from septum.protocol.roster import check_silos, key_bytes
from septum.protocol.silo import Denied
from septum.silo.config import SiloConfig
from septum.silo.log import Log
from septum.silo.policy import RosterBy
from septum.silo.roster import Rosters


@dataclass(frozen=True, slots=True)
class RosterRule:
    """The silo's rule about rosters. `ask` gets one of the coordinator's, by its serial."""

    config: SiloConfig
    rosters: Rosters
    own_key: str
    ask: Callable[[int], bytes | None]
    log: Log

    def check(self, plan: Plan) -> Denied | None:
        """Why the silos of a plan may not train together, None if they may. A damaged roster lets nobody in."""
        try:
            if self.rosters.pinned() is None and not self.config.policy.require_roster and plan.masking is None:
                return None
            self._look_for_newer()
            roster = self.rosters.pinned()
        except ConfigError as error:
            _tell(self.log, error)
            return Denied("roster", "the roster that this silo pinned cannot be read; its own log says why")
        if roster is None and plan.masking is not None:
            return Denied("roster", "masks need the keys of the other silos, and this silo has pinned no roster yet")
        if roster is None:
            return Denied("policy.require_roster", "this silo has pinned no roster yet")
        reason = check_silos(roster, plan.silos, self.config.name, self.own_key)
        return None if reason is None else Denied("roster", reason)

    def keys(self, silos: tuple[str, ...]) -> dict[str, bytes]:
        """The silos' identity keys by the pinned roster. Raises SecAggError when it lacks one, or is none."""
        roster = self.rosters.pinned()
        missing = [silo for silo in silos if roster is None or silo not in roster.silos]
        if roster is None or missing:
            raise SecAggError(
                f"the roster that this silo pinned has no key of {', '.join(missing[:10])}",
                hint="septum silo roster fetch, then: septum silo roster diff",
            )
        return {silo: key_bytes(roster.silos[silo]) for silo in silos}

    def _look_for_newer(self) -> None:
        """What cannot be fetched or does not follow changes nothing: the pinned one counts."""
        try:
            found = self.rosters.fetch(self.ask, chain=self.config.policy.roster is RosterBy.CHAIN)
        except SeptumError as error:
            self.log.warning("roster_not_fetched", error=error.message)
            return
        if found is not None:
            self.log.info("roster_pinned" if found.pinned else "roster_waits_for_the_steward", roster=found.digest)


def _tell(log: Log, error: SeptumError) -> None:
    log.error("roster_unreadable", error=error.message, hint=error.hint)
