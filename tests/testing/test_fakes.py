"""Do the fakes behave where the contract suites say nothing?"""

from __future__ import annotations

import subprocess
import sys

import pytest

from septum.testing.fakes import FakeClock


def test_the_fake_clock_goes_on_only_when_told_to():
    clock = FakeClock(unix=1000.0, monotonic=5.0)
    assert (clock.unix(), clock.monotonic()) == (1000.0, 5.0)
    clock.advance(1.5)
    assert (clock.unix(), clock.monotonic()) == (1001.5, 6.5)


def test_only_the_unix_clock_jumps():
    clock = FakeClock(unix=1000.0, monotonic=5.0)
    clock.jump(-100.0)
    assert (clock.unix(), clock.monotonic()) == (900.0, 5.0)
    with pytest.raises(ValueError, match="jump"):
        clock.advance(-1.0)


@pytest.mark.processes
def test_the_fakes_need_neither_pytest_nor_a_database():
    script = "import sys, septum.testing.fakes; print([m for m in ('pytest', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[]"
