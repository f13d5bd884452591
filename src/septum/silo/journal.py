"""For which sums over whom did this silo give its shares? The release journal: what closes the door to differencing.

Two sums over almost the same silos tell what the others sent: {1,2,3,4} minus {1,2,3} is silo 4's update, and training
gives the same update again. So each sum that the silo signs is written down before it signs, and a later one about the
same model (or the same statistics) is refused when it could be combined with those before into something about fewer
silos than the policy's min_cohort (secagg/journal.py has the rule). It holds across runs, attempts and restarts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from septum.errors import SecAggError, StorageError
from septum.secagg.context import Place
from septum.secagg.journal import conflict
from septum.silo.lines import add_record, records

FILE_NAME = "releases.jsonl"


@dataclass(frozen=True, slots=True)
class Query:
    """What a sum is about.

    kind  `statistics` of an app's columns, or what was trained from and measured of a `model`
    base  the model's digest; empty for statistics, whatever run and seed ask for them
    """

    kind: str
    app: str
    base: str


@dataclass(frozen=True, slots=True)
class Release:
    """A sum that this silo signed. `at`: Unix time, seconds."""

    at: float
    run: str
    stage: str
    round: int
    attempt: int
    query: Query
    silos: tuple[str, ...]


class Journal:
    """The release journal of one silo. May be used by several threads."""

    def __init__(self, silo_dir: Path, silo: str, unix: Callable[[], float] = time.time) -> None:
        self._path = silo_dir / FILE_NAME
        self._silo = silo
        self._unix = unix
        self._lock = threading.Lock()
        self._known: dict[Query, set[frozenset[str]]] | None = None

    def release(self, query: Query, silos: frozenset[str], place: Place, min_cohort: int) -> None:
        """Write down that a sum over `silos` is signed; on the disk when this returns.

        Raises SecAggError when it must not be, StorageError when it cannot be read or written, ConfigError for a
        damaged file. Then it is not written down, and must not be signed.
        """
        with self._lock:
            known = self._read() if self._known is None else self._known
            released = known.get(query, set())
            if silos in released:
                return
            told = conflict(released, silos, self._silo, min_cohort)
            if told is not None:
                raise SecAggError(
                    f"this silo signed a sum over other silos for the same {query.kind} before: together with one over "
                    f"{', '.join(sorted(silos))} it would tell what {', '.join(sorted(told))} sent, "
                    f"and {min_cohort} silos at least are to be in everything that is told",
                    hint="septum silo journal show",
                )
            where = (place.run, place.stage, place.round, place.attempt)
            add_record(self._path, Release(self._unix(), *where, query, tuple(sorted(silos))))
            known.setdefault(query, set()).add(silos)
            self._known = known

    def all(self) -> Iterator[Release]:
        """Every release, oldest first. Raises ConfigError for a line that is none, naming it."""
        return records(self._path, Release)

    def _read(self) -> dict[Query, set[frozenset[str]]]:
        known: dict[Query, set[frozenset[str]]] = {}
        try:
            for release in self.all():
                known.setdefault(release.query, set()).add(frozenset(release.silos))
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}", hint=f"ls -l {self._path}") from error
        return known
