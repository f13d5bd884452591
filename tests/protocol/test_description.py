"""What a silo says of itself is bounded, and tells of no dataset how many rows it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import MessageError
from septum.protocol.codec import decode, encode
from septum.protocol.description import (
    MAX_COLUMNS,
    MAX_DATASETS,
    MAX_LABELS,
    MAX_REASON_CHARS,
    OfferedDataset,
    SiloDescription,
    Standing,
    rows_bucket,
)

PLAIN = {"septum": "0.1.0", "python": "3.12.1", "system": "Debian, x86_64", "cores": 2}


@pytest.mark.parametrize(
    ("rows", "bucket"),
    [(0, "under 100"), (99, "under 100"), (100, "100-199"), (303, "300-399"), (999, "900-999"), (1000, "1000-1999")],
)
def test_rows_are_told_to_their_first_digit(rows, bucket):
    assert rows_bucket(rows) == bucket


@given(st.integers(0, 10**12))
def test_every_bucket_holds_its_rows_hides_a_hundred_numbers_and_is_accepted(rows):
    bucket = rows_bucket(rows)
    low, high = (0, 99) if bucket == "under 100" else map(int, bucket.split("-"))
    assert low <= rows <= high
    assert high - low >= 99
    assert all(rows_bucket(other) == bucket for other in (low, high))
    assert OfferedDataset("heart", (), bucket).rows == bucket


@pytest.mark.parametrize("told", ["303", "300-303", "0-99", "about 300", "300-399 or so"])
def test_what_is_no_bucket_is_refused(told):
    with pytest.raises(MessageError, match="no bucket"):
        OfferedDataset("heart", (), told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"septum": ""},
        {"python": "x" * 101},
        {"system": "two\nlines"},
        {"system": "\x1b[2Jcleared"},
        {"cores": -1},
        {"cores": 10**9},
        {"memory_mb": 2**40},
        {"gpus": ("H200",) * 65},
        {"gpus": ("a\x00b",)},
        {"labels": {f"l{n}": "x" for n in range(MAX_LABELS + 1)}},
        {"labels": {"Region": "north"}},
        {"labels": {"region": "no spaces"}},
        {"labels": {"region": "x" * 64}},
        {"datasets": tuple(OfferedDataset(f"d{n}") for n in range(MAX_DATASETS + 1))},
        {"datasets": (OfferedDataset("d", ("c",) * 600), OfferedDataset("e", ("c",) * (MAX_COLUMNS - 599)))},
    ],
)
def test_what_is_too_much_or_no_line_of_text_is_refused(wrong):
    with pytest.raises(MessageError):
        SiloDescription(**{**PLAIN, **wrong})


def test_a_reason_is_one_short_line():
    for reason in ("x" * (MAX_REASON_CHARS + 1), "two\nlines"):
        with pytest.raises(MessageError, match="reason"):
            Standing(paused=True, reason=reason)


def test_the_largest_description_fits_in_a_message():
    columns = tuple(f"{n:0100}" for n in range(MAX_COLUMNS))
    labels = {f"l{n:062}": "v" * 63 for n in range(MAX_LABELS)}
    datasets = (OfferedDataset("d" * 100, columns, "under 100"),)
    largest = SiloDescription(**{**PLAIN, "gpus": ("g" * 100,) * 64, "labels": labels, "datasets": datasets})
    assert decode(SiloDescription | Standing, encode(largest)) == largest
