"""Where does the privacy ledger lie? In `ledger.jsonl` of the silo's directory, one entry a line, chained by hashes.

Line n holds an entry and h_n = SHA-256(h_(n-1) || entry). `ledger.head` holds the number and hash of the last entry; it
is written after the line, both are on the disk before anybody is told. So a ledger is at most one entry ahead of its
head, and never behind it.

What that finds: a line that was changed, removed, added, put elsewhere or cut off, a ledger that was rolled back
without its head, a head without its ledger, and both of them gone where `privacy.jsonl` names a run that was paid; each
is a LedgerError, and nothing is reserved on it. What it does not find: somebody who may write this directory and makes
a whole chain with its head anew, or brings back an older copy of both, as a restored backup of the directory does.
Whoever kept a head elsewhere (`septum silo ledger show` prints it) finds that as well: `septum silo ledger verify
--head`.

Every read and write holds `ledger.lock` (flock), so two processes never build on the same head. A ledger on a network
file system without working locks is not supported.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from septum.adapters.files import replace_file
from septum.errors import LedgerError, SeptumError, StorageError
from septum.privacy.accounting import Accountant, Stated
from septum.privacy.ledger import (
    GENESIS,
    Book,
    Budget,
    Charge,
    Event,
    Recovered,
    Refused,
    Released,
    Reserved,
    Settled,
    decide,
    is_settled,
    link,
    step,
)
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.silo.file_lock import locked
from septum.silo.lines import MAX_LINE_BYTES, append_line, whole_lines
from septum.silo.private_receipts import FILE_NAME as RECEIPTS_NAME

FILE_NAME, HEAD_NAME, LOCK_NAME = "ledger.jsonl", "ledger.head", "ledger.lock"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it is kept; `at` is Unix time in seconds, for people."""

    number: int
    at: float
    event: Event


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a ledger: how many there are, and the hash that all of them are in."""

    number: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class _Line:
    entry: Entry
    hash: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a ledger says. `heads[n]` is the head when it had n entries."""

    entries: tuple[Entry, ...]
    heads: tuple[Head, ...]
    book: Book

    @property
    def head(self) -> Head:
        """The last one."""
        return self.heads[-1]


class Ledger:
    """The privacy ledger of one silo. May be used by several threads and processes.

    `clock` gives Unix time in seconds. Every method raises LedgerError for a ledger that does not hold, StorageError
    where the disk does not take an entry: it may be there all the same, and then it counts.
    """

    def __init__(
        self,
        silo_dir: Path,
        accountant: Accountant,
        clock: Callable[[], float],
        record: Callable[[Head, Event], object] = lambda head, event: None,  # noqa: ARG005
    ) -> None:
        """`record` is called with each new entry and the head that it makes, once both are on the disk."""
        self._dir, self._accountant, self._clock, self._record = silo_dir, accountant, clock, record

    def reserve(self, charge: Charge, budget: Budget) -> str:
        """Count a charge as spent before it is, if the budget can pay; its id, for `settle`. BudgetError if not."""
        id_ = secrets.token_hex(8)
        self._pay(charge, budget, Reserved(id_, charge))
        return id_

    def settle(self, id_: str, executed: int) -> None:
        """Say how many steps of a reservation were executed; the same word twice is one. ProtocolError for another."""
        with self._locked() as contents:
            if not is_settled(contents.book, id_, executed):
                self._append(contents, Settled(id_, executed))

    def release(self, charge: Charge, budget: Budget) -> None:
        """Spend a charge at once, if the budget can pay; call it before the release is made. BudgetError if not."""
        self._pay(charge, budget, Released(charge))

    def read(self) -> Contents:
        """What the ledger says."""
        return read(self._dir)

    def _pay(self, charge: Charge, budget: Budget, event: Event) -> None:
        with self._locked() as contents:
            refusal = decide(contents.book, charge, budget, self._accountant)
            self._append(contents, event if refusal is None else Refused(charge, budget))
        if refusal is not None:
            raise refusal

    def _append(self, contents: Contents, event: Event) -> None:
        step(contents.book, event)  # what cannot follow is not written
        head = contents.head
        if _read_head(self._dir) != head:  # a crash left the head one behind: it may never be two
            _write_head(self._dir, head)
        line, head = _line(head, Entry(head.number + 1, self._clock(), event))
        append_line(self._dir / FILE_NAME, line)
        _write_head(self._dir, head)
        self._record(head, event)

    @contextmanager
    def _locked(self) -> Iterator[Contents]:
        with _lock(self._dir, fcntl.LOCK_EX):
            yield _contents(self._dir)


def read(silo_dir: Path) -> Contents:
    """What the ledger of a silo says; nothing if there is none, and then no file is made. Raises LedgerError."""
    if not any((silo_dir / name).exists() for name in (FILE_NAME, HEAD_NAME, RECEIPTS_NAME)):
        return Contents((), (Head(),), Book())
    with _lock(silo_dir, fcntl.LOCK_SH):
        return _contents(silo_dir)


def recover(silo_dir: Path, epsilon: float, now: float) -> tuple[Recovered, Path]:
    """Go on from the last entry that holds, with `epsilon` charged to every dataset for those that do not.

    The files as they are stay beside it, under the name that is returned. Raises LedgerError if nothing is wrong.
    """
    with _lock(silo_dir, fcntl.LOCK_EX):
        try:
            _contents(silo_dir)
        except LedgerError:
            pass
        else:
            raise LedgerError(f"the ledger in {silo_dir} holds: there is nothing to recover from")
        lines = _lines(silo_dir)
        kept, _ = _chain(lines)
        event = Recovered(Stated(epsilon), max(len(lines), _expected(silo_dir)))
        line, head = _line(kept.head, Entry(kept.head.number + 1, now, event))
        aside = _set_aside(silo_dir)
        replace_file(
            silo_dir / FILE_NAME, b"".join(one + b"\n" for one in (*lines[: kept.head.number], line)), durable=True
        )
        _write_head(silo_dir, head)
    return event, aside


def _contents(silo_dir: Path) -> Contents:
    """The ledger, if all of it holds."""
    found, broken = _chain(_lines(silo_dir))
    if broken is not None:
        raise _damaged(silo_dir, broken)
    head = _read_head(silo_dir)
    if head.number > found.head.number:
        raise _damaged(silo_dir, f"it has {found.head.number} entries where its head knows of {head.number}")
    if found.heads[head.number] != head:
        raise _damaged(silo_dir, f"entry {head.number} is not the one that its head knows of")
    if found.head.number > head.number + 1:
        raise _damaged(silo_dir, f"it has {found.head.number} entries where its head knows of {head.number} only")
    return found


def _chain(lines: list[bytes]) -> tuple[Contents, str | None]:
    """As many of the lines as hold, and what is wrong with the one behind them."""
    entries: list[Entry] = []
    heads, book, broken = [Head()], Book(), None
    for number, line in enumerate(lines, 1):
        try:
            entry = from_json(_Line, loads(line, MAX_LINE_BYTES)).entry
            expected, head = _line(heads[-1], entry)
            if expected != line or entry.number != number:
                broken = f"entry {number} does not follow from the one before"
                break
            book = step(book, entry.event)
        except SeptumError as error:
            broken = f"entry {number}: {error.message}"
            break
        entries.append(entry)
        heads.append(head)
    return Contents(tuple(entries), tuple(heads), book), broken


def _lines(silo_dir: Path) -> list[bytes]:
    try:
        return whole_lines(silo_dir / FILE_NAME)
    except OSError as error:
        raise _unreadable(silo_dir / FILE_NAME, error) from error


def _line(head: Head, entry: Entry) -> tuple[bytes, Head]:
    """The line of an entry behind `head`, and the head that it makes."""
    hash_ = link(head.hash, dumps(to_json(entry)))
    return dumps(to_json(_Line(entry, hash_))), Head(entry.number, hash_)


def _read_head(silo_dir: Path) -> Head:
    try:
        return from_json(Head, loads((silo_dir / HEAD_NAME).read_bytes(), MAX_LINE_BYTES))
    except FileNotFoundError:
        if (silo_dir / RECEIPTS_NAME).exists():  # by then there were three entries at least
            raise _damaged(silo_dir, f"{HEAD_NAME} is gone, and {RECEIPTS_NAME} names runs that were paid") from None
        return Head()  # a ledger of one entry may have none yet
    except OSError as error:
        raise _unreadable(silo_dir / HEAD_NAME, error) from error
    except SeptumError as error:
        raise _damaged(silo_dir, f"{HEAD_NAME}: {error.message}") from error


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}")


def _write_head(silo_dir: Path, head: Head) -> None:
    try:
        replace_file(silo_dir / HEAD_NAME, dumps(to_json(head)), durable=True)
    except OSError as error:
        raise StorageError(
            f"{silo_dir / HEAD_NAME} cannot be written: {error.strerror}", hint=f"df -h {silo_dir}"
        ) from error


def _expected(silo_dir: Path) -> int:
    try:
        return _read_head(silo_dir).number
    except LedgerError:
        return 0


def _set_aside(silo_dir: Path) -> Path:
    """Copies of the damaged files under the digest of what they hold."""
    found = {name: (silo_dir / name).read_bytes() for name in (FILE_NAME, HEAD_NAME) if (silo_dir / name).exists()}
    mark = sha256(b"\n".join(found.values())).hexdigest()[:12]
    for name, data in found.items():
        replace_file(silo_dir / f"{name}.damaged-{mark}", data, durable=True)
    return silo_dir / f"{FILE_NAME}.damaged-{mark}"


def _damaged(silo_dir: Path, what: str) -> LedgerError:
    return LedgerError(
        f"the privacy ledger {silo_dir / FILE_NAME} does not hold: {what}",
        hint=f"bring back the newest {FILE_NAME} and {HEAD_NAME}; where entries are lost for good:"
        f" septum silo ledger recover --dir {silo_dir} --charge EPSILON",
    )


def _lock(silo_dir: Path, mode: int) -> AbstractContextManager[None]:
    return locked(silo_dir / LOCK_NAME, "the privacy ledger", mode)
