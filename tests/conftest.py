"""What every test shares."""

import os
import signal
import sys

import pytest
from hypothesis import settings

# Busy machines make wall-clock deadlines flaky. CI draws the same examples each time: a submission is judged by its own
# change; new examples are drawn wherever people run the tests.
settings.register_profile("septum", deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("septum"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "septum")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts: be as at a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The unit suite is what one runs while working, so it stays fast: what starts processes is in another suite.
STARTS = frozenset({"os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"})
MAY_START = frozenset({"processes", "e2e", "faults", "attacks", "console"})
MAY_LISTEN = MAY_START | {"served"}
_running: list[pytest.Item] = []


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for all the tests of this session; a database is a test's own."""
    from tests.postgres_server import running  # SQLAlchemy: not every test has it loaded

    with running() as server:
        yield server


@pytest.fixture(scope="session")
def s3():
    """An S3 server for all the tests of this session; a place in it is a test's own."""
    from tests.s3_server import running  # not every test has botocore loaded

    with running() as server:
        yield server


def _is(names: frozenset[str]) -> bool:
    return any(_running[-1].get_closest_marker(name) for name in names)


def _no_process(event: str, _arguments: tuple[object, ...]) -> None:
    if event in STARTS and _running and not _is(MAY_START):
        raise AssertionError(f"{_running[-1].nodeid} starts a process: a unit test does not; mark it `processes`")
    if event == "socket.bind" and _running and not _is(MAY_LISTEN) and not isinstance(_running[-1], pytest.DoctestItem):
        raise AssertionError(f"{_running[-1].nodeid} listens: a unit test does not; mark it `served`")


sys.addaudithook(_no_process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()
