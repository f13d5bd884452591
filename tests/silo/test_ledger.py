"""The ledger on a disk: killed, cut, changed, rolled back, and used by two at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

import pytest
from tests.silo.ledger_to_kill import added

from septum.errors import BudgetError, LedgerError, ProtocolError, StorageError
from septum.privacy.accounting import Stated
from septum.privacy.ledger import Budget, Charge, Recovered, Refused, Reserved, Settled, Unit
from septum.silo.ledger import FILE_NAME, HEAD_NAME, Head, Ledger, read, recover
from septum.silo.private_receipts import PrivateReceipt, PrivateReceipts

BUDGET = Budget(3.0, 1e-5)
PROGRAM = [sys.executable, "-m", "tests.silo.ledger_to_kill"]


def charge(epsilon=1.0):
    return Charge("heart", Unit.RECORD, Stated(epsilon), "run r-1")


def ledger(path):
    ticks = iter(range(1, 1000))
    return Ledger(path, added, lambda: float(next(ticks)))


@pytest.fixture
def five(tmp_path):
    """A ledger of five entries."""
    book = ledger(tmp_path)
    book.settle(book.reserve(charge(), BUDGET), 1)
    book.release(charge(0.5), BUDGET)
    book.reserve(charge(), BUDGET)
    book.release(charge(0.25), BUDGET)
    return tmp_path


def test_what_is_written_is_read_by_the_next_process(tmp_path):
    first = ledger(tmp_path)
    id_ = first.reserve(charge(), BUDGET)
    first.settle(id_, 1)
    found = read(tmp_path)
    assert [entry.event for entry in found.entries] == [Reserved(id_, charge()), Settled(id_, 1)]
    assert [(entry.number, entry.at) for entry in found.entries] == [(1, 1.0), (2, 2.0)]
    assert found.book.costs("heart") == (Stated(1.0),)
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in (FILE_NAME, HEAD_NAME))


def test_reading_what_is_not_there_makes_nothing(tmp_path):
    assert read(tmp_path).entries == ()
    assert list(tmp_path.iterdir()) == []


def test_over_budget_is_refused_written_down_and_not_spent(five):
    with pytest.raises(BudgetError, match=r"2\.75 is spent and 0\.25 is left"):
        ledger(five).reserve(charge(0.5), BUDGET)
    found = read(five)
    assert found.entries[-1].event == Refused(charge(0.5), BUDGET)
    assert sum(one.epsilon for one in found.book.costs("heart")) == 2.75


def test_settling_twice_with_one_word_is_one_entry_and_with_another_an_error(tmp_path):
    book = ledger(tmp_path)
    id_ = book.reserve(charge(), BUDGET)
    book.settle(id_, 0)
    book.settle(id_, 0)
    with pytest.raises(ProtocolError):
        book.settle(id_, 1)
    assert len(read(tmp_path).entries) == 2


def lines_of(path):
    return (path / FILE_NAME).read_bytes().splitlines(keepends=True)


def changed(lines):
    return [lines[0].replace(b"1.0", b"0.1", 1), *lines[1:]]


def forged(lines):
    """A later line that hides its reservation, with a hash of its own but not with those behind it."""
    from septum.privacy.ledger import GENESIS
    from septum.protocol.codec import loads
    from septum.silo.ledger import Entry, _line

    entry = Entry(1, 1.0, Refused(charge(), BUDGET))
    line, _ = _line(Head(0, GENESIS), entry)
    assert loads(line)
    return [line + b"\n", *lines[1:]]


@pytest.mark.parametrize(
    "damage",
    [
        changed,
        forged,
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-1], lines[-1][:-9]],
        lambda lines: lines[:0],
        lambda lines: lines[1:],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines, b"{}\n"],
        lambda lines: [*lines[:2], b"\xff\x00\n", *lines[3:]],
        lambda lines: [*lines[:2], lines[2].replace(b":", b": ", 1), *lines[3:]],
    ],
    ids=["changed", "forged", "cut", "torn", "emptied", "first", "middle", "order", "twice", "more", "noise", "spaces"],
)
def test_a_ledger_that_was_tampered_with_is_refused_with_the_way_back(five, damage):
    (five / FILE_NAME).write_bytes(b"".join(damage(lines_of(five))))
    before = (five / FILE_NAME).read_bytes()
    for use in (
        lambda: read(five),
        lambda: ledger(five).reserve(charge(0.1), BUDGET),
        lambda: ledger(five).settle("a", 1),
    ):
        with pytest.raises(LedgerError, match="does not hold") as caught:
            use()
        assert f"septum silo ledger recover --dir {five} --charge EPSILON" in caught.value.hint
    assert (five / FILE_NAME).read_bytes() == before


def test_a_ledger_that_was_rolled_back_without_its_head_is_refused(five):
    old = (five / FILE_NAME).read_bytes()
    ledger(five).release(charge(0.1), BUDGET)
    (five / FILE_NAME).write_bytes(old)
    with pytest.raises(LedgerError, match="5 entries where its head knows of 6"):
        read(five)


def test_a_ledger_that_is_gone_is_refused_while_its_head_is_there(five):
    (five / FILE_NAME).unlink()
    with pytest.raises(LedgerError, match="0 entries where its head knows of 5"):
        ledger(five).reserve(charge(0.1), BUDGET)


@pytest.mark.parametrize("head", [None, b"{", b'{"hash":"00","number":5}', b'{"hash":"00","number":99}'])
def test_a_head_that_is_gone_or_another_one_is_found(five, head):
    (five / HEAD_NAME).unlink()
    if head is not None:
        (five / HEAD_NAME).write_bytes(head)
    with pytest.raises(LedgerError):
        read(five)


def test_a_head_that_was_rolled_back_by_more_than_a_crash_can_is_found(five):
    old = (five / HEAD_NAME).read_bytes()
    ledger(five).release(charge(0.1), BUDGET)
    (five / HEAD_NAME).write_bytes(old)
    assert len(read(five).entries) == 6  # what a kill between line and head leaves
    ledger(five).release(charge(0.1), BUDGET)
    assert len(read(five).entries) == 7
    (five / HEAD_NAME).write_bytes(old)
    with pytest.raises(LedgerError, match="7 entries where its head knows of 5 only"):
        read(five)


def test_a_head_that_a_crash_left_behind_is_mended_before_the_next_line(five):
    old = (five / HEAD_NAME).read_bytes()
    ledger(five).release(charge(0.1), BUDGET)
    (five / HEAD_NAME).write_bytes(old)
    seen = []

    def clock():  # is read when the next entry is made: a kill from here on may not leave the head two behind
        seen.append((five / HEAD_NAME).read_bytes())
        return 9.0

    Ledger(five, added, clock).release(charge(0.1), BUDGET)
    assert b'"number":6' in seen[0]


def test_a_piece_of_a_line_that_a_kill_left_was_never_an_entry(five):
    with (five / FILE_NAME).open("ab") as file:
        file.write(b'{"entry":{"at":7.0,')
    ledger(five).release(charge(0.1), BUDGET)
    assert len(read(five).entries) == 6


@pytest.mark.parametrize("left", [0, 1])
def test_a_ledger_that_is_gone_with_its_head_is_found_where_a_run_was_paid(five, left):
    """Else a silo whose files were lost, or all but the first line, would have its whole budget again."""
    PrivateReceipts(five).add(PrivateReceipt(1.0, "r-1", "heart", "enforced", 1.0, 1e-5, 1, 60, 1.0, 0.5))
    whole = (five / FILE_NAME).read_bytes().splitlines(keepends=True)
    (five / FILE_NAME).write_bytes(b"".join(whole[:left]))
    if not left:
        (five / FILE_NAME).unlink()
    (five / HEAD_NAME).unlink()
    for ask in (lambda: read(five), lambda: ledger(five).reserve(charge(), BUDGET)):
        with pytest.raises(LedgerError, match=r"ledger\.head is gone, and privacy\.jsonl names runs that were paid"):
            ask()
    recover(five, 2.5, 9.0)
    assert Stated(2.5) in read(five).book.costs("heart")


def test_both_brought_back_from_a_copy_are_not_found_here_but_by_a_head_kept_elsewhere(five):
    copies = {name: (five / name).read_bytes() for name in (FILE_NAME, HEAD_NAME)}
    ledger(five).release(charge(0.1), BUDGET)
    kept = read(five).head
    for name, data in copies.items():
        (five / name).write_bytes(data)
    assert kept not in read(five).heads


def test_recovery_keeps_what_holds_charges_the_rest_and_sets_the_damage_aside(five):
    broken = b"".join(lines_of(five)[:3])
    (five / FILE_NAME).write_bytes(broken)
    event, aside = recover(five, 1.25, 9.0)
    assert event == Recovered(Stated(1.25), 5)
    assert aside.read_bytes() == broken
    found = read(five)
    assert [entry.number for entry in found.entries] == [1, 2, 3, 4]
    assert found.book.costs("heart") == (Stated(1.0), Stated(0.5), Stated(1.25))
    assert found.book.costs("other") == (Stated(1.25),)
    ledger(five).release(charge(0.25), BUDGET)
    with pytest.raises(BudgetError):
        ledger(five).release(charge(0.25), BUDGET)


def test_a_ledger_that_holds_is_not_recovered(five):
    with pytest.raises(LedgerError, match="nothing to recover"):
        recover(five, 1.0, 9.0)


def test_where_nothing_can_be_written_nothing_is_reserved(tmp_path):
    with pytest.raises(StorageError):
        ledger(tmp_path / "no such folder").reserve(charge(), BUDGET)


@pytest.mark.parametrize("name", [FILE_NAME, HEAD_NAME])
def test_a_file_that_cannot_be_read_is_named(five, name):
    (five / name).unlink()
    (five / name).mkdir()
    with pytest.raises(StorageError, match=f"{name} cannot be read: Is a directory"):
        ledger(five).reserve(charge(0.1), BUDGET)


def start(path, count, budget):
    command = [*PROGRAM, str(path), str(count), str(budget)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.processes
def test_killed_at_any_moment_it_holds_and_what_was_reserved_is_spent(tmp_path):
    choice = random.Random(3)
    reserved, settled = set(), set()
    for _ in range(6):
        with start(tmp_path, 100_000, 1e6) as process:
            said = [process.stdout.readline() for _ in range(choice.randrange(1, 40))]
            process.send_signal(signal.SIGKILL)  # it is in the middle of the next one
            said += process.stdout.readlines()
        for verb, id_ in (line.split() for line in said if line.endswith("\n")):
            (reserved if verb == "reserved" else settled).add(id_)
    found = read(tmp_path)
    events = [entry.event for entry in found.entries]
    ids = {event.id for event in events if isinstance(event, Reserved)}
    assert reserved <= ids
    assert len(ids - reserved) <= 6  # each life may have died before it could say so
    written = {event.id for event in events if isinstance(event, Settled)}
    assert settled <= written
    assert len(found.book.costs("heart")) == len(ids - written)
    assert len(ids) > len(written) > 0


@pytest.mark.processes
def test_two_processes_spend_one_budget_once(tmp_path):
    # each reserves 30 times, settles every second at 0; 20 fit. Without the lock both would build on one head
    processes = [start(tmp_path, 30, 20) for _ in range(2)]
    said = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    found = read(tmp_path)
    assert len(found.book.costs("heart")) <= 20
    events = [entry.event for entry in found.entries]
    assert sum(isinstance(event, Reserved) for event in events) == sum(words.count("reserved") for words in said)
    assert sum(isinstance(event, Refused) for event in events) == sum(words.count("refused") for words in said) > 0
