"""Is the coordinator's audit log still the one that this silo has seen? It asks each minute, and signs what it finds.

A head that is new to it is compared, noted, signed, and the signature brought at once, by asking again: a head is
countersigned within a minute of being signed, while this silo can reach its coordinator.

What it has seen last is in `audit-seen.json`: the key that signs the log, which is known from the first head on, and
the newest head, to which the next one has to lead by a proof. So the coordinator cannot change, take back or show to
two silos two histories of what any of them has seen: they compare what they hold, by an export or by phone.

A history that is another one is kept in `audit-changed.json` as evidence, both heads with their signatures, recorded,
and logged at each look. From then on this silo takes part in no new run; it goes on with those at work, which it agreed
to before. A coordinator that was put back to a backup looks the same, for it may hide as much: the steward asks what
has happened, and then says `septum silo audit accept`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.files import replace_file
from septum.adapters.identity.audit_key import witnessed
from septum.adapters.identity.roster_keys import verify
from septum.errors import (
    AuditError,
    AuthError,
    ConfigError,
    ConnectionFailedError,
    NotFoundError,
    SeptumError,
    StorageError,
    TimedOutError,
)
from septum.protocol.audit import (
    EMPTY_HEAD,
    HeadSeen,
    HeadShown,
    SignedHead,
    check_goes_on,
    check_signature,
)
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.silo import Denied
from septum.silo import audit
from septum.silo.audit import SiloKind
from septum.silo.log import Log
from septum.silo.taking_part import StopSignal

SEEN_NAME, CHANGED_NAME = "audit-seen.json", "audit-changed.json"
LOOK_EVERY_S = 60.0
MAX_STATE_BYTES = 64 * 1024
RULE = "audit"
T = TypeVar("T")
_PASSING = (AuthError, ConnectionFailedError, StorageError, TimedOutError)


@dataclass(frozen=True, slots=True)
class Seen:
    """What this silo has seen of the coordinator's log. `told`: its newest event that the coordinator was told."""

    head: SignedHead | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """Evidence: the head that was seen, what was shown after it, and what is wrong with that."""

    seen: SignedHead
    shown: HeadShown
    why: str


class Witness:
    """Looks at the coordinator's audit log. `look` for one thread, `refuses` for any."""

    def __init__(
        self,
        silo_dir: Path,
        silo: str,
        key: Ed25519PrivateKey,
        send: Callable[[HeadSeen], HeadShown],
        log: Log,
        unix: Callable[[], float],
    ) -> None:
        self._dir, self._silo, self._key = silo_dir, silo, key
        self._send, self._log, self._unix = send, log, unix
        self._signed = 0  # events of the newest head that the coordinator has this silo's signature of
        self._complained = ""

    def serve(self, stop: StopSignal) -> None:
        """Look now and then, until the stop signal."""
        while not stop.is_set():
            try:
                self.look()
                self._complained = ""
            except SeptumError as error:
                self._complain(error)
            except Exception as error:  # noqa: BLE001  a driver loop: logged, and tried again
                self._log.exception("audit_not_seen", error)
            stop.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Ask for the newest head, compare it with the one that was seen, and sign it. Raises what asking raises.

        Once more, and not until nothing is new: the next look does that.
        """
        self._ask()
        if self._owes(seen_in(self._dir).head):
            self._ask()

    def _owes(self, seen: SignedHead | None) -> TypeGuard[SignedHead]:
        """Whether the coordinator has no signature of the head that was seen, and may have one."""
        return seen is not None and self._signed < seen.head.size and changed_in(self._dir) is None

    def _ask(self) -> None:
        seen = seen_in(self._dir)
        own = str(audit.newest(self._dir))
        size = seen.head.head.size if seen.head else 0
        witness = witnessed(seen.head.head, self._silo, self._key, self._unix()) if self._owes(seen.head) else None
        shown = self._send(HeadSeen(size, witness, own))
        if witness is not None:
            self._signed = size
        if shown.head is None:
            if seen.head is not None:
                self._tell(Changed(seen.head, shown, "the coordinator has no audit log any more"))
            return
        try:
            check_signature(shown.head, verify, seen.head.key if seen.head else "")
            check_goes_on(
                seen.head.head if seen.head else EMPTY_HEAD,
                shown.head.head,
                [bytes.fromhex(one) for one in shown.proof],
            )
        except (AuditError, ValueError) as error:
            if seen.head is None:
                raise
            self._tell(Changed(seen.head, shown, error.message if isinstance(error, AuditError) else "a bad proof"))
            return
        if seen.head is None:
            audit.record(self._dir, SiloKind.COORDINATOR_KNOWN, key=shown.head.key, head=head_text(shown.head))
        if changed_in(self._dir) is None and (shown.head != seen.head or own != seen.told):
            _write(self._dir / SEEN_NAME, Seen(shown.head, own))

    def refuses(self) -> Denied | None:
        """Why this silo takes part in no new run, if its coordinator's log is another one than it was."""
        if changed_in(self._dir) is None:
            return None
        return Denied(RULE, "the coordinator's audit log is not the one that this silo has seen; ask its steward")

    def _tell(self, changed: Changed) -> None:
        """Say it at each look; keep and record the first of it."""
        if changed_in(self._dir) is None:
            _write(self._dir / CHANGED_NAME, changed)
            shown = head_text(changed.shown.head) if changed.shown.head else ""
            about = {"seen": head_text(changed.seen), "shown": shown, "because": changed.why}
            audit.record(self._dir, SiloKind.HISTORY_CHANGED, **about)
        self._log.error(
            "coordinator_history_changed", error=changed.why, hint=f"septum silo audit list --dir {self._dir}"
        )

    def _complain(self, error: SeptumError) -> None:
        """Log a problem, once each. One that passes is logged by whoever asks for runs."""
        if error.message != self._complained and not isinstance(error, _PASSING):
            if isinstance(error, NotFoundError):
                self._log.info("coordinator_has_no_audit_log", error=error.message)
            else:
                self._log.warning("audit_not_seen", error=error.message, hint=error.hint)
        self._complained = error.message


def seen_in(silo_dir: Path) -> Seen:
    """What this silo has seen. Raises ConfigError for a file that cannot be read."""
    return _read(silo_dir / SEEN_NAME, Seen) or Seen()


def changed_in(silo_dir: Path) -> Changed | None:
    """The evidence of another history, if there is any. Raises ConfigError for a file that cannot be read."""
    return _read(silo_dir / CHANGED_NAME, Changed)


def accept(silo_dir: Path, by: str, because: str) -> SignedHead | None:
    """Forget what was seen of the coordinator's log, and go on with it as it is; the head that counts no longer.

    Also before this silo has found that it is another one, or has seen any of it: then there is no such head. Raises
    ConfigError where no reason is given: it is all that the log will say of it.
    """
    if not because.strip():
        raise ConfigError("a reason is needed: it is all that the log will say of it")
    changed, seen = changed_in(silo_dir), seen_in(silo_dir)
    head = changed.seen if changed else seen.head
    about = {"seen": head_text(head) if head else "", "because": because.strip()}
    audit.record(silo_dir, SiloKind.HISTORY_ACCEPTED, by, **about)
    try:
        (silo_dir / SEEN_NAME).unlink(missing_ok=True)
        if changed is not None:
            kept = f"audit-changed-{changed.seen.head.size}-{changed.seen.head.root[:12]}.json"
            (silo_dir / CHANGED_NAME).replace(silo_dir / kept)
    except OSError as error:
        raise StorageError(f"{silo_dir} cannot be written: {error.strerror}", hint=f"ls -ld {silo_dir}") from error
    return head


def head_text(signed: SignedHead) -> str:
    """A head for people, who compare it: SIZE:ROOT.

    >>> head_text(SignedHead(EMPTY_HEAD, "", ""))[:6]
    '0:e3b0'
    """
    return f"{signed.head.size}:{signed.head.root}"


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return from_json(kind, loads(path.read_bytes(), MAX_STATE_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, SeptumError) as error:
        told = error.message if isinstance(error, SeptumError) else error.strerror
        raise ConfigError(f"{path}: {told}", hint=f"bring {path.name} back from a backup of {path.parent}") from error


def _write(path: Path, state: Seen | Changed) -> None:
    try:
        replace_file(path, dumps(to_json(state)) + b"\n", durable=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}") from error
