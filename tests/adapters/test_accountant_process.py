"""An agent accounts for privacy in another process: the same numbers and errors, and nothing stays when it is idle."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from septum.adapters.accountant import epsilon_of
from septum.adapters.accountant_process import AccountantProcess
from septum.errors import ConfigError, SeptumError
from septum.privacy.accounting import Gaussian, Laplace, SampledGaussian, Stated

pytestmark = pytest.mark.processes

USED = (SampledGaussian(1.0, 0.1, 40), Gaussian(2.0, 3), Laplace(4.0), Stated(0.25, 1e-7))
TOO_MUCH = tuple(Stated(100.0, number * 1e-9) for number in range(25))


@pytest.fixture
def accountant():
    made = AccountantProcess()
    yield made
    made.close()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 10 s")


def test_it_answers_as_the_function_does_also_with_infinity(accountant):
    assert accountant(USED, 1e-5) == epsilon_of(USED, 1e-5)
    assert accountant((), 1e-5) == 0.0
    assert accountant(TOO_MUCH, 1e-5) == epsilon_of(TOO_MUCH, 1e-5) == math.inf


def test_an_error_is_the_same_here_and_the_process_goes_on(accountant):
    with pytest.raises(ConfigError, match="a delta of 1e-30"):
        accountant(USED, 1e-30)
    pid = accountant.pid
    assert accountant(USED[1:2], 1e-5) == epsilon_of(USED[1:2], 1e-5)
    assert accountant.pid == pid


def test_a_process_that_is_not_asked_any_more_ends_and_another_answers_the_next_question():
    accountant = AccountantProcess(idle_s=0.2)
    accountant(USED[1:2], 1e-5)
    first = accountant.pid
    assert first is not None
    until(lambda: accountant.pid is None)
    until(lambda: gone(first))
    assert accountant(USED[1:2], 1e-5) == epsilon_of(USED[1:2], 1e-5)
    accountant.close()


def test_a_process_that_was_killed_between_questions_is_replaced(accountant):
    accountant((), 1e-5)
    os.kill(accountant.pid, signal.SIGKILL)
    until(lambda: accountant._asked.process.poll() is not None)
    assert accountant((), 1e-5) == 0.0


def test_a_process_that_is_killed_at_work_is_an_error_and_nothing_is_believed_to_cost_nothing(accountant, monkeypatch):
    monkeypatch.setattr(accountant._asked, "_start", lambda: _process("import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(SeptumError, match=r"gave no answer.*exit code -9"):
        accountant(USED, 1e-5)
    monkeypatch.setattr(accountant._asked, "_start", lambda: _process("input(); print('nonsense')"))
    with pytest.raises(SeptumError, match="gave no answer"):
        accountant(USED, 1e-5)
    assert accountant.pid is None


def test_an_answer_that_was_not_taken_is_not_that_of_the_next_question(accountant, monkeypatch):
    """Whoever asked was broken off; what was asked then costs nothing, and what is asked next does not."""

    class BrokenOff:
        def __init__(self, stream):
            self.stream, self.close = stream, stream.close

        def readline(self, _):
            raise KeyboardInterrupt

    accountant((), 1e-5)
    monkeypatch.setattr(accountant._asked.process, "stdout", BrokenOff(accountant._asked.process.stdout))
    with pytest.raises(KeyboardInterrupt):
        accountant((), 1e-5)
    if accountant._asked.process is not None:
        monkeypatch.undo()  # the process is still used: its answer of before waits there
    assert accountant(USED[1:2], 1e-5) == epsilon_of(USED[1:2], 1e-5) > 0


def test_it_ends_when_the_agent_is_killed():
    program = (
        "import os, signal\n"
        "from septum.adapters.accountant_process import AccountantProcess\n"
        "accountant = AccountantProcess()\n"
        "accountant((), 1e-5)\n"
        "print(accountant.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    until(lambda: gone(int(done.stdout)))


def test_whoever_asks_loads_neither_numpy_nor_scipy():
    program = (
        "import sys\n"
        "from septum.adapters.accountant_process import AccountantProcess\n"
        "from septum.privacy.accounting import Gaussian\n"
        "accountant = AccountantProcess()\n"
        "print(accountant([Gaussian(2.0)], 1e-5) > 0, 'scipy' in sys.modules, 'numpy' in sys.modules)\n"
        "accountant.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


def _process(program):
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
