"""What an app prints is kept up to a limit and heard whole, and no listener can hold the app up."""

from __future__ import annotations

import os

from septum.adapters.launch.app_log import LOG_NAME, MAX_LOG_BYTES, keep_output


def printed(tmp_path, heard, data: bytes) -> bytes:
    """What is in the log after an app has printed this."""
    reading, writing = os.pipe()
    thread = keep_output(os.fdopen(reading, "rb", buffering=0), tmp_path, "r-1", heard)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(data)
    thread.join(20)
    assert not thread.is_alive()
    return (tmp_path / LOG_NAME).read_bytes()


def test_all_of_it_is_heard_also_what_is_not_kept(tmp_path):
    heard = []
    data = bytes(range(256)) * 8_192  # 2 MiB
    kept = printed(tmp_path, heard.append, data)
    assert b"".join(heard) == data
    assert kept[:MAX_LOG_BYTES] == data[:MAX_LOG_BYTES]
    assert b"is not kept" in kept[MAX_LOG_BYTES:]


def test_a_listener_that_fails_does_not_make_the_app_wait(tmp_path, caplog):
    def fails(_chunk):
        raise ValueError("broken")

    data = b"x" * (1 << 20)
    assert printed(tmp_path, fails, data) == data
    assert [record.message for record in caplog.records] == ["output_not_heard: broken"]
