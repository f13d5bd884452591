"""What a silo does with a query with noise: it pays before, draws once, and a kill never makes an answer free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from tests.silo.private_queries import COST, QUERY, TABLE, account, files_of
from tests.silo.query_to_kill import POINTS

from septum.adapters.files import replace_file
from septum.errors import BudgetError, LedgerError, StorageError
from septum.privacy.accounting import Gaussian
from septum.privacy.ledger import Refused, Reserved, Settled
from septum.privacy.noise import SIGMA
from septum.protocol.noisy_counting import units
from septum.silo import private_query
from septum.silo.ledger import read
from septum.silo.private_receipts import PrivateReceipts


def events(folder):
    return [entry.event for entry in read(folder).entries]


def test_the_ledger_is_charged_before_a_row_is_looked_at(tmp_path, monkeypatch):
    seen = []

    def counted(query, table, random):
        seen.extend(events(tmp_path))
        return np.zeros(query.size)

    monkeypatch.setattr(private_query, "count_with_noise", counted)
    account(tmp_path).sums("ward", TABLE)
    (reserved,) = seen
    assert isinstance(reserved, Reserved)
    assert reserved.charge.mechanism == Gaussian(3.7307)
    assert (reserved.charge.dataset, reserved.charge.purpose) == ("ward", "run r1: statistics with noise")


def test_what_is_given_is_the_sums_with_the_systems_noise(tmp_path):
    sums = account(tmp_path).sums("ward", TABLE)
    noise = sums - units(QUERY, TABLE)
    assert (noise != 0).all()
    assert 0.2 < np.abs(noise).mean() / SIGMA < 3


def test_asked_again_also_after_a_restart_it_gives_the_same_numbers_and_pays_once(tmp_path):
    first = account(tmp_path)
    sums = first.sums("ward", TABLE)
    assert (first.sums("ward", TABLE) == sums).all()
    assert (account(tmp_path).sums("ward", TABLE) == sums).all()
    assert len(events(tmp_path)) == 1


def test_another_run_draws_and_pays_again_until_the_budget_is_spent_and_is_told_what_is_left(tmp_path):
    one, other = account(tmp_path).sums("ward", TABLE), account(tmp_path, "r2").sums("ward", TABLE)
    assert (one != other).all()
    third = account(tmp_path, "r3")
    with pytest.raises(BudgetError, match=rf"is 3, of which {COST * 2:.3f}\d* is spent and 0\.98\d* is left"):
        third.sums("ward", TABLE)
    assert isinstance(events(tmp_path)[-1], Refused)
    assert not files_of(tmp_path, "r3").noisy.exists()
    account(tmp_path, "r4").sums("another ward", TABLE)  # which has a budget of its own


def test_when_the_run_ends_it_is_settled_as_one_release_and_the_receipt_has_its_cost(tmp_path):
    paid = account(tmp_path)
    paid.sums("ward", TABLE)
    paid.settle()
    paid.settle()
    assert [event.executed for event in events(tmp_path) if isinstance(event, Settled)] == [1]
    (receipt,) = PrivateReceipts(tmp_path).all()
    assert (receipt.run, receipt.steps, receipt.delta) == ("r1", 1, 1e-5)
    assert receipt.epsilon == pytest.approx(COST)
    assert (account(tmp_path).sums("ward", TABLE) == paid.sums("ward", TABLE)).all()
    assert len(events(tmp_path)) == 2


def test_what_was_reserved_and_not_drawn_is_given_back(tmp_path, monkeypatch):
    def fails(*given):
        raise StorageError("a full disk")

    paid = account(tmp_path)
    monkeypatch.setattr(private_query, "count_with_noise", fails)
    with pytest.raises(StorageError):
        paid.sums("ward", TABLE)
    paid.settle()
    assert [event.executed for event in events(tmp_path) if isinstance(event, Settled)] == [0]
    assert list(PrivateReceipts(tmp_path).all()) == []


def test_what_was_given_back_by_an_agent_that_did_not_note_it_is_reserved_again(tmp_path, monkeypatch):
    """Killed between the ledger's word and its own, before a number was drawn; and the run is resumed."""

    def gone(*given):
        raise KeyboardInterrupt

    paid = account(tmp_path)
    with monkeypatch.context() as killing:
        killing.setattr(private_query, "count_with_noise", gone)
        with pytest.raises(KeyboardInterrupt):
            paid.sums("ward", TABLE)
        killing.setattr(private_query, "write_durably", gone)
        with pytest.raises(KeyboardInterrupt):
            account(tmp_path).settle()
    assert [event.executed for event in events(tmp_path) if isinstance(event, Settled)] == [0]
    account(tmp_path).sums("ward", TABLE)
    assert isinstance(events(tmp_path)[-1], Reserved)
    assert read(tmp_path).book.costs("ward") == (Gaussian(3.7307),)


def test_on_a_ledger_that_was_changed_nothing_is_released(tmp_path):
    account(tmp_path).sums("ward", TABLE)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b"3.7307", b"9.7307"))
    with pytest.raises(LedgerError):
        account(tmp_path, "r2").sums("ward", TABLE)
    assert not files_of(tmp_path, "r2").noisy.exists()


@pytest.mark.parametrize("name", ["noisy", "privacy.json"])
def test_files_that_cannot_be_read_are_no_reason_to_draw_again(tmp_path, name):
    paid = account(tmp_path)
    paid.sums("ward", TABLE)
    files = files_of(tmp_path)
    if name == "privacy.json":
        files.noisy.unlink()
    replace_file(files.folder / name, b"\0" * 9)
    with pytest.raises(StorageError, match="cannot be read"):
        account(tmp_path).sums("ward", TABLE)
    assert len(events(tmp_path)) == 1


@pytest.mark.processes
@pytest.mark.parametrize("point", POINTS)
def test_an_agent_that_is_killed_has_spent_what_it_reserved_and_gives_one_answer_in_the_end(tmp_path, point):
    command = [sys.executable, "-m", "tests.silo.query_to_kill", str(tmp_path), point]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ})
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, ""), done.stderr
    book = read(tmp_path).book
    assert [charge.dataset for charge in book.pending.values()] == ["ward"]
    files = files_of(tmp_path)
    kept = files.noisy.read_bytes() if point == "kept" else None
    assert files.noisy.exists() == (point == "kept")
    sums = account(tmp_path).sums("ward", TABLE)
    assert kept in (None, files.noisy.read_bytes())
    assert (account(tmp_path).sums("ward", TABLE) == sums).all()
    account(tmp_path).settle()
    book = read(tmp_path).book
    assert len(book.spent["ward"]) == 1
    assert len(book.pending) == (1 if point == "reserved" else 0)  # that one is nobody's any more, and stays spent
