"""What waits to be told: bounded, in order, with numbers that show what is missing, and nothing that may not leave."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.protocol.codec import MAX_MESSAGE_BYTES, decode, encode
from septum.protocol.log_lines import MAX_LINE_CHARS, LogBatch, LogLevel, LogOrigin
from septum.silo.log_outbox import BURST_LINES, LINES_A_SECOND, MAX_APP_BYTES, MAX_RUNS, MAX_WAITING_BYTES, LogOutbox
from septum.testing.fakes import FakeClock

STREAM = "0123456789abcdef"
RUN = "r-1"


class Place:
    """An outbox with a clock of its own, and all that it was asked for."""

    def __init__(self, *, app: bool = True, exact: bool = True) -> None:
        self.clock = FakeClock(unix=1_800_000_000.75)
        self.outbox = LogOutbox(STREAM, self.clock.unix, self.clock.monotonic)
        self.outbox.begin(RUN, app=app, exact=exact)

    def log(self, event: str, **fields: object) -> None:
        self.outbox.agent(LogLevel.INFO, event, {"run_id": RUN, "silo": "north", **fields})

    def told(self, run: str = RUN) -> list[LogBatch]:
        """All that waits, told."""
        batches = []
        while (batch := self.outbox.take(run)) is not None:
            assert decode(LogBatch, encode(batch)) == batch
            assert len(encode(batch)) < MAX_MESSAGE_BYTES
            self.outbox.settled(run, batch)
            batches.append(batch)
        return batches

    def texts(self) -> list[str]:
        return [line.text for batch in self.told() for line in batch.lines]


def test_the_agents_lines_leave_with_the_fields_that_may_and_the_round_at_work():
    place = Place()
    place.log("working", stage="train", round=3, attempt=1, rows=303)
    place.log("data_ready", rows=303)
    place.log("reported", stage="train", round=3, attempt=1, answer="train")
    (batch,) = place.told()
    assert (batch.stream, batch.first) == (STREAM, 0)
    assert [(line.text, line.round, line.origin) for line in batch.lines] == [
        ("working stage=train round=3 attempt=1", 3, LogOrigin.AGENT),
        ("reported stage=train round=3 attempt=1 answer=train", 3, LogOrigin.AGENT),
    ]


def test_a_line_of_no_run_stays():
    place = Place()
    place.outbox.agent(LogLevel.INFO, "connected", {"silo": "north"})
    assert place.outbox.waiting() == ()


def test_times_leave_to_the_second_where_they_would_tell_how_long_the_silo_computes():
    for exact, at in ((True, 1_800_000_000.75), (False, 1_800_000_000.0)):
        place = Place(exact=exact)
        place.log("joined")
        assert place.told()[0].lines[0].at == at


def test_of_a_run_that_nobody_has_admitted_no_byte_of_an_app_is_kept():
    place = Place()
    place.outbox.app("r-2", b"a record: 63,1,145\n")
    assert place.outbox.take("r-2") is None
    quiet = Place(app=False)
    quiet.outbox.app(RUN, b"a record: 63,1,145\n")
    quiet.log("joined")
    assert quiet.texts() == ["joined"]


@given(st.lists(st.binary(max_size=40), max_size=30), st.lists(st.integers(1, 13), min_size=1, max_size=9))
def test_an_apps_lines_are_the_same_however_its_output_is_cut(lines, cuts):
    printed = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    pieces, at, turn = [], 0, 0
    while at < len(printed):
        step = cuts[turn % len(cuts)]
        pieces.append(printed[at : at + step])
        at, turn = at + step, turn + 1
    whole, cut = Place(), Place()
    whole.outbox.app(RUN, printed)
    for piece in pieces:
        cut.outbox.app(RUN, piece)
    expected = [line.replace(b"\n", b"").decode(errors="replace").rstrip("\r") for line in lines]
    assert whole.texts() == cut.texts() == [line for line in expected if line.strip()]


def test_a_line_of_a_hundred_megabytes_is_cut_and_says_how_long_it_was():
    place = Place()
    block = b"x" * 65_536
    for _ in range(1_600):
        place.outbox.app(RUN, block)
    place.outbox.app(RUN, b"\nnext\n")
    cut, following = place.texts()
    assert len(cut) <= MAX_LINE_CHARS
    assert cut.endswith(f"of {1_600 * 65_536} are told)")
    assert following == "next"


def test_what_a_level_looks_like_in_an_apps_words():
    place = Place()
    place.outbox.app(RUN, b"epoch 1\nUserWarning: old\nTraceback (most recent call last):\nValueError: no\n")
    (batch,) = place.told()
    assert [line.level.value for line in batch.lines] == ["info", "warning", "error", "error"]


def test_a_flood_is_counted_not_kept_and_the_next_line_shows_how_much_is_missing():
    place = Place()
    place.outbox.app(RUN, b"flood\n" * 100_000)
    kept = place.told()
    assert sum(len(batch.lines) for batch in kept) == int(BURST_LINES)
    place.clock.advance(2.0)
    place.outbox.app(RUN, b"after\n")
    (batch,) = place.told()
    assert (batch.first, [line.text for line in batch.lines]) == (100_000, ["after"])
    place.outbox.app(RUN, b"x\n" * 1_000)
    assert sum(len(batch.lines) for batch in place.told()) == int(2.0 * LINES_A_SECOND) - 1


def test_a_flood_of_the_app_leaves_room_for_the_agents_own_lines():
    place = Place()
    place.outbox.app(RUN, b"flood\n" * 10_000)
    place.log("run_ended", outcome="failed")
    assert place.texts()[-1] == "run_ended outcome=failed"


def test_of_a_flood_no_line_is_looked_at_that_is_not_kept():
    """Nobody waits for it: of a hundred megabytes some lines are work, and the rest is counted by the block."""
    asked = 0

    def monotonic() -> float:
        nonlocal asked
        asked += 1
        return 0.0

    outbox = LogOutbox(STREAM, lambda: 1_800_000_000.0, monotonic)
    outbox.begin(RUN, app=True, exact=True)
    blocks = 1_600
    for _ in range(blocks):
        outbox.app(RUN, b"a line of an app that prints too much\n" * 1_700)
    assert asked <= 2 * BURST_LINES + blocks
    outbox.agent(LogLevel.INFO, "joined", {"run_id": RUN})
    first = outbox.take(RUN)
    assert first is not None
    assert first.first == 0
    while (batch := outbox.take(RUN)) is not None:
        outbox.settled(RUN, batch)
        last = batch
    assert (last.first, last.lines[0].text) == (blocks * 1_700, "joined")


def test_while_the_coordinator_is_away_the_oldest_lines_go_and_memory_is_bounded():
    place = Place()
    for number in range(2_000):
        place.clock.advance(1.0)
        place.outbox.app(RUN, b"%06d " % number + b"y" * 900 + b"\n")
    batches = place.told()
    texts = [line.text for batch in batches for line in batch.lines]
    assert sum(len(json.dumps(text)) for text in texts) <= MAX_WAITING_BYTES
    assert texts[-1].startswith("001999")
    assert batches[0].first == 2_000 - len(texts)


def test_an_app_that_prints_without_end_is_told_of_up_to_a_limit_and_that_is_said():
    place = Place()
    line = b"z" * 1_500 + b"\n"
    told = []
    for _ in range(MAX_APP_BYTES // 1_500 + 500):
        place.clock.advance(1.0)
        place.outbox.app(RUN, line)
        told += place.texts()
    assert told[-1].startswith("log_limit bytes=")
    assert sum(len(text) for text in told) <= MAX_APP_BYTES + 2 * 1_500 + 200
    place.log("run_ended", outcome="finished")
    assert place.texts() == ["run_ended outcome=finished"]


def test_what_was_taken_and_not_told_is_taken_again_and_what_came_meanwhile_follows():
    place = Place()
    place.log("joined")
    first = place.outbox.take(RUN)
    place.log("connected")
    again = place.outbox.take(RUN)
    assert first is not None
    assert again is not None
    assert (first.first, again.first, again.lines[0]) == (0, 0, first.lines[0])
    place.outbox.settled(RUN, first)
    assert place.texts() == ["connected"]


def test_of_a_run_that_the_coordinator_does_not_want_nothing_waits_any_more():
    place = Place()
    place.log("joined")
    place.outbox.close(RUN)
    place.log("connected")
    place.outbox.app(RUN, b"x\n")
    assert place.outbox.waiting() == ()


def test_runs_do_not_pile_up():
    place = Place()
    for number in range(3 * MAX_RUNS):
        place.outbox.agent(LogLevel.INFO, "joined", {"run_id": f"r-{number}"})
    assert len(place.outbox.waiting()) == MAX_RUNS


def test_who_waits_is_woken_by_a_line_and_by_the_end():
    place = Place()
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(place.outbox.wait()))
    thread.start()
    place.log("joined")
    thread.join(10)
    place.told()
    ending = threading.Thread(target=lambda: woken.append(place.outbox.wait()))
    ending.start()
    place.outbox.end()
    ending.join(10)
    assert woken == [True, False]


@pytest.mark.parametrize("text", ["\x1b[31mred", "\u202eevil", "\U0001f600" * 3_000, '"\\' * 2_000])
def test_whatever_an_app_prints_fits_into_a_message(text):
    place = Place()
    place.outbox.app(RUN, (text + "\n").encode() * 20)
    assert sum(len(batch.lines) for batch in place.told()) == 20
