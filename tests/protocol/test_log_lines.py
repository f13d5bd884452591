"""Lines of logs: what cannot be one, how a long one is cut, and which are looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import MessageError
from septum.protocol.log_lines import (
    MAX_LINE_CHARS,
    LogBatch,
    LogFilter,
    LogLevel,
    LogLine,
    LogOrigin,
    LogView,
    cut,
    level_of,
)

LINE = LogLine(1.0, LogLevel.INFO, LogOrigin.APP, "x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", float("nan")), ("at", -1.0), ("at", float("inf")), ("text", "x" * (MAX_LINE_CHARS + 1)), ("round", -1),
        ("round", 10**9),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_none(field, value):
    given_ = {"at": 1.0, "level": LogLevel.INFO, "origin": LogOrigin.APP, "text": "x", "round": 0}
    with pytest.raises(MessageError):
        LogLine(**{**given_, field: value})


@pytest.mark.parametrize(
    ("stream", "first", "count"),
    [("", 0, 1), ("g" * 16, 0, 1), ("0" * 16, -1, 1), ("0" * 16, 0, 0), ("0" * 16, 0, 101)],
)
def test_a_batch_that_cannot_be_is_none(stream, first, count):
    with pytest.raises(MessageError):
        LogBatch(stream, first, (LINE,) * count)


@given(st.text(max_size=5_000), st.integers(0, 10**12))
def test_a_cut_line_can_be_told_begins_as_it_did_and_says_how_long_it_was(text, more):
    told = cut(text, len(text) + more)
    assert len(told) <= MAX_LINE_CHARS
    if len(text) + more > MAX_LINE_CHARS or more:
        kept, _, said = told.rpartition(" ... (the first ")
        assert text.startswith(kept)
        assert said == f"{len(kept)} of {len(text) + more} are told)"
    else:
        assert told == text


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Traceback (most recent call last):", "error"),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory", "error"),
        ("ERROR:root:no rows", "error"),
        ("WARNING:root:few rows", "warning"),
        ("/app/app.py:3: DeprecationWarning: old", "warning"),
        ("no errors so far", "info"),
        ("Errors: 0", "info"),
        ("", "info"),
    ],
)
def test_levels_of_what_an_app_prints(text, level):
    assert level_of(text).value == level


def test_a_line_is_looked_for_if_all_holds():
    line = LogView(7, "north", 10.0, LogLevel.WARNING, LogOrigin.APP, 3, "Loss 0.5")
    assert LogFilter("north", LogLevel.WARNING, LogOrigin.APP, 10.0, 3, "loss").holds(line)
    for other in (
        LogFilter(silo="south"), LogFilter(level=LogLevel.ERROR), LogFilter(origin=LogOrigin.AGENT),
        LogFilter(since=10.5), LogFilter(round=2), LogFilter(text="gain"),
    ):  # fmt: skip
        assert not other.holds(line)
