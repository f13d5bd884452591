"""Receipts: added, never changed, and read back as they were written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from septum.errors import ConfigError, StorageError
from septum.silo.receipts import FILE_NAME, Receipt, Receipts

FIRST = Receipt(
    5.0, "r-1", "blake3:p", "heart 1.0.0", "sha256:a", ("ed25519:k",), "blake3:d", 303, "blake3:y", 2, "0.1"
)
SECOND = replace(FIRST, at=6.0, run="r-2", signers=())


def test_receipts_are_kept_in_order_and_read_by_the_next_process(tmp_path):
    Receipts(tmp_path).add(FIRST)
    Receipts(tmp_path).add(SECOND)
    assert list(Receipts(tmp_path).all()) == [FIRST, SECOND]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_there_are_none_at_first(tmp_path):
    assert list(Receipts(tmp_path).all()) == []


def test_what_a_kill_left_of_a_line_does_not_spoil_the_next_one(tmp_path):
    receipts = Receipts(tmp_path)
    receipts.add(FIRST)
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"at":7.0,"run":"r-')
    receipts.add(SECOND)
    assert list(receipts.all()) == [FIRST, SECOND]


def test_a_line_that_somebody_changed_is_named(tmp_path):
    receipts = Receipts(tmp_path)
    receipts.add(FIRST)
    receipts.add(SECOND)
    path = tmp_path / FILE_NAME
    before, rows, after = path.read_bytes().rpartition(b'"rows":303')
    path.write_bytes(before + rows + b"x" + after)
    with pytest.raises(ConfigError, match=r"receipts\.jsonl, line 2"):
        list(receipts.all())


def test_a_receipt_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StorageError, match=r"receipts\.jsonl cannot be written") as caught:
        Receipts(tmp_path).add(FIRST)
    assert "df -h" in caught.value.hint
