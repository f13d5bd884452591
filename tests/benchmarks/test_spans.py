"""Spans count every nanosecond once, whatever is inside what, and name functions that exist."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from benchmarks import profiled, spans


def busy(seconds: float) -> None:
    """Take at least so long."""
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        threading.Event().wait(left)


class Work:
    def outer(self) -> None:
        busy(0.02)
        self.inner()
        self.inner()

    def inner(self) -> None:
        busy(0.03)

    async def later(self) -> str:
        busy(0.02)
        await asyncio.sleep(0.2)
        busy(0.02)
        return "done"

    async def fails(self) -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    def items(self):
        for number in range(3):
            busy(0.01)
            yield number


@pytest.fixture
def counted(monkeypatch):
    """What a piece of work adds to the sums, by label: calls and wall seconds."""
    for name in ("outer", "inner", "later", "fails", "items"):
        monkeypatch.setattr(Work, name, spans._wrapped(f"test {name}", getattr(Work, name)))
    before = spans.totals()

    def added(label: str) -> tuple[int, float]:
        calls, _, wall = (
            new - old for new, old in zip(spans.totals()[label], before.get(label, (0, 0, 0)), strict=True)
        )
        return calls, wall / 1e9

    return added


def test_a_spans_own_time_is_without_the_spans_inside_it(counted):
    began = time.perf_counter()
    Work().outer()
    took = time.perf_counter() - began
    (outer_calls, outer), (inner_calls, inner) = counted("test outer"), counted("test inner")
    assert (outer_calls, inner_calls) == (1, 2)
    assert outer >= 0.02
    assert inner >= 0.06
    assert outer + inner <= took  # each second once


def test_a_coroutine_is_timed_in_its_steps_and_not_while_it_waits(counted):
    began = time.perf_counter()
    assert asyncio.run(Work().later()) == "done"
    calls, wall = counted("test later")
    assert calls == 2
    assert 0.04 <= wall <= time.perf_counter() - began - 0.2


def test_an_error_passes_through(counted):
    with pytest.raises(ValueError, match="no"):
        asyncio.run(Work().fails())
    assert counted("test fails")[0] == 2


def test_a_generator_is_timed_item_by_item_and_not_what_its_reader_does(counted):
    began = time.perf_counter()
    for _ in Work().items():
        busy(0.05)
    calls, wall = counted("test items")
    assert calls == 4  # three items, and the end
    assert 0.03 <= wall <= time.perf_counter() - began - 0.15


@pytest.mark.processes
@pytest.mark.parametrize("role", profiled.TARGETS)
def test_the_profile_names_functions_that_exist(role):
    code = f"from benchmarks import profiled, spans; print(spans.install(profiled.TARGETS[{role!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", f"benchmarks/profiled.py names what was renamed or removed: {done.stdout}"
