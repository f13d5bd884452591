"""For which sums over whom did this silo give its shares? The release journal: what closes the door to differencing.

Two sums over almost the same silos tell what the others sent: {1,2,3,4} minus {1,2,3} is silo 4's update, and training
gives the same update again. So each sum that the silo signs is written down before it signs, and a later one about the
same model (or the same statistics) is refused when it could be combined with those before into something about fewer
silos than the policy's min_cohort (secagg/journal.py has the rule). It holds across runs, attempts and restarts.

A model is known by its digest, and a coordinator that lies can change one bit of it: the updates stay almost the same.
So models that were given out for one round of a run count as one. No honest run is hindered by that: whatever makes it
do a round again, a lost model or answer, a resume, it asks the silos of then.

`releases.head` says how many bytes there are and what their SHA-256 is. It is written after each line, in its place and
without waiting for the disk, so it is at most behind, and after a power loss by some lines more. A journal that does
not begin with what it says is an older or a changed one, and nothing is signed on it. Somebody who may write both
files, or brings back older copies of both, is not noticed.

A steward may forgive what was signed about a model or statistics, with a reason. That is one more line: nothing is ever
taken out, and an agent that is running heeds it from its next sum on. Sums that were signed before and after are then
no longer kept apart, so whoever has both may know what one silo sent.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from septum.adapters.files import replace_file
from septum.errors import ConfigError, NotFoundError, SecAggError, SeptumError, StorageError
from septum.protocol.codec import dumps, from_json, loads, to_json, to_tagged_json
from septum.secagg.context import Place
from septum.secagg.journal import conflict
from septum.silo import audit
from septum.silo.lines import MAX_LINE_BYTES, add_record, append_line, record, whole_lines

FILE_NAME, HEAD_NAME = "releases.jsonl", "releases.head"
HEAD_BYTES = 256  # of a file that is written in its place: it lies in one sector
STATISTICS, MODEL, QUERIES = "statistics", "model", "queries"  # kinds of queries
EVERYTHING = "all"  # what queries are about
MAX_REASON_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Query:
    """What a sum is about.

    kind  `statistics` of an app's columns, or what was trained from and measured of a `model`; or `queries`: of these
          all are about the same, whatever they ask of which app's columns. Other bins of the same people, or the same
          people in another dataset, are no other question
    app   the app's digest; EVERYTHING for queries
    base  the model's digest; empty for statistics, whatever run and seed ask for them
    """

    kind: str
    app: str
    base: str

    @property
    def name(self) -> str:
        """The digest by which people name it: the model's, for statistics the app's; for queries `all`."""
        return self.base or self.app


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


@dataclass(frozen=True, slots=True)
class Head:
    """What a journal begins with: so many bytes, with this digest (hex)."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Forgiven:
    """What was signed about a query before counts no longer. `at`: Unix time, seconds. `by`: the system's user."""

    at: float
    query: Query
    by: str
    reason: str


Entry = Release | Forgiven
Round = tuple[str, str, int]  # a run's, with its stage


@dataclass(slots=True)
class Known:
    """What counts: `sums` by what they are about, and what was asked about in each round of a run."""

    sums: dict[Query, set[frozenset[str]]] = field(default_factory=dict)
    rounds: dict[Round, set[Query]] = field(default_factory=dict)

    def about(self, query: Query, round_: Round) -> set[frozenset[str]]:
        """The sums that one about this would be combined with: about the same, or asked in its place."""
        return {one for asked in {query, *self.rounds.get(round_, ())} for one in self.sums.get(asked, ())}

    def has(self, query: Query, round_: Round, silos: frozenset[str]) -> bool:
        """Whether this very sum was written down."""
        return silos in self.sums.get(query, ()) and query in self.rounds.get(round_, ())


class Journal:
    """The release journal of one silo. May be used by several threads; `forgive` may add to it from another process."""

    def __init__(self, silo_dir: Path, silo: str, unix: Callable[[], float] = time.time) -> None:
        self._path = silo_dir / FILE_NAME
        self._silo = silo
        self._unix = unix
        self._lock = threading.Lock()
        self._known = Known()  # what counts of the first `_lines` lines, which have `_bytes` bytes
        self._lines = 0
        self._bytes = 0
        self._hash = sha256()
        self._trusted = False  # whether it begins with what the head says
        self._named = False  # whether this process has made the journal's name durable

    def check(self) -> None:
        """Raises as `release` does for a journal that is no longer what this silo wrote."""
        with self._lock:
            self._read_on()

    def release(self, query: Query, silos: frozenset[str], place: Place, min_cohort: int) -> None:
        """Write down that a sum over `silos` is signed; on the disk when this returns.

        Raises SecAggError when it must not be, StorageError when it cannot be read or written or has lost lines,
        ConfigError for a damaged file. Then it is not written down, and must not be signed.
        """
        with self._lock:
            self._read_on()
            round_ = (place.run, place.stage, place.round)
            if self._known.has(query, round_, silos):
                return
            told = conflict(self._known.about(query, round_), silos, self._silo, min_cohort)
            if told is not None:
                before = f"the same {query.kind}" if query in self._known.sums else "another model of this round"
                raise SecAggError(
                    f"this silo signed a sum over other silos for {before} before: together with one over "
                    f"{', '.join(sorted(silos))} it would tell what {', '.join(sorted(told))} sent, "
                    f"and {min_cohort} silos at least are to be in everything that is told",
                    hint=f"septum silo journal list --dir {self._path.parent}",
                )
            where = (place.run, place.stage, place.round, place.attempt)
            add_record(self._path, Release(self._unix(), *where, query, tuple(sorted(silos))), named=self._named)
            self._named = True
            self._read_on()
            self._write_head()

    def all(self) -> Iterator[Entry]:
        """Every entry, oldest first. Raises ConfigError for a line that is none, naming it."""
        return _entries(self._path, whole_lines(self._path), 0)

    def _read_on(self) -> None:
        """Take in what was added since: by `release`, or by a steward. Lines that were read stay in force."""
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            lines = whole_lines(self._path, self._bytes)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}", hint=f"ls -l {self._path}") from error
        if size < self._bytes:
            raise StorageError(
                f"{self._path} has lost lines: it had {self._bytes} bytes, and has {size}",
                hint="bring back the newest copy: without it this silo does not know what it signed",
            )
        if not self._trusted:
            self._compare(b"".join(line + b"\n" for line in lines))
        entries = tuple(_entries(self._path, lines, self._lines))
        count(entries, self._known)
        self._lines += len(lines)
        for line in lines:
            self._bytes += len(line) + 1
            self._hash.update(line + b"\n")

    def _compare(self, data: bytes) -> None:
        """Whether the journal begins with what its head says, once after a start. Raises StorageError."""
        path = self._path.with_name(HEAD_NAME)
        try:
            head = from_json(Head, loads(path.read_bytes(), MAX_LINE_BYTES))
        except FileNotFoundError:  # nothing was signed yet, or by a septum that kept none
            self._trusted = True
            return
        except (OSError, SeptumError) as error:
            raise StorageError(f"{path} cannot be read: {error}", hint=f"ls -l {path}") from error
        if len(data) < head.bytes or sha256(data[: max(0, head.bytes)]).hexdigest() != head.sha256:
            raise StorageError(
                f"{self._path} is not the journal that this silo wrote: {path.name} knows of {head.bytes} bytes, and "
                f"of {len(data)} that are there some were changed, or these are an older copy",
                hint=f"put the newest copy of {self._path} back; where there is none: docs/how-to/train-under-masks.md",
            )
        self._trusted = True

    def _write_head(self) -> None:
        path = self._path.with_name(HEAD_NAME)
        try:
            _overwrite(path, dumps(to_json(Head(self._bytes, self._hash.hexdigest()))))
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}") from error


def count(entries: Iterable[Entry], known: Known) -> None:
    """Take in further entries: a sum counts from its signature on, until what it is about is forgiven.

    >>> query, known = Query("model", "sha256:app", "blake3:base"), Known()
    >>> count([Release(1.0, "r1", "train", 1, 1, query, ("a", "b"))], known)
    >>> known.about(query, ("r2", "train", 7)) == {frozenset("ab")}
    True
    >>> count([Forgiven(2.0, query, "ann", "a is gone for good")], known)
    >>> known.about(query, ("r1", "train", 1))
    set()
    """
    for entry in entries:
        match entry:
            case Release(query=query, silos=silos):
                known.sums.setdefault(query, set()).add(frozenset(silos))
                known.rounds.setdefault((entry.run, entry.stage, entry.round), set()).add(query)
            case Forgiven(query=query):
                known.sums.pop(query, None)


def read(silo_dir: Path) -> tuple[Entry, ...]:
    """The journal of a silo, oldest first. Raises ConfigError for a line that is no entry, StorageError."""
    path = silo_dir / FILE_NAME
    try:
        return tuple(_entries(path, whole_lines(path), 0))
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error


def forgive(silo_dir: Path, kind: str, digest: str, by: str, reason: str, at: float) -> dict[Query, int]:
    """Let what was signed about a model, or about an app's statistics, count no longer; how many sums of each query.

    Raises NotFoundError when nothing that counts is about it, ConfigError for a reason that is none.
    """
    if not reason.strip() or len(reason) > MAX_REASON_CHARS:
        raise ConfigError(f"a reason has 1 to {MAX_REASON_CHARS} characters: it is all that the journal will say of it")
    known = Known()
    count(read(silo_dir), known)
    meant = {query: len(sets) for query, sets in known.sums.items() if query.kind == kind and query.name == digest}
    if not meant:
        raise NotFoundError(
            f"no sum about the {kind} {digest} counts in this silo's journal",
            hint=f"septum silo journal list --dir {silo_dir}",
        )
    for query in meant:
        append_line(silo_dir / FILE_NAME, dumps(to_tagged_json(Forgiven(at, query, by, reason.strip()))))
        audit.record(
            silo_dir, audit.SiloKind.SUMS_FORGIVEN, by, about=kind, digest=digest, app=query.app, because=reason.strip()
        )
    return meant


def _overwrite(path: Path, head: bytes) -> None:
    """Write a head over the one before, within one sector of the disk: after a power loss it is this one or that one.

    So it need not be waited for. Only a new file is: it could come out empty.
    """
    line = head.ljust(HEAD_BYTES - 1) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        replace_file(path, line, durable=True)
        return
    try:
        whole = os.fstat(descriptor).st_size == HEAD_BYTES and os.pwrite(descriptor, line, 0) == HEAD_BYTES
    finally:
        os.close(descriptor)
    if not whole:  # of a septum that wrote heads of other sizes
        replace_file(path, line, durable=True)


def _entries(path: Path, lines: Iterable[bytes], before: int) -> Iterator[Entry]:
    for number, line in enumerate(lines, before + 1):
        yield record(path, number, line, _entry)


def _entry(body: object) -> Entry:
    """A release is written without its kind: it was the only one at first."""
    if isinstance(body, dict) and body.get("kind") == "forgiven":
        return from_json(Forgiven, {name: value for name, value in body.items() if name != "kind"})
    return from_json(Release, body)
