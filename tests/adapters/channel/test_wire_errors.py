import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum import errors
from septum.adapters.channel.wire_errors import RetryLaterError, error_body, error_of
from septum.errors import (
    ERROR_CLASSES,
    AuthError,
    ConnectionFailedError,
    ForbiddenError,
    ProtocolError,
    SeptumError,
    TooLargeError,
)


def body(**content):
    return json.dumps({"error": content}).encode()


@pytest.mark.parametrize("code", sorted(ERROR_CLASSES))
def test_an_error_survives_the_wire(code):
    sent = ERROR_CLASSES[code]("what", hint="next")
    back = error_of(sent.http_status, error_body(sent))
    assert type(back) is type(sent)
    assert (back.message, back.hint) == ("what", "next")


def test_every_error_of_the_tree_has_a_code_of_its_own():
    tree = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, SeptumError)]
    assert len(tree) > 15
    assert set(ERROR_CLASSES.values()) == set(tree)


def test_an_unknown_code_is_a_protocol_error_that_keeps_the_message():
    error = error_of(418, body(code="teapot", message="short and stout"))
    assert type(error) is ProtocolError
    assert "'teapot': short and stout" in error.message
    assert "upgrade" in error.hint


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthError), (403, ForbiddenError), (404, ProtocolError), (413, TooLargeError), (500, ProtocolError),
        (408, ConnectionFailedError), (429, ConnectionFailedError), (502, ConnectionFailedError),
        (503, ConnectionFailedError), (504, ConnectionFailedError),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>nginx</html>",
        b"{}",
        b"[]",
        b'{"error":"no"}',
        body(code=1, message="x"),
        body(code="auth"),
        b"[" * 9999,
    ],
)
def test_what_a_gateway_says_is_told_apart_by_its_status(status, kind, content):
    error = error_of(status, content, asked="POST /silo/v1/poll")
    assert type(error) is kind
    assert f"POST /silo/v1/poll was answered with HTTP status {status}" in error.message
    assert "proxy or gateway" in error.hint


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0", 0.0), ("1.5", 1.5)])
def test_retry_after_goes_with_an_error_that_may_pass(header, seconds):
    busy = error_of(503, error_body(ConnectionFailedError("starting", hint="wait")), retry_after=header)
    assert isinstance(busy, RetryLaterError)
    assert (busy.retry_after_s, busy.message, busy.hint) == (seconds, "starting", "wait")
    assert type(error_of(401, error_body(AuthError("who")), retry_after=header)) is AuthError


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_number_of_seconds_is_ignored(header):
    assert type(error_of(503, b"", retry_after=header)) is ConnectionFailedError


def test_what_the_other_side_wrote_cannot_steer_a_terminal():
    error = error_of(400, body(code="message", message="a\x1b[2Jb\rc\nd", hint="\x07" + "x" * 10_000))
    assert error.message == "a?[2Jb?c\nd"
    assert len(error.hint) == 4_000


@given(st.integers(300, 599), st.binary(max_size=200), st.none() | st.text(max_size=20))
def test_any_answer_means_some_error(status, content, retry_after):
    assert isinstance(error_of(status, content, retry_after=retry_after), SeptumError)
