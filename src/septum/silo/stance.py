"""What has the steward said about taking part? Paused or not, and runs that this silo has left for good.

    stance.json    written whole or not at all, by commands that run beside the agent; read by the agent again and again

No coordinator can change it. A file that cannot be read counts as a pause that leaves every run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from septum.adapters.files import replace_file
from septum.errors import ConfigError, SeptumError, StorageError
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.description import Standing
from septum.protocol.silo import Denied
from septum.silo.audit import SiloKind, record
from septum.silo.file_lock import folder_locked
from septum.silo.herald import Herald
from septum.silo.log import Log

NAME = "stance.json"
MAX_STANCE_BYTES = 256 * 1024
MAX_WITHDRAWN = 1000  # the newest; a run that old has ended
STILL_HERE_S = 20.0  # a silo that is paused asks for nothing, and is to be seen all the same


@dataclass(frozen=True, slots=True)
class Stance:
    """What the steward has said.

    paused     no new run is begun
    reason     why, for the coordinator's people to read
    leave      a paused silo leaves the runs that it is in, until it resumes; else it goes on with them
    withdrawn  runs that this silo takes no part in any more
    """

    paused: bool = False
    reason: str = ""
    leave: bool = False
    withdrawn: tuple[str, ...] = ()

    @property
    def standing(self) -> Standing:
        """What of it the coordinator is told."""
        return Standing(self.paused, self.reason)


UNREADABLE = Stance(paused=True, reason="its own files cannot be read", leave=True)


def stance_of(silo_dir: Path) -> Stance:
    """What holds now. Raises ConfigError for a file that cannot be read."""
    path = silo_dir / NAME
    try:
        return from_json(Stance, loads(path.read_bytes(), MAX_STANCE_BYTES))
    except FileNotFoundError:
        return Stance()
    except (OSError, SeptumError) as error:
        told = error.message if isinstance(error, SeptumError) else error.strerror
        raise ConfigError(f"{path}: {told}", hint=f"rm {path}, then: septum silo pause --dir {silo_dir}") from error


def pause(silo_dir: Path, reason: str, *, leave: bool) -> Stance:
    """Begin no new run; with `leave` be in none either. Raises MessageError for a reason that cannot be told."""
    Standing(paused=True, reason=reason)
    changed = _change(silo_dir, lambda stance: replace(stance, paused=True, reason=reason, leave=leave))
    record(silo_dir, SiloKind.PAUSED, because=reason)
    return changed


def resume(silo_dir: Path) -> Stance:
    """Take runs again. Those that were left for good stay left."""
    changed = _change(silo_dir, lambda stance: Stance(withdrawn=stance.withdrawn))
    record(silo_dir, SiloKind.RESUMED)
    return changed


def withdraw(silo_dir: Path, run: str) -> Stance:
    """Leave a run for good."""

    def without(stance: Stance) -> Stance:
        kept = tuple(other for other in stance.withdrawn if other != run)
        return replace(stance, withdrawn=(*kept, run)[-MAX_WITHDRAWN:])

    changed = _change(silo_dir, without)
    record(silo_dir, SiloKind.WITHDRAWN, run=run)
    return changed


def denied(run: str, stance: Stance) -> Denied | None:
    """Why a run is not served, if its steward has left it.

    >>> denied("r-1", Stance(withdrawn=("r-1",))).rule
    'steward'
    """
    if run not in stance.withdrawn:
        return None
    return Denied("steward", "the steward of this silo has withdrawn it from the run")


class Stances:
    """The stance as the agent sees it, and its way to the coordinator. `now` for any thread, `tell` for the agent's."""

    def __init__(
        self,
        silo_dir: Path,
        send: Callable[[Standing], None],
        log: Log,
        budget_low: Callable[[], tuple[str, ...]] = lambda: (),
    ) -> None:
        """`budget_low`: the datasets whose privacy budget is said to be low."""
        self._silo_dir = silo_dir
        self._budget_low = budget_low
        self._log = log
        self._herald = Herald(send, log, "standing_told")
        self._told_at = time.monotonic()
        self._problem = ""

    def now(self) -> Stance:
        """What holds now."""
        try:
            stance = stance_of(self._silo_dir)
        except ConfigError as error:
            if error.message != self._problem:
                self._log.error("stance_unreadable", error=error.message, hint=error.hint)
            self._problem = error.message
            return UNREADABLE
        self._problem = ""
        return stance

    def tell(self) -> None:
        """Say how this silo stands, if it was not said yet, or if it has been silent for long."""
        stance, moment = self.now(), time.monotonic()
        silent = stance.paused and moment - self._told_at > STILL_HERE_S
        self._herald.say(replace(stance.standing, budget_low=self._budget_low()), again=silent)
        if silent or not stance.paused:
            self._told_at = moment


def _change(silo_dir: Path, change: Callable[[Stance], Stance]) -> Stance:
    try:
        with folder_locked(silo_dir):  # two commands at one time must not undo each other
            stance = change(stance_of(silo_dir))
            replace_file(silo_dir / NAME, dumps(to_json(stance)), durable=True)
    except OSError as error:
        raise StorageError(
            f"{silo_dir / NAME} cannot be written: {error.strerror}", hint=f"df -h {silo_dir}"
        ) from error
    return stance
