"""A silo's own audit log: what is recorded, and what somebody who changes it leaves behind."""

from __future__ import annotations

import threading

import pytest

from septum.errors import AuditError
from septum.silo.audit import FILE_NAME, SAYS, SiloKind, check, newest, record
from septum.silo.lines import MAX_LINE_BYTES
from septum.silo.stance import pause, resume, withdraw


def filled(silo_dir):
    for number in range(5):
        record(silo_dir, SiloKind.DATA_OPENED, run=f"r-{number}", rows="299")
    return silo_dir / FILE_NAME


def test_events_follow_one_another(tmp_path):
    filled(tmp_path)
    record(tmp_path, SiloKind.APP_APPROVED, "ada", app="heart 1.0.0", digest="sha256:aa")
    events = check(tmp_path)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert (events[5].kind, events[5].by, events[5].about["app"]) == ("app.approved", "ada", "heart 1.0.0")
    assert newest(tmp_path).size == 6
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_long_log_goes_on_from_its_last_line(tmp_path):
    for _ in range(500):
        record(tmp_path, SiloKind.DATA_OPENED, columns="x" * 500)
    assert (tmp_path / FILE_NAME).stat().st_size > 2 * MAX_LINE_BYTES
    assert len(check(tmp_path)) == newest(tmp_path).size == 500


def test_nothing_was_done_yet(tmp_path):
    assert check(tmp_path) == ()
    assert newest(tmp_path).size == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b"299", b"298"), *lines[3:]], "event 3 does not hold"),
        (lambda lines: [*lines[:1], *lines[2:]], "event 2 does not hold: in its place stands event 3"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "event 2 does not hold"),
        (lambda lines: [*lines[:3], b"{}", *lines[3:]], "line 4"),
        (lambda lines: lines[1:], "event 1 does not hold"),
    ],
)
def test_whatever_is_changed_is_found(change, named, tmp_path):
    path = filled(tmp_path)
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().split(b"\n")[:-1])))
    with pytest.raises(AuditError, match=named):
        check(tmp_path)


def test_a_piece_of_a_line_that_a_kill_left_was_no_event(tmp_path):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"event":{"ab')
    record(tmp_path, SiloKind.PAUSED)
    assert len(check(tmp_path)) == 6


def test_the_agent_and_a_command_do_not_build_on_the_same_event(tmp_path):
    threads = [threading.Thread(target=filled, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(check(tmp_path)) == 20


def test_what_a_steward_says_is_recorded(tmp_path):
    pause(tmp_path, "an audit", leave=False)
    resume(tmp_path)
    withdraw(tmp_path, "r-1")
    assert [event.kind for event in check(tmp_path)] == ["silo.paused", "silo.resumed", "run.withdrawn"]


def test_every_kind_is_explained():
    assert set(SAYS) == set(SiloKind)
