"""Which roster does this silo hold to? Files of its own, which only its steward or a signed chain replaces.

`roster/current.json` is pinned, `roster/pending.json` waits for the steward, `roster/history/` has every one that was
pinned. A document that does not hold is refused before anything is written; every file appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.files import replace_file
from septum.adapters.identity.roster_keys import verify
from septum.errors import ConfigError, ConflictError, MessageError, NotFoundError, SeptumError, StorageError
from septum.protocol.codec import MAX_MESSAGE_BYTES
from septum.protocol.roster import (
    Roster,
    SignedRoster,
    check_first,
    check_next,
    check_silos,
    diff,
    read_roster,
    write_roster,
)
from septum.silo.audit import SiloKind, record

__all__ = ["Proposal", "Rosters", "check_silos"]

FOLDER = "roster"
MAX_STEPS = 1000  # rosters taken from the coordinator in one go


@dataclass(frozen=True, slots=True)
class Proposal:
    """What came of a document.

    signed   the roster in it
    pinned   whether it is pinned now
    changes  what it changes, in words; none when it was pinned already
    """

    signed: SignedRoster
    pinned: bool
    changes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What the steward approves."""
        return self.signed.roster.digest


class Rosters:
    """The rosters in a silo's directory. Safe beside another process that uses the same one."""

    def __init__(self, silo_dir: Path) -> None:
        self._folder = silo_dir / FOLDER
        self._current = self._folder / "current.json"
        self._pending = self._folder / "pending.json"
        self._checked: tuple[bytes, SignedRoster] | None = None  # the document that was read last, which holds

    def pinned(self) -> Roster | None:
        """The roster that this silo holds to; None before the first. Raises ConfigError for a damaged file."""
        signed = self.current()
        return None if signed is None else signed.roster

    def current(self) -> SignedRoster | None:
        """The pinned roster with its signatures."""
        return self._read(self._current)

    def pending(self) -> SignedRoster | None:
        """The one that waits for the steward; None if none does."""
        waiting, pinned = self._read(self._pending), self.pinned()
        overtaken = waiting is not None and pinned is not None and waiting.roster.serial <= pinned.serial
        return None if overtaken else waiting

    def look_at(self, document: bytes) -> Proposal:
        """What a document would change. Raises MessageError, AuthError or ConflictError where it may not follow."""
        return self._check(read_roster(document))

    def propose(self, document: bytes, *, chain: bool = False) -> Proposal:
        """Keep a document for the steward to approve, in place of an older one.

        With `chain` (the policy's `roster = "chain"`) one that follows the pinned roster is pinned at once: enough of
        its administrators signed. The first one is always the steward's to approve.

        Raises MessageError, AuthError, ConflictError; what is pinned stays.
        """
        with self._locked():
            found = self._check(read_roster(document))
            if found.pinned:
                return found
            if chain and self._current.exists():
                self._pin(found.signed)
                return Proposal(found.signed, True, found.changes)
            self._write(self._pending, document)
            return found

    def approve(self, digest: str, document: bytes | None = None) -> Proposal:
        """Pin the pending roster, or the one in `document`, which the steward names by its whole digest.

        Raises NotFoundError when none is pending, ConflictError for another digest, and what `propose` raises.
        """
        with self._locked():
            signed = self.pending() if document is None else read_roster(document)
            if signed is None:
                raise NotFoundError("no roster is pending", hint="septum silo roster fetch")
            if signed.roster.digest != digest:
                raise ConflictError(
                    f"this roster has the digest {signed.roster.digest}, {digest[:80]} was approved",
                    hint="compare with what an administrator says; septum silo roster diff shows what changes",
                )
            found = self._check(signed)
            if not found.pinned:
                self._pin(signed)
            return Proposal(signed, True, found.changes)

    def fetch(self, ask: Callable[[int], bytes | None], *, chain: bool = False) -> Proposal | None:
        """Propose what the coordinator has; None if nothing is new. `ask` gives the roster of a serial; 0: the newest.

        Step by step, as each roster is checked by the one before it. Without `chain` the first step waits for the
        steward.
        """
        found: Proposal | None = None
        for _ in range(MAX_STEPS):
            pinned = self.pinned()
            document = ask(0 if pinned is None else pinned.serial + 1)
            if document is None:
                break
            found = self.propose(document, chain=chain)
            if pinned is None or not found.pinned:
                break
            if found.signed.roster.serial <= pinned.serial:
                raise ConflictError(f"asked for roster {pinned.serial + 1}, the coordinator sent the pinned one again")
        return found

    def _check(self, signed: SignedRoster) -> Proposal:
        pinned = self.pinned()
        if pinned is None:
            check_first(signed, verify)
        elif signed.roster.digest == pinned.digest:
            return Proposal(signed, True, ())
        else:
            check_next(pinned, signed, verify)
        return Proposal(signed, False, diff(pinned, signed.roster))

    def _pin(self, signed: SignedRoster) -> None:
        """History first: when this is cut short, the old one is still pinned, and nothing is lost."""
        document = write_roster(signed)
        self._write(self._folder / "history" / f"{signed.roster.serial:010}.json", document)
        self._write(self._current, document)
        with suppress(FileNotFoundError):
            self._pending.unlink()
        about = {"serial": str(signed.roster.serial), "digest": signed.roster.digest}
        record(self._folder.parent, SiloKind.ROSTER_PINNED, **about)

    def _read(self, path: Path) -> SignedRoster | None:
        try:
            with path.open("rb") as file:
                document = file.read(MAX_MESSAGE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
        if self._checked is not None and self._checked[0] == document:
            return self._checked[1]
        try:
            signed = read_roster(document)
            check_first(signed, verify)
        except SeptumError as error:
            raise ConfigError(
                f"{path} was damaged or changed: {error.message}",
                hint=f"{self._folder}/history has every roster that was pinned: copy the newest one back",
            ) from error
        self._checked = (document, signed)
        return signed

    def _write(self, path: Path, document: bytes) -> None:
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            replace_file(path, document, durable=True)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}", hint=f"df -h {self._folder}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The agent and its steward's commands take turns."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"{self._folder} cannot be made: {error.strerror}", hint="--dir names a silo's directory"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def read_document(path: Path) -> bytes:
    """A roster's file, as far as one can be long. Raises ConfigError, or MessageError for what is too long."""
    try:
        with path.open("rb") as file:
            document = file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    if len(document) > MAX_MESSAGE_BYTES:
        raise MessageError(f"{path} is no roster: it has more than {MAX_MESSAGE_BYTES} bytes")
    return document
