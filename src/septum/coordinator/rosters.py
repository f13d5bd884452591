"""Where does the coordinator keep the rosters that it passes on? One file each, in `roster/` of its data directory.

Files, not rows: a document is kept to the byte as it was signed, nothing is ever asked of it but its serial, and a
backup takes the folder like any other. The coordinator checks what it is given so that a mistake is met by whoever
makes it; silos check for themselves and do not rely on that. See docs/decisions/0009-the-roster.md.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from septum.adapters.files import replace_file
from septum.adapters.identity.roster_keys import verify
from septum.errors import NotFoundError, StorageError
from septum.protocol.roster import MAX_SERIAL, Roster, check_first, check_next, read_roster
from septum.protocol.roster_views import RosterView, roster_view

log = logging.getLogger("septum.coordinator.rosters")

FOLDER = "roster"


class Rosters:
    """The signed rosters that silos may ask for. Methods block, and may be called from any thread.

    `keep` is called with the name and the bytes of each before its file is written, for who keeps it elsewhere as well.
    """

    def __init__(self, data_dir: Path, keep: Callable[[str, bytes], None] = lambda _name, _document: None) -> None:
        self._keep = keep
        self._folder = data_dir / FOLDER
        self._lock = threading.Lock()

    def put(self, document: bytes) -> Roster:
        """Keep the roster that follows the newest one; the newest again, maybe with more signatures, is no error.

        Raises MessageError, AuthError for too few signatures, ConflictError for one that does not follow.
        """
        signed = read_roster(document)
        with self._lock:
            newest = self._newest()
            if newest is None or signed.roster.digest == newest.digest:
                check_first(signed, verify)
            else:
                check_next(newest, signed, verify)
            self._write(signed.roster.serial, document)
        log.info("roster_kept", extra={"serial": signed.roster.serial, "digest": signed.roster.digest})
        return signed.roster

    def get(self, serial: int = 0) -> bytes | None:
        """The document with this serial, 0 for the newest; None where there is none."""
        if not 0 <= serial <= MAX_SERIAL:
            raise NotFoundError(f"a roster's serial is 1 to {MAX_SERIAL}")
        found = serial or max(self._serials(), default=0)
        try:
            return self._path(found).read_bytes() if found else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self._path(found)} cannot be read: {error.strerror}") from error

    def history(self, *, limit: int, before: int = 0) -> tuple[RosterView, ...]:
        """At most `limit` rosters, newest first, those with a serial below `before`; 0: from the newest on."""
        serials = sorted((one for one in self._serials() if not before or one < before), reverse=True)[:limit]
        return tuple(self._view(serial) for serial in serials)

    def _view(self, serial: int) -> RosterView:
        document, earlier = self.get(serial), self.get(serial - 1) if serial > 1 else None
        if document is None:
            raise StorageError(f"{self._path(serial)} has gone", hint="septum coordinator restore")
        return roster_view(read_roster(document), read_roster(earlier).roster if earlier else None, verify)

    def _newest(self) -> Roster | None:
        document = self.get()
        return None if document is None else read_roster(document).roster

    def _serials(self) -> list[int]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdecimal()]

    def _path(self, serial: int) -> Path:
        return self._folder / f"{serial:010}.json"

    def _write(self, serial: int, document: bytes) -> None:
        """Whole or not at all, and on the disk before it is acknowledged."""
        path = self._path(serial)
        self._keep(path.name, document)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            replace_file(path, document, durable=True)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}", hint=f"df -h {self._folder}") from error


def serial_of(text: str = "") -> int:
    """The serial in a path, 0 for the newest where there is none. Raises NotFoundError: such a path names nothing.

    >>> serial_of("12")
    12
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and text[0] != "0"):
        raise NotFoundError(f"{text[:20]!r} is no serial of a roster", hint="/silo/v1/roster is the newest one")
    return int(text)
