"""A program hears that it is to end, whenever that comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import logging, os, signal
from septum.adapters.ending import told_to_end

class Handler(logging.StreamHandler):
    def emit(self, record):  # under the handler's lock
        os.kill(os.getpid(), signal.SIGTERM)
        super().emit(record)

told = told_to_end()
logging.basicConfig(handlers=[Handler()], format="%(message)s")
logging.warning("ready")
number = told.get()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
logging.warning(signal.Signals(number).name)
"""


@pytest.mark.processes
def test_a_signal_in_the_middle_of_a_log_line_is_heard_and_disturbs_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.split()) == (0, ["ready", signal.SIGTERM.name])
